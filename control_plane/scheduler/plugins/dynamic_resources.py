"""A pod's resource claims must be allocated, or be allocatable where it goes; PreBind writes that down.

For each node Filter runs the allocator for the claims that have no devices yet, and keeps its answer; Reserve
promises the chosen node's devices to them; PreBind writes allocation and reservation into the claims' status. A
claim that is allocated already ties the pod to the nodes that can use its devices. When those do not take the
pod and nobody else uses the claim, PostFilter gives the devices back, so that others may be chosen.

Devices stay promised as long as it is not certain that they were not written: an answer may be lost.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_conflict, is_not_found
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import RESOURCE_CLAIMS
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.allocator import allocate
from control_plane.scheduler.dynamic_resources.claims import (
    FINALIZER,
    allocation_of,
    claims_of,
    is_reserved_for,
    references,
    released,
    reserved,
    reserved_for,
)
from control_plane.scheduler.dynamic_resources.errors import ClaimError, NodeError, RequestError
from control_plane.scheduler.dynamic_resources.requests import requests_of
from control_plane.scheduler.framework.affinity import NodeTerm, node_terms
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import (
    CycleState,
    FilterPlugin,
    PostFilterPlugin,
    PostFilterResult,
    PreBindPlugin,
    PreEnqueuePlugin,
    PreFilterPlugin,
    ReservePlugin,
)
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, error, unresolvable, unschedulable

MAX_TRIES = 5  # at writing one claim, when others write it as well or answers are lost
TRY_AGAIN_S = 0.5
ELSEWHERE = "resourceclaim not available on the node"
NOTHING_TO_GIVE_BACK = "no new claims to deallocate"  # said of every pod that finds no node


@dataclass(slots=True)
class _State:
    claims: list[Obj]
    new: list[Obj]  # those of them without devices
    where: list[tuple[NodeTerm, ...]]  # of those with devices, as far as it matters
    found: dict[str, list[Obj]] = field(default_factory=dict)  # by node: allocations of the new ones
    unsure: set[str] = field(default_factory=set)  # uids of claims that may have been written or not


class DynamicResources(
    PreEnqueuePlugin, PreFilterPlugin, FilterPlugin, PostFilterPlugin, ReservePlugin, PreBindPlugin
):
    name = "DynamicResources"

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        try:
            self._claims(pod)
        except ClaimError as failure:
            return unresolvable(str(failure))
        return None

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | frozenset[str] | None:
        try:
            claims = self._claims(pod)
            if not claims:
                return SKIP
            new = [claim for claim in claims if allocation_of(claim) is None]
            for claim in new:
                if self.handle.devices.is_pending(meta.uid_of(claim)):
                    text = f"resource claim {meta.key_of(claim)} is in the process of being allocated"
                    return unschedulable(text)
                if (missing := self._without_class(claim)) is not None:
                    return missing
        except (ClaimError, RequestError) as failure:
            return unresolvable(str(failure))
        selectors = [(allocation_of(claim) or {}).get("nodeSelector") for claim in claims]
        state[self.name] = _State(claims, new, [node_terms(each) for each in selectors if each])
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        mine: _State = state[self.name]
        for terms in mine.where:
            if not any(term.matches(node.labels, node.name) for term in terms):
                return unschedulable(ELSEWHERE)
        if not mine.new:
            return None
        devices = self.handle.devices
        try:
            found = allocate(
                node, mine.new, devices.device_class, devices.inventory(), devices.usage, _new_share
            )
        except NodeError as failure:
            return unschedulable(str(failure))
        except RequestError as failure:
            return error(str(failure))
        if found is None:
            return unschedulable("cannot allocate all claims")
        mine.found[node.name] = found
        return None

    def post_filter(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status]
    ) -> tuple[PostFilterResult | None, Status]:
        mine: _State | None = state.get(self.name)
        elsewhere = any(each.plugin == self.name and ELSEWHERE in each.reasons for each in statuses.values())
        for claim in mine.claims if mine is not None and elsewhere else ():
            users = reserved_for(claim)
            held = (allocation_of(claim) or {}).get("nodeSelector") is not None
            if held and (not users or (len(users) == 1 and is_reserved_for(claim, pod.uid))):
                self.handle.devices.later(self._release(claim, pod.uid, deallocate=True))
                return None, unschedulable("deallocation of ResourceClaim completed")
        return None, unschedulable(NOTHING_TO_GIVE_BACK if mine is None else "still not schedulable")

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        mine: _State | None = state.get(self.name)
        if mine is None or not mine.new:
            return None
        for claim, allocation in zip(mine.new, mine.found[node_name], strict=True):
            self.handle.devices.pend(claim, allocation)
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        mine: _State | None = state.get(self.name)
        if mine is None:
            return
        devices = self.handle.devices
        if node_name in mine.found:
            for claim in mine.new:
                if meta.uid_of(claim) in mine.unsure:
                    devices.later(self._find_out(claim, pod.uid))
                else:
                    devices.settle(meta.uid_of(claim))
        for claim in mine.claims:
            current = devices.claim(meta.namespace_of(claim), meta.name_of(claim))
            if current is not None and is_reserved_for(current, pod.uid):
                devices.later(self._release(current, pod.uid, deallocate=False))

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        mine: _State | None = state.get(self.name)
        if mine is None:
            return None
        now = meta.rfc3339(self.handle.clock.wall())
        found = mine.found[node_name] if mine.new else []
        allocations = {
            meta.uid_of(claim): {**allocation, "allocationTimestamp": now}
            for claim, allocation in zip(mine.new, found, strict=True)
        }
        try:
            for claim in mine.claims:
                uid = meta.uid_of(claim)
                written = await self._bind(claim, allocations.get(uid), pod.pod, mine.unsure)
                mine.unsure.discard(uid)
                self.handle.devices.settle(uid, written)
        except (StatusError, ConnectionFailed, ClaimError) as failure:
            return error(str(failure))
        return None

    def interests(self) -> Sequence[Interest]:
        changed = Action.ADD | Action.UPDATE_OTHER
        return (
            Interest(ClusterEvent(Kind.RESOURCE_CLAIM, changed | Action.DELETE), _may_help),
            Interest(ClusterEvent(Kind.ASSIGNED_POD, Action.DELETE), _had_claims),
            Interest(ClusterEvent(Kind.RESOURCE_SLICE, changed)),
            Interest(ClusterEvent(Kind.DEVICE_CLASS, changed)),
            Interest(ClusterEvent(Kind.NODE, Action.ADD | Action.UPDATE_NODE_LABEL)),
        )

    # ---- claims

    def _claims(self, pod: PodInfo) -> list[Obj]:
        if not pod.pod["spec"].get("resourceClaims"):
            return []
        return claims_of(pod.pod, self.handle.devices.claim)

    def _without_class(self, claim: Obj) -> Status | None:
        for request in requests_of(claim):
            for each in request:
                if self.handle.devices.device_class(each.class_name) is None:
                    return unresolvable(f"request {each.name}: device class {each.class_name} does not exist")
        return None

    async def _bind(self, claim: Obj, allocation: Obj | None, pod: Obj, unsure: set[str]) -> Obj:
        """The claim as it is when the pod may use it. Raises ClaimError."""
        client, uid = self.handle.client, meta.uid_of(claim)
        for number in range(MAX_TRIES):
            if number:
                claim = await self._latest(claim)
            wanted = reserved(claim, allocation, pod)
            if wanted is None:
                return claim
            try:
                if allocation is not None and FINALIZER not in meta.finalizers(wanted):
                    finalizers = [*meta.finalizers(wanted), FINALIZER]
                    metadata = {**wanted["metadata"], "finalizers": finalizers}
                    claim = await client.update(RESOURCE_CLAIMS, {**claim, "metadata": metadata})
                    wanted = {**claim, "status": wanted["status"]}
                unsure.add(uid)
                return await client.update(RESOURCE_CLAIMS, wanted, "status")
            except ConnectionFailed:
                await self.handle.clock.sleep(TRY_AGAIN_S)
            except StatusError as failure:
                if not is_conflict(failure):
                    raise
        raise ClaimError(f"claim {meta.key_of(claim)} could not be written in {MAX_TRIES} tries")

    async def _latest(self, claim: Obj) -> Obj:
        latest = await self.handle.client.get(RESOURCE_CLAIMS, meta.name_of(claim), meta.namespace_of(claim))
        if meta.uid_of(latest) != meta.uid_of(claim):
            raise ClaimError(f"claim {meta.key_of(claim)} got deleted in the meantime")
        return latest

    async def _find_out(self, claim: Obj, pod_uid: str) -> None:
        """Whether an allocation was written after all; the pod is tried again then."""
        while True:
            try:
                written: Obj | None = await self._latest(claim)
                break
            except ClaimError:
                written = None
                break
            except StatusError as failure:
                if is_not_found(failure):
                    written = None
                    break
            except ConnectionFailed:
                pass
            await self.handle.clock.sleep(TRY_AGAIN_S)
        self.handle.devices.settle(meta.uid_of(claim), written)
        self.handle.activate([pod_uid])

    async def _release(self, claim: Obj, pod_uid: str, deallocate: bool) -> None:
        """Someone else's change comes first: then there is another event, and another try."""
        changed = released(claim, pod_uid, deallocate)
        if changed is None:
            return
        try:
            written = await self.handle.client.update(RESOURCE_CLAIMS, changed, "status")
        except StatusError as failure:
            if not (is_conflict(failure) or is_not_found(failure)):
                raise
            return
        self.handle.devices.settle(meta.uid_of(claim), written)


def _new_share() -> str:
    return str(uuid.uuid4())


def _had_claims(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    """Its binding may have failed, and a claim that it shared be free to be allocated."""
    return old is None or bool(old["spec"].get("resourceClaims"))


def _may_help(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    """A claim of its own that changed, or devices that became free."""
    claim = new if new is not None else old
    if claim is None:
        return True
    if old is not None and allocation_of(old) is not None and (new is None or allocation_of(new) is None):
        return True
    try:
        named = {each.claim for each in references(pod.pod)}
    except ClaimError:
        return meta.is_controlled_by(claim, pod.pod)
    return new is not None and meta.namespace_of(claim) == pod.namespace and meta.name_of(claim) in named

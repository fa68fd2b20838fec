"""A pod's resource claims must be allocated, or be allocatable where it goes; PreBind writes that down.

For each node Filter runs the allocator for the claims that have no devices yet, and keeps its answer; Reserve
promises the chosen node's devices to them; PreBind writes allocation and reservation into the claims' status, and
waits for devices that have to be made ready (DynamicResourcesArgs: bindingTimeout). A claim that is allocated
already ties the pod to the nodes that can use its devices. When those do not take the pod and nobody else uses the
claim, PostFilter gives the devices back, so that others may be chosen.

Devices stay promised as long as it is not certain that they were not written: an answer may be lost.

Where a node does not offer an extended resource that the pod asks for, devices of a class may stand for it; the
claim for them exists in the cycle only, until PreBind makes it. One that a former try has left is deleted first.
"""

from __future__ import annotations

import uuid
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.api import meta
from control_plane.api.errors import StatusError
from control_plane.client.errors import ConnectionFailed
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources import extended, readiness
from control_plane.scheduler.dynamic_resources.allocator import allocate
from control_plane.scheduler.dynamic_resources.claims import (
    allocation_of,
    claims_of,
    is_reserved_for,
    references,
    reserved_for,
)
from control_plane.scheduler.dynamic_resources.errors import ClaimError, NodeError, RequestError
from control_plane.scheduler.dynamic_resources.requests import requests_of
from control_plane.scheduler.dynamic_resources.writer import ClaimWriter
from control_plane.scheduler.framework.affinity import NodeTerm, node_terms
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import (
    CycleState,
    FilterPlugin,
    Handle,
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
from store.component.flags import parse_duration

DEFAULT_TIMEOUT = "10m"
LOOK_AGAIN_S = 0.5  # at devices that are being made ready
ELSEWHERE = "resourceclaim not available on the node"
NOTHING_TO_GIVE_BACK = "no new claims to deallocate"  # said of every pod that finds no node


@dataclass(frozen=True, slots=True)
class _Extended:
    """The claim that the pod's extended resources need on a node."""

    claim: Obj
    mappings: list[Obj]


@dataclass(slots=True)
class _State:
    claims: list[Obj]
    new: list[Obj]  # those of them without devices
    where: list[tuple[NodeTerm, ...]]  # of those with devices, as far as it matters
    found: dict[str, list[Obj]] = field(default_factory=dict)  # by node: allocations of the new ones
    unsure: set[str] = field(default_factory=set)  # uids of claims that may have been written or not
    extended: dict[str, _Extended] = field(default_factory=dict)  # by node
    useless: bool = False  # a device was not made ready
    making: bool = False  # the claim for extended resources may have been made

    def allocations(self, node_name: str) -> list[tuple[Obj, Obj]]:
        """What the new claims, and that for extended resources, get on the node."""
        more = self.extended.get(node_name)
        claims = self.new if more is None else [*self.new, more.claim]
        return list(zip(claims, self.found.get(node_name, ()), strict=True))


class DynamicResources(
    PreEnqueuePlugin, PreFilterPlugin, FilterPlugin, PostFilterPlugin, ReservePlugin, PreBindPlugin
):
    name = "DynamicResources"

    def __init__(self, handle: Handle, args: Mapping[str, Any]) -> None:
        super().__init__(handle, args)
        self._writer = ClaimWriter(handle)
        try:
            self._timeout_s = parse_duration(str(args.get("bindingTimeout") or DEFAULT_TIMEOUT))
        except ArgumentTypeError as failure:
            raise ValueError(f"bindingTimeout: {failure}") from failure

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        try:
            self._claims(pod)
        except ClaimError as failure:
            return unresolvable(str(failure))
        return None

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | frozenset[str] | None:
        try:
            claims = self._claims(pod)
            backed = self._backed(pod)
            if not claims and not backed:
                return SKIP
            if backed and self._is_left_over(pod):
                return unschedulable("a claim for its extended resources is being replaced")
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
        claims, more = mine.new, self._needed_here(pod, node)
        if more is not None:
            mine.extended[node.name] = more
            claims = [*claims, more.claim]
        if not claims:
            return None
        devices = self.handle.devices
        try:
            found = allocate(
                node, claims, devices.device_class, devices.inventory(), devices.usage, _new_share
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
                self.handle.devices.later(self._writer.release(claim, pod.uid, deallocate=True))
                return None, unschedulable("deallocation of ResourceClaim completed")
        return None, unschedulable(NOTHING_TO_GIVE_BACK if mine is None else "still not schedulable")

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        mine: _State | None = state.get(self.name)
        if mine is not None:
            for claim, allocation in mine.allocations(node_name):
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
                    devices.later(self._writer.find_out(claim, pod.uid))
                else:
                    devices.settle(meta.uid_of(claim))
        if (more := mine.extended.get(node_name)) is not None:
            if mine.making:
                devices.later(self._writer.drop(more.claim, pod.pod))
            else:
                devices.settle(meta.uid_of(more.claim))
        for claim in mine.claims:
            current = devices.claim(meta.namespace_of(claim), meta.name_of(claim))
            if current is not None and is_reserved_for(current, pod.uid):
                devices.later(self._writer.release(current, pod.uid, deallocate=mine.useless))

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        mine: _State | None = state.get(self.name)
        if mine is None:
            return None
        now = meta.rfc3339(self.handle.clock.wall())
        allocations = {
            meta.uid_of(claim): {**allocation, "allocationTimestamp": now}
            for claim, allocation in mine.allocations(node_name)
        }
        try:
            for claim in mine.claims:
                uid = meta.uid_of(claim)
                written = await self._writer.reserve(claim, allocations.get(uid), pod.pod, mine.unsure)
                mine.unsure.discard(uid)
                self.handle.devices.settle(uid, written)
            if (more := mine.extended.get(node_name)) is not None:
                await self._make(mine, more, allocations[meta.uid_of(more.claim)], pod)
            await self._until_ready(mine, [*mine.claims, *([more.claim] if more is not None else ())])
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

    def _backed(self, pod: PodInfo) -> list[str]:
        """Of the resources that it asks for, those that a class backs."""
        scalars = pod.requests.scalars
        if not scalars:
            return []
        by = self.handle.devices.backing
        return [name for name, amount in scalars.items() if amount and name in by]

    def _is_left_over(self, pod: PodInfo) -> bool:
        """A claim for its extended resources, from a try that failed. It is on its way out."""
        devices = self.handle.devices
        if devices.is_pending(extended.stand_in(pod.uid)):
            return True
        found = devices.claim(pod.namespace, extended.claim_name(pod.pod))
        if found is None or not extended.is_for(found, pod.pod):
            return False
        devices.later(self._writer.drop(found, pod.pod))
        return True

    def _needed_here(self, pod: PodInfo, node: NodeInfo) -> _Extended | None:
        missing = [name for name in self._backed(pod) if not node.allocatable.scalars.get(name)]
        if not missing:
            return None
        found = extended.asked(pod.pod, missing, self.handle.devices.backing)
        return _Extended(extended.claim_for(pod.pod, found.requests), found.mappings)

    async def _make(self, mine: _State, more: _Extended, allocation: Obj, pod: PodInfo) -> None:
        mine.making = True
        made = await self._writer.make(more.claim, pod.pod, more.mappings)
        written = await self._writer.reserve(made, allocation, pod.pod, mine.unsure)
        self.handle.devices.settle(meta.uid_of(made), written)
        self.handle.devices.settle(meta.uid_of(more.claim))

    async def _until_ready(self, mine: _State, claims: Sequence[Obj]) -> None:
        """Raises ClaimError; then others may be chosen."""
        devices, clock = self.handle.devices, self.handle.clock
        deadline_s = clock.monotonic() + self._timeout_s
        while True:
            known = [devices.claim(meta.namespace_of(each), meta.name_of(each)) for each in claims]
            current = [each for each in known if each is not None]
            if len(current) < len(claims):
                raise ClaimError("a claim got deleted in the meantime")
            why = next(filter(None, map(readiness.failure, current)), "")
            waiting = [each for claim in current for each in readiness.missing(claim)]
            if not why and not waiting:
                return
            if not why and clock.monotonic() >= deadline_s:
                why = f"timed out waiting for {', '.join(waiting)}"
            if why:
                mine.useless = True
                raise ClaimError(why)
            await clock.sleep(LOOK_AGAIN_S)

    def _without_class(self, claim: Obj) -> Status | None:
        for request in requests_of(claim):
            for each in request:
                if self.handle.devices.device_class(each.class_name) is None:
                    return unresolvable(f"request {each.name}: device class {each.class_name} does not exist")
        return None


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
    if meta.is_controlled_by(claim, pod.pod):
        return True
    try:
        named = {each.claim for each in references(pod.pod)}
    except ClaimError:
        return False
    return new is not None and meta.namespace_of(claim) == pod.namespace and meta.name_of(claim) in named

"""A pod's claims must be bound, or be bindable where it goes; what waits for the pod's node is bound for it.

VolumeBindingArgs: bindTimeoutSeconds (600). For a claim whose class waits for its first consumer, PreBind
either gives it a volume that exists (by the volume's claimRef) or names the node on the claim
(`volume.kubernetes.io/selected-node`), upon which the provisioner of its class makes one; then it waits until
the volume binder has bound them all. A provisioner that cannot takes the annotation away: then the pod is
scheduled anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.api import meta
from control_plane.api.errors import StatusError
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import (
    CycleState,
    FilterPlugin,
    Handle,
    PreBindPlugin,
    PreFilterPlugin,
    ReservePlugin,
)
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, error, unresolvable
from control_plane.scheduler.volumes import binding
from control_plane.scheduler.volumes.binding import Claims, Plan

BIND_TIMEOUT_S = 600.0
LOOK_AGAIN_S = 1.0  # while waiting for claims to be bound: every change wakes it as well


@dataclass(slots=True)
class _State:
    claims: Claims
    plans: dict[str, Plan] = field(default_factory=dict)  # by node, as the filter found them


class VolumeBinding(PreFilterPlugin, FilterPlugin, ReservePlugin, PreBindPlugin):
    name = "VolumeBinding"

    def __init__(self, handle: Handle, args: Mapping[str, Any]) -> None:
        super().__init__(handle, args)
        self._timeout_s = float(args.get("bindTimeoutSeconds") or BIND_TIMEOUT_S)

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | frozenset[str] | None:
        if not pod.pod["spec"].get("volumes"):
            return SKIP
        claims = binding.classify(self.handle.storage, pod)
        if isinstance(claims, Status):
            return claims
        if claims.immediate:
            return unresolvable(binding.UNBOUND)
        if not claims.bound and not claims.delayed:
            return SKIP
        state[self.name] = _State(claims)
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        mine: _State = state[self.name]
        plan = binding.judge(self.handle.storage, mine.claims, node)
        if isinstance(plan, Status):
            return plan
        mine.plans[node.name] = plan
        return None

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Volumes are promised to this pod's claims, so that the next cycle does not choose them."""
        for claim, volume in self._plan(state, node_name).static:
            self.handle.storage.assume(binding.assumed(volume, claim))
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        for _, volume in self._plan(state, node_name).static:
            self.handle.storage.forget(meta.name_of(volume))

    def has_work(self, state: CycleState, pod: PodInfo, node_name: str) -> bool:
        plan = self._plan(state, node_name)
        return bool(plan.static or plan.provision)

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        plan = self._plan(state, node_name)
        if not plan.static and not plan.provision:
            return None
        try:
            for claim, volume in plan.static:
                await self._claim_volume(claim, volume)
            for claim in plan.provision:
                await self._select_node(claim, node_name)
        except (StatusError, ConnectionFailed) as failure:
            return error(str(failure))
        return await self._until_bound(plan, node_name)

    def interests(self) -> Sequence[Interest]:
        changed = Action.ADD | Action.UPDATE_OTHER
        kinds = (
            Kind.PERSISTENT_VOLUME_CLAIM,
            Kind.PERSISTENT_VOLUME,
            Kind.STORAGE_CLASS,
            Kind.CSI_DRIVER,
            Kind.CSI_STORAGE_CAPACITY,
        )
        return (
            Interest(ClusterEvent(Kind.PERSISTENT_VOLUME_CLAIM, changed), _own_claim),
            *(Interest(ClusterEvent(kind, changed)) for kind in kinds[1:]),
            Interest(ClusterEvent(Kind.NODE, Action.ADD | Action.UPDATE_NODE_LABEL)),
        )

    def _plan(self, state: CycleState, node_name: str) -> Plan:
        mine: _State | None = state.get(self.name)
        return (mine.plans.get(node_name) if mine else None) or Plan()

    async def _claim_volume(self, claim: Obj, volume: Obj) -> None:
        wanted = binding.assumed(volume, claim)
        if volume["spec"].get("claimRef", {}).get("uid") == meta.uid_of(claim):
            return
        patch = {
            "metadata": {
                "uid": meta.uid_of(volume),
                "resourceVersion": meta.resource_version_of(volume),
                "annotations": {binding.BOUND_BY_CONTROLLER: "yes"},
            },
            "spec": {"claimRef": wanted["spec"]["claimRef"]},
        }
        await self.handle.client.patch(PERSISTENT_VOLUMES, meta.name_of(volume), patch)

    async def _select_node(self, claim: Obj, node_name: str) -> None:
        if meta.annotations(claim).get(binding.SELECTED_NODE) == node_name:
            return
        patch = {
            "metadata": {
                "uid": meta.uid_of(claim),
                "resourceVersion": meta.resource_version_of(claim),
                "annotations": {binding.SELECTED_NODE: node_name},
            }
        }
        await self.handle.client.patch(
            PERSISTENT_VOLUME_CLAIMS, meta.name_of(claim), patch, meta.namespace_of(claim)
        )

    async def _until_bound(self, plan: Plan, node_name: str) -> Status | None:
        storage, clock = self.handle.storage, self.handle.clock
        deadline_s = clock.monotonic() + self._timeout_s
        seen: set[str] = set()
        while True:
            waiting = []
            for claim in [*(claim for claim, _ in plan.static), *plan.provision]:
                name = meta.name_of(claim)
                current = storage.claim(meta.namespace_of(claim), name)
                if current is None or meta.uid_of(current) != meta.uid_of(claim):
                    return error(f'persistentvolumeclaim "{name}" was deleted while it was being bound')
                selected = meta.annotations(current).get(binding.SELECTED_NODE)
                if selected == node_name:
                    seen.add(name)
                if not binding.is_bound(current):
                    if name in seen and selected != node_name:
                        return error(f'provisioning failed for PVC "{name}"')
                    waiting.append(name)
            if not waiting:
                return None
            if clock.monotonic() >= deadline_s:
                return error(f"binding volumes: timed out waiting for {', '.join(waiting)}")
            await storage.changed(LOOK_AGAIN_S)


def _own_claim(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    if new is None or meta.namespace_of(new) != pod.namespace:
        return new is None
    return any(name == meta.name_of(new) for name, _ in binding.claim_names(pod.pod))

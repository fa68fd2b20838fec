"""Enough CPU, memory and whatever else is asked for must be left; what is left is scored by a strategy.

NodeResourcesFitArgs: scoringStrategy {type: LeastAllocated | MostAllocated | RequestedToCapacityRatio,
resources, requestedToCapacityRatio.shape}, ignoredResources, ignoredResourceGroups.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from control_plane.api import meta
from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import CycleState, FilterPlugin, Handle, ScorePlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo, pod_info
from control_plane.scheduler.framework.resources import Resources
from control_plane.scheduler.framework.status import Code, Status
from control_plane.scheduler.plugins import resource_scores
from control_plane.scheduler.plugins.resource_scores import Scorer, Weights

LEAST, MOST, RATIO = "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"


class NodeResourcesFit(FilterPlugin, ScorePlugin):
    name = "NodeResourcesFit"

    def __init__(self, handle: Handle, args: Mapping[str, Any]) -> None:
        super().__init__(handle, args)
        self._ignored = frozenset(args.get("ignoredResources") or ())
        self._ignored_groups = frozenset(args.get("ignoredResourceGroups") or ())
        strategy = args.get("scoringStrategy") or {}
        self._weights = resource_scores.weights_of(strategy.get("resources"))
        self._scorer = _scorer(strategy, self._weights)

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        """Every shortage is named, not only the first."""
        asked, used, has = pod.requests, node.requested, node.allocatable
        reasons: list[str] = []
        hopeless = False
        if len(node.pods) + 1 > node.allowed_pods:
            reasons.append("Too many pods")
        if 0 < asked.milli_cpu > has.milli_cpu - used.milli_cpu:
            reasons.append("Insufficient cpu")
            hopeless |= asked.milli_cpu > has.milli_cpu
        if 0 < asked.memory > has.memory - used.memory:
            reasons.append("Insufficient memory")
            hopeless |= asked.memory > has.memory
        if 0 < asked.ephemeral_storage > has.ephemeral_storage - used.ephemeral_storage:
            reasons.append("Insufficient ephemeral-storage")
            hopeless |= asked.ephemeral_storage > has.ephemeral_storage
        for name, amount in asked.scalars.items():
            capacity = has.scalars.get(name, 0)
            if not capacity and name in self.handle.devices.backing:
                continue  # DynamicResources looks for devices that stand for it
            if 0 < amount > capacity - used.scalars.get(name, 0) and not self._is_ignored(name):
                reasons.append(f"Insufficient {name}")
                hopeless |= amount > capacity
        if not reasons:
            return None
        code = Code.UNSCHEDULABLE_AND_UNRESOLVABLE if hopeless else Code.UNSCHEDULABLE
        return Status(code, tuple(reasons))

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return self._scorer(*resource_scores.amounts(pod, node, self._weights))

    def sign(self, pod: PodInfo) -> Hashable:
        return _signature(pod.requests)

    def sign_score(self, pod: PodInfo) -> Hashable:
        return (pod.non_zero_cpu, pod.non_zero_memory, _signature(pod.requests))

    def stamp(self, pod: PodInfo) -> Hashable:
        """Which of its resources devices stand for."""
        scalars = pod.requests.scalars
        if not scalars:
            return None
        return tuple([name for name in scalars if name in self.handle.devices.backing])

    def interests(self) -> Sequence[Interest]:
        freed = Action.DELETE | Action.UPDATE_POD_SCALE_DOWN
        return (
            Interest(ClusterEvent(Kind.ASSIGNED_POD, freed), _freed),
            Interest(ClusterEvent(Kind.NODE, Action.ADD | Action.UPDATE_NODE_ALLOCATABLE), _fits),
            Interest(ClusterEvent(Kind.DEVICE_CLASS, Action.ADD | Action.UPDATE_OTHER)),
        )

    def _is_ignored(self, name: str) -> bool:
        return name in self._ignored or ("/" in name and name.split("/", 1)[0] in self._ignored_groups)


def _scorer(strategy: Mapping[str, Any], weights: Weights) -> Scorer:
    kind = strategy.get("type") or LEAST
    if kind == MOST:
        return resource_scores.most_allocated(weights)
    if kind == RATIO:
        shape = (strategy.get("requestedToCapacityRatio") or {}).get("shape")
        if not shape:
            raise ValueError("RequestedToCapacityRatio needs a shape")
        return resource_scores.requested_to_capacity_ratio(weights, shape)
    if kind != LEAST:
        raise ValueError(f"scoringStrategy type {kind!r} is not one of {LEAST}, {MOST}, {RATIO}")
    return resource_scores.least_allocated(weights)


def _signature(requests: Resources) -> Hashable:
    scalars = tuple(sorted(requests.scalars.items())) if requests.scalars else ()
    return (requests.milli_cpu, requests.memory, requests.ephemeral_storage, scalars)


def _freed(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    """A pod that goes always frees a place; one that shrinks must shrink in what is asked for."""
    if old is None or new is None:
        return True
    before, after = pod_info(old).requests, pod_info(new).requests
    names = ("cpu", "memory", "ephemeral-storage", *pod.requests.scalars)
    return any(pod.requests.get(name) and after.get(name) < before.get(name) for name in names)


def _fits(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    """Whether the node could hold the pod if it were empty: what is on it is the filter's business."""
    if new is None:
        return True
    node = NodeInfo(meta.name_of(new))
    node.set_node(new)
    asked, has = pod.requests, node.allocatable
    names = ("cpu", "memory", "ephemeral-storage", *asked.scalars)
    return node.allowed_pods > 0 and all(asked.get(name) <= has.get(name) for name in names)

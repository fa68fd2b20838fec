"""Prefers nodes on which the pod makes CPU and memory used in like measure.

NodeResourcesBalancedAllocationArgs: resources (of weight 1). Pods that ask for none of them are not scored:
they would all go to the same node.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from control_plane.scheduler.framework.interface import CycleState, Handle, ScorePlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status
from control_plane.scheduler.plugins import resource_scores


class NodeResourcesBalancedAllocation(ScorePlugin):
    name = "NodeResourcesBalancedAllocation"

    def __init__(self, handle: Handle, args: Mapping[str, Any]) -> None:
        super().__init__(handle, args)
        self._weights = resource_scores.weights_of(args.get("resources"))

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        return None if any(pod.requests.get(name) for name, _ in self._weights) else SKIP

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return resource_scores.balanced(pod, node, self._weights)

    def sign_score(self, pod: PodInfo) -> Hashable:
        return tuple(pod.requests.get(name) for name, _ in self._weights)

"""Keeps pods off cordoned nodes, except those that tolerate the taint which stands for it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import NO_SCHEDULE, Taint
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import CycleState, FilterPlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Status, unresolvable

REASON = unresolvable("node(s) were unschedulable")
TAINT = Taint("node.kubernetes.io/unschedulable", "", NO_SCHEDULE)


class NodeUnschedulable(FilterPlugin):
    name = "NodeUnschedulable"

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return REASON if node.unschedulable and not _tolerated(pod) else None

    def sign(self, pod: PodInfo) -> Hashable:
        return _tolerated(pod)

    def interests(self) -> Sequence[Interest]:
        return (Interest(ClusterEvent(Kind.NODE, Action.ADD | Action.UPDATE_NODE_TAINT), _hint),)


def _hint(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    return new is None or not (new.get("spec") or {}).get("unschedulable") or _tolerated(pod)


def _tolerated(pod: PodInfo) -> bool:
    return any(each.tolerates(TAINT) for each in pod.tolerations)

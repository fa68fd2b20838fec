"""A pod that names its node runs there or nowhere. Such pods rarely come here: they are bound already."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import CycleState, FilterPlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Status, unresolvable

REASON = unresolvable("node(s) didn't match the requested node name")


class NodeName(FilterPlugin):
    name = "NodeName"

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return REASON if pod.node_name and pod.node_name != node.name else None

    def sign(self, pod: PodInfo) -> Hashable:
        return pod.node_name

    def interests(self) -> Sequence[Interest]:
        return (Interest(ClusterEvent(Kind.NODE, Action.ADD)),)

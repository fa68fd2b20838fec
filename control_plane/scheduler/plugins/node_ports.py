"""Two pods cannot hold one host port of one node."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import CycleState, FilterPlugin, PreFilterPlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo, pod_info
from control_plane.scheduler.framework.status import SKIP, Status, unschedulable

REASON = unschedulable("node(s) didn't have free ports for the requested pod ports")


class NodePorts(PreFilterPlugin, FilterPlugin):
    name = "NodePorts"

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | None:
        return None if pod.ports else SKIP

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return REASON if pod.ports and node.ports_conflict(pod.ports) else None

    def sign(self, pod: PodInfo) -> Hashable:
        return pod.ports

    def interests(self) -> Sequence[Interest]:
        return (
            Interest(ClusterEvent(Kind.ASSIGNED_POD, Action.DELETE), _hint),
            Interest(ClusterEvent(Kind.NODE, Action.ADD)),
        )


def _hint(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    """The pod that went must have held one of the ports."""
    if old is None:
        return True
    held = {port[1:] for port in pod_info(old).ports}
    return any(port[1:] in held for port in pod.ports)

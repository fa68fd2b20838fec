"""A pod with scheduling gates stays out of the active queue until the last gate is removed (KEP-3521)."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import PreEnqueuePlugin
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Status, unresolvable


class SchedulingGates(PreEnqueuePlugin):
    name = "SchedulingGates"

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        gates = [gate["name"] for gate in (pod.pod.get("spec") or {}).get("schedulingGates") or ()]
        if not gates:
            return None
        return unresolvable(f"waiting for scheduling gates: [{' '.join(gates)}]")

    def interests(self) -> Sequence[Interest]:
        return (Interest(ClusterEvent(Kind.UNSCHEDULED_POD, Action.UPDATE_POD_OTHER)),)

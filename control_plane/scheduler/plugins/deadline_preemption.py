"""A pod that is about to miss its deadline may take the place of pods of its own priority that have none.

    scheduling.balsa.dev/deadline: 30s              after its creation, or a time (RFC 3339)
    scheduling.balsa.dev/deadline-policy: preempt   without it a deadline only orders the queue

It comes after DefaultPreemption, when that found nothing, and from half of the time allowed on. Victims are chosen
as there, with PodDisruptionBudgets, as if the pod's priority were higher by one; pods with a deadline of their own,
and pods of a higher priority, are never among them.
"""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.api import meta
from control_plane.scheduler.framework.annotations import DEADLINE_POLICY, deadline_s, said
from control_plane.scheduler.framework.interface import CycleState
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Code, Status
from control_plane.scheduler.plugins.default_preemption import DefaultPreemption
from control_plane.scheduler.preemption import Candidate

PREEMPT = "preempt"
URGENT_FRACTION = 0.5  # of the time between creation and deadline


class DeadlinePreemption(DefaultPreemption):
    name = "DeadlinePreemption"

    def candidates(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status]
    ) -> tuple[list[Candidate], Status]:
        if not is_urgent(pod, self.handle.clock.wall()):
            return [], Status(Code.UNSCHEDULABLE)
        return super().candidates(state, pod, statuses)

    def _claims(self, pod: PodInfo) -> PodInfo:
        urgent = pod.on("")
        urgent.priority = pod.priority + 1
        return urgent

    def _may_go(self, victim: PodInfo) -> bool:
        return deadline_s(victim.pod) is None


def is_urgent(pod: PodInfo, now_s: float) -> bool:
    end_s = deadline_s(pod.pod)
    if end_s is None or said(pod.pod, DEADLINE_POLICY) != PREEMPT:
        return False
    created_s = meta.parse_time(pod.pod["metadata"].get("creationTimestamp")) or now_s
    return now_s >= created_s + (end_s - created_s) * URGENT_FRACTION

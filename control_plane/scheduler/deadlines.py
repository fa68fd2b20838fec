"""Watches the deadlines of pods that have no node yet: looks again when one becomes urgent, says when it is missed.

Pure but for the functions it is given. Each pod is told of at most once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.scheduler.framework.annotations import deadline_s
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.plugins.deadline_preemption import URGENT_FRACTION

Pending = Callable[[str], PodInfo | None]  # of a uid: the pod, while it has no node


@dataclass(slots=True)
class Deadlines:
    pending: Pending
    urgent: Callable[[PodInfo], None]
    missed: Callable[[PodInfo, float], None]
    _times: list[tuple[float, bool, str]] = field(default_factory=list)  # when, whether it is the end, uid
    _ends: dict[str, float] = field(default_factory=dict)  # of those watched

    def watch(self, pod: PodInfo) -> None:
        end_s = deadline_s(pod.pod)
        if end_s is None or self._ends.get(pod.uid) == end_s:
            return
        created_s = meta.parse_time(pod.pod["metadata"].get("creationTimestamp")) or end_s
        self._ends[pod.uid] = end_s
        heapq.heappush(self._times, (created_s + (end_s - created_s) * URGENT_FRACTION, False, pod.uid))
        heapq.heappush(self._times, (end_s, True, pod.uid))

    def tick(self, now_s: float) -> None:
        while self._times and self._times[0][0] <= now_s:
            _, ends, uid = heapq.heappop(self._times)
            end_s = self._ends.get(uid)
            pod = self.pending(uid)
            if pod is None or end_s is None:
                self._ends.pop(uid, None)
            elif not ends:
                self.urgent(pod)
            elif end_s <= now_s:
                del self._ends[uid]
                self.missed(pod, now_s - end_s)

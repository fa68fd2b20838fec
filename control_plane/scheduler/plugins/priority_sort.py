"""The pod of the highest priority is next; of equals, the one whose deadline comes first, before those that have
none; of these, the one that has waited longest."""

from __future__ import annotations

import math
from typing import Any

from control_plane.scheduler.framework.annotations import deadline_s
from control_plane.scheduler.framework.interface import QueueSortPlugin
from control_plane.scheduler.framework.pod_info import PodInfo


class PrioritySort(QueueSortPlugin):
    name = "PrioritySort"

    def sort_key(self, pod: PodInfo, queued_at_s: float) -> tuple[Any, ...]:
        end_s = deadline_s(pod.pod)
        return (-pod.priority, math.inf if end_s is None else end_s, queued_at_s)

"""The pod of the highest priority is next; of equals, the one that has waited longest."""

from __future__ import annotations

from typing import Any

from control_plane.scheduler.framework.interface import QueueSortPlugin
from control_plane.scheduler.framework.pod_info import PodInfo


class PrioritySort(QueueSortPlugin):
    name = "PrioritySort"

    def sort_key(self, pod: PodInfo, queued_at_s: float) -> tuple[Any, ...]:
        return (-pod.priority, queued_at_s)

"""Why a pod found no node: kept per node, told as kube-scheduler tells it.

0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: …
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from control_plane.scheduler.framework.status import Status

NO_NODES_AT_ALL = "no nodes available to schedule pods"


@dataclass(slots=True)
class Diagnosis:
    """`statuses` holds the nodes that were looked at; the others were ruled out by a PreFilter."""

    statuses: dict[str, Status] = field(default_factory=dict)
    plugins: set[str] = field(default_factory=set)  # that rejected: their events may bring the pod back
    pending_plugins: set[str] = field(default_factory=set)
    pre_filter_message: str = ""
    post_filter_message: str = ""

    def add(self, node_name: str, status: Status) -> None:
        self.statuses[node_name] = status
        self.plugins.add(status.plugin)


class FitError(Exception):
    def __init__(self, all_nodes: int, diagnosis: Diagnosis) -> None:
        super().__init__(all_nodes)
        self.all_nodes = all_nodes
        self.diagnosis = diagnosis

    def __str__(self) -> str:
        if self.all_nodes == 0:
            return NO_NODES_AT_ALL
        diagnosis = self.diagnosis
        message = f"0/{self.all_nodes} nodes are available:"
        if diagnosis.pre_filter_message:
            message += f" {diagnosis.pre_filter_message}."
        elif histogram := reasons(diagnosis.statuses):
            message += f" {', '.join(histogram)}."
        if diagnosis.post_filter_message:
            message += f" {diagnosis.post_filter_message}"
        return message


def reasons(statuses: Mapping[str, Status]) -> list[str]:
    """`<count> <reason>`, sorted as text: 10 comes before 2."""
    counted = Counter(reason for status in statuses.values() for reason in status.reasons)
    return sorted(f"{count} {reason}" for reason, count in counted.items())

"""Keeps workloads apart that disturb each other.

    of a pod:    scheduling.balsa.dev/noisy: disk,cache        what it disturbs others by
                 scheduling.balsa.dev/sensitive: cache         what it is disturbed by
                 scheduling.balsa.dev/interference: forbid     never beside such a pod (else: rather not)
    of a node:   scheduling.balsa.dev/pressure: cpu=0.9        measured: how busy each resource is, from 0 to 1

Two pods interfere when one is noisy in what the other is sensitive to. A node is worse with every pod that the new
one would interfere with, and with the pressure on what it is sensitive to. `forbid` holds both ways: who came
first and forbids it keeps a noisy neighbour out.
"""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.scheduler.framework.annotations import (
    INTERFERENCE,
    NOISY,
    PREFIX,
    PRESSURE,
    SENSITIVE,
    amounts,
    said,
    words,
)
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import (
    MAX_NODE_SCORE,
    CycleState,
    FilterPlugin,
    PreFilterPlugin,
    ScorePlugin,
    default_normalize,
)
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, unschedulable

FORBID = "forbid"
REASON = unschedulable("node(s) had pods that interfere with the pod")


class Interference(PreFilterPlugin, FilterPlugin, ScorePlugin):
    name = "Interference"
    normalizes = True

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | None:
        return None if _says_anything(pod) else SKIP

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        for other in node.pods.values():
            if _says_anything(other) and _forbidden(pod, other):
                return REASON
        return None

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        return None if _says_anything(pod) else SKIP

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """How bad it is: a neighbour that interferes is as bad as full pressure."""
        neighbours = sum(
            bool(_conflicts(pod, other)) for other in node.pods.values() if _says_anything(other)
        )
        pressure = amounts(node.node, PRESSURE) if node.node is not None else {}
        sensitive = words(pod.pod, SENSITIVE)
        pressed = sum(min(max(amount, 0.0), 1.0) for name, amount in pressure.items() if name in sensitive)
        return int(MAX_NODE_SCORE * (neighbours + pressed))

    def normalize(
        self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]
    ) -> list[int]:
        return default_normalize(scores, reverse=True)

    def interests(self) -> Sequence[Interest]:
        return (
            Interest(ClusterEvent(Kind.ASSIGNED_POD, Action.DELETE)),
            Interest(ClusterEvent(Kind.NODE, Action.ADD)),
        )


def _says_anything(pod: PodInfo) -> bool:
    metadata = pod.pod["metadata"]
    return any(
        key.startswith(PREFIX) for where in ("annotations", "labels") for key in metadata.get(where) or ()
    )


def _conflicts(pod: PodInfo, other: PodInfo) -> frozenset[str]:
    there = words(pod.pod, SENSITIVE) & words(other.pod, NOISY)
    return there | (words(pod.pod, NOISY) & words(other.pod, SENSITIVE))


def _forbidden(pod: PodInfo, other: PodInfo) -> bool:
    """Who is sensitive decides whether it is only unpleasant."""
    for one, two in ((pod, other), (other, pod)):
        if said(one.pod, INTERFERENCE) == FORBID and words(one.pod, SENSITIVE) & words(two.pod, NOISY):
            return True
    return False

"""Taints: NoSchedule and NoExecute keep out who does not tolerate them; PreferNoSchedule makes a node less
good."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import (
    NO_EXECUTE,
    NO_SCHEDULE,
    PREFER_NO_SCHEDULE,
    taints,
    untolerated,
)
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import (
    CycleState,
    FilterPlugin,
    ScorePlugin,
    default_normalize,
)
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import Status, unresolvable

HARD = (NO_SCHEDULE, NO_EXECUTE)
REASON = unresolvable("node(s) had untolerated taint(s)")


class TaintToleration(FilterPlugin, ScorePlugin):
    name = "TaintToleration"
    normalizes = True

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if not node.taints:
            return None
        return None if untolerated(node.taints, pod.tolerations, HARD) is None else REASON

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """How many soft taints it would have to put up with: fewer is better."""
        soft = [taint for taint in node.taints if taint.effect == PREFER_NO_SCHEDULE]
        return sum(not any(each.tolerates(taint) for each in pod.tolerations) for taint in soft)

    def normalize(
        self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]
    ) -> list[int]:
        return default_normalize(scores, reverse=True)

    def sign(self, pod: PodInfo) -> Hashable:
        return pod.tolerations

    def sign_score(self, pod: PodInfo) -> Hashable:
        return pod.tolerations

    def interests(self) -> Sequence[Interest]:
        return (Interest(ClusterEvent(Kind.NODE, Action.ADD | Action.UPDATE_NODE_TAINT), _hint),)


def _hint(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    if new is None:
        return True
    return untolerated(taints((new.get("spec") or {}).get("taints")), pod.tolerations, HARD) is None

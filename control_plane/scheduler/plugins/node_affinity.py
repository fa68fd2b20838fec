"""nodeSelector and node affinity: required terms filter, preferred ones score by their weights."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from control_plane.api import meta
from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import ANYWHERE, NodeAffinity, node_affinity
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import (
    CycleState,
    FilterPlugin,
    Handle,
    PreFilterPlugin,
    ScorePlugin,
    default_normalize,
)
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, unresolvable

REASON = unresolvable("node(s) didn't match Pod's node affinity/selector")
REASON_ENFORCED = unresolvable("node(s) didn't match scheduler-enforced node affinity")
REASON_CONFLICT = unresolvable("pod affinity terms conflict")


class NodeAffinityPlugin(PreFilterPlugin, FilterPlugin, ScorePlugin):
    name = "NodeAffinity"
    normalizes = True

    def __init__(self, handle: Handle, args: Mapping[str, Any]) -> None:
        super().__init__(handle, args)
        added = args.get("addedAffinity")
        self._added = node_affinity({"affinity": {"nodeAffinity": added}}) if added else ANYWHERE

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | frozenset[str] | None:
        """Pods of a DaemonSet name their node in every term: then only that one is looked at."""
        if pod.node_affinity.anywhere and self._added.anywhere:
            return SKIP
        names = pod.node_affinity.names()
        if names is not None and not names:
            return REASON_CONFLICT
        return names

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if not self._added.anywhere and not self._added.matches(node.labels, node.name):
            return REASON_ENFORCED
        return None if pod.node_affinity.matches(node.labels, node.name) else REASON

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        return None if pod.node_affinity.preferred or self._added.preferred else SKIP

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return pod.node_affinity.score(node.labels, node.name) + self._added.score(node.labels, node.name)

    def normalize(
        self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]
    ) -> list[int]:
        return default_normalize(scores)

    def sign(self, pod: PodInfo) -> Hashable:
        return pod.node_affinity

    def sign_score(self, pod: PodInfo) -> Hashable:
        return pod.node_affinity

    def interests(self) -> Sequence[Interest]:
        return (Interest(ClusterEvent(Kind.NODE, Action.ADD | Action.UPDATE_NODE_LABEL), self._hint),)

    def _hint(self, pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
        return new is None or _matches(pod.node_affinity, new)


def _matches(affinity: NodeAffinity, node: Obj) -> bool:
    return affinity.matches(meta.labels(node), meta.name_of(node))

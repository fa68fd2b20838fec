"""Prefers nodes that hold the data a pod works on.

    of a pod:    scheduling.balsa.dev/data: genome,index       names of data, or claim/NAME for a volume claim
    of a node:   scheduling.balsa.dev/data: genome=40,photos   what it holds, with sizes in any one unit (else 1)

A node's score is the part of the named data that it holds, weighed by size: data that is nowhere else known
counts 1. A claim's data is where pods that use the claim run now.
"""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.scheduler.framework.annotations import DATA, amounts, words
from control_plane.scheduler.framework.interface import MAX_NODE_SCORE, CycleState, ScorePlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status
from control_plane.scheduler.volumes import binding

CLAIM_PREFIX = "claim/"


class DataLocality(ScorePlugin):
    name = "DataLocality"

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        return None if words(pod.pod, DATA) else SKIP

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return self.score_all(state, pod, [node])[0]

    def score_all(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        wanted = words(pod.pod, DATA)
        held = [_held(node, wanted, pod.namespace) for node in nodes]
        sizes = {name: max((each.get(name, 0.0) for each in held), default=0.0) or 1.0 for name in wanted}
        total = sum(sizes.values())
        return [int(MAX_NODE_SCORE * min(sum(each.values()) / total, 1.0)) for each in held]


def _held(node: NodeInfo, wanted: frozenset[str], namespace: str) -> dict[str, float]:
    declared = amounts(node.node, DATA) if node.node is not None else {}
    found = {name: size for name, size in declared.items() if name in wanted}
    claims = {name.removeprefix(CLAIM_PREFIX): name for name in wanted if name.startswith(CLAIM_PREFIX)}
    for other in node.pods.values() if claims else ():
        if other.namespace == namespace:
            found |= {claims[name]: 1.0 for name, _ in binding.claim_names(other.pod) if name in claims}
    return found

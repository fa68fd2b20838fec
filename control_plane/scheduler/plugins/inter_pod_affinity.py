"""Pod affinity and anti-affinity: where a pod may or would rather be, by the pods that are there already.

Three rules filter: the pod's required affinity (all its terms, by pods that match all of them; the first of
a group that matches its own terms may go anywhere), its required anti-affinity, and the required
anti-affinity of the pods that exist. Preferred terms of both sides, and required affinity of existing pods
(with hardPodAffinityWeight), score.

InterPodAffinityArgs: hardPodAffinityWeight (1), ignorePreferredTermsOfExistingPods (false; a pod without
preferences of its own is not scored then).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import NamespaceLabels, PodTerm
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import (
    MAX_NODE_SCORE,
    CycleState,
    FilterPlugin,
    Handle,
    PreFilterPlugin,
    ScorePlugin,
)
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, unresolvable, unschedulable

REASON_AFFINITY = unresolvable("node(s) didn't match pod affinity rules")
REASON_ANTI_AFFINITY = unschedulable("node(s) didn't match pod anti-affinity rules")
REASON_EXISTING = unschedulable("node(s) didn't satisfy existing pods anti-affinity rules")
DEFAULT_HARD_POD_AFFINITY_WEIGHT = 1

Pair = tuple[str, str]  # topology key and value
Tally = dict[Pair, int]


@dataclass(slots=True)
class _Filtering:
    existing: Tally = field(default_factory=dict)  # existing pods whose anti-affinity means this pod
    near: Tally = field(default_factory=dict)  # existing pods that match all its affinity terms
    far: Tally = field(default_factory=dict)  # existing pods that match one of its anti-affinity terms


class InterPodAffinity(PreFilterPlugin, FilterPlugin, ScorePlugin):
    name = "InterPodAffinity"
    normalizes = True

    def __init__(self, handle: Handle, args: Mapping[str, Any]) -> None:
        super().__init__(handle, args)
        self._hard_weight = int(args.get("hardPodAffinityWeight", DEFAULT_HARD_POD_AFFINITY_WEIGHT))
        self._ignore_existing = bool(args.get("ignorePreferredTermsOfExistingPods", False))

    # ---- filter

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | None:
        nodes = self.handle.nodes
        data = _Filtering()
        for node in nodes.with_required_anti_affinity():
            for other in node.pods_with_required_anti_affinity.values():
                self._count_existing(data, pod, other, node, 1)
        if pod.required_affinity or pod.required_anti_affinity:
            if not self._counted(data, pod):
                for node in nodes.all():
                    for other in node.pods.values():
                        self._count_incoming(data, pod, other, node, 1)
        elif not data.existing:
            return SKIP
        state[self.name] = data
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        data: _Filtering = state[self.name]
        labels = node.labels
        if pod.required_affinity and not self._near_enough(data, pod, labels):
            return REASON_AFFINITY
        if data.far and _any(data.far, (term.topology_key for term in pod.required_anti_affinity), labels):
            return REASON_ANTI_AFFINITY
        if data.existing and _any(data.existing, {key for key, _ in data.existing}, labels):
            return REASON_EXISTING
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        if isinstance(data := state.get(self.name), _Filtering):
            self._count_existing(data, pod, added, node, 1)
            self._count_incoming(data, pod, added, node, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        if isinstance(data := state.get(self.name), _Filtering):
            self._count_existing(data, pod, removed, node, -1)
            self._count_incoming(data, pod, removed, node, -1)

    def copy_state(self, data: Any) -> Any:
        if not isinstance(data, _Filtering):
            return data
        return _Filtering(dict(data.existing), dict(data.near), dict(data.far))

    def _counted(self, data: _Filtering, pod: PodInfo) -> bool:
        """The same as counting every pod, from the cache's counters; False where they do not tell."""
        if len(pod.required_affinity) > 1:
            return False
        near = [(term, self._by_value(term)) for term in pod.required_affinity]
        far = [(term, self._by_value(term)) for term in pod.required_anti_affinity]
        if any(counts is None for _, counts in (*near, *far)):
            return False
        for tally, terms in ((data.near, near), (data.far, far)):
            for term, counts in terms:
                for value, count in (counts or {}).items():
                    pair = (term.topology_key, value)
                    tally[pair] = tally.get(pair, 0) + count
        return True

    def _by_value(self, term: PodTerm) -> dict[str, int] | None:
        """How many pods the term means, by topology value. None when that takes looking at each pod: the term
        selects namespaces by their labels, or some of the pods are on nodes without the topology."""
        if term.namespace_selector is not None:
            return None
        totals: dict[str, int] = {}
        for namespace in term.namespaces:
            counted = self.handle.nodes.matching(namespace, term.selector, terminating=True)
            for value, count in counted.by_value(term.topology_key).items():
                if count and not value:
                    return None
                if count:
                    totals[value] = totals.get(value, 0) + count
        return totals

    def _near_enough(self, data: _Filtering, pod: PodInfo, labels: Mapping[str, str]) -> bool:
        found = True
        for term in pod.required_affinity:
            value = labels.get(term.topology_key)
            if value is None:
                return False
            found = found and data.near.get((term.topology_key, value), 0) > 0
        return found or (not data.near and self._matches_all(pod.required_affinity, pod))

    def _count_existing(
        self, data: _Filtering, pod: PodInfo, other: PodInfo, node: NodeInfo, by: int
    ) -> None:
        for term in other.required_anti_affinity:
            if self._matches(term, pod):
                _tally(data.existing, term.topology_key, node.labels, by)

    def _count_incoming(
        self, data: _Filtering, pod: PodInfo, other: PodInfo, node: NodeInfo, by: int
    ) -> None:
        if pod.required_affinity and self._matches_all(pod.required_affinity, other):
            for term in pod.required_affinity:
                _tally(data.near, term.topology_key, node.labels, by)
        for term in pod.required_anti_affinity:
            if self._matches(term, other):
                _tally(data.far, term.topology_key, node.labels, by)

    # ---- score

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        own = bool(pod.preferred_affinity or pod.preferred_anti_affinity)
        if not own and self._ignore_existing:
            return SKIP
        scores: Tally = {}
        if own:
            self._score_own(scores, pod)
        for node in self.handle.nodes.with_affinity():
            for other in node.pods_with_affinity.values():
                self._score_existing(scores, pod, other, node.labels)
        if not scores:
            return SKIP
        by_key: dict[str, dict[str, int]] = {}
        for (key, value), score in scores.items():
            by_key.setdefault(key, {})[value] = score
        state[f"{self.name}/score"] = by_key
        return None

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        scores: dict[str, dict[str, int]] = state[f"{self.name}/score"]
        return sum(values.get(node.labels[key], 0) for key, values in scores.items() if key in node.labels)

    def normalize(
        self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]
    ) -> list[int]:
        """Stretched over 0…100 between the worst and the best."""
        least, most = min(scores), max(scores)
        if most == least:
            return [0] * len(scores)
        span = most - least
        return [int(MAX_NODE_SCORE * ((score - least) / span)) for score in scores]

    def _score_own(self, scores: Tally, pod: PodInfo) -> None:
        """What the pod itself would like."""
        wishes = [*pod.preferred_affinity, *((-weight, term) for weight, term in pod.preferred_anti_affinity)]
        for weight, term in wishes:
            counts = self._by_value(term)
            if counts is not None:
                for value, count in counts.items():
                    _tally(scores, term.topology_key, {term.topology_key: value}, weight * count)
                continue
            for node in self.handle.nodes.all():
                for other in node.pods.values():
                    if self._matches(term, other):
                        _tally(scores, term.topology_key, node.labels, weight)

    def _score_existing(self, scores: Tally, pod: PodInfo, other: PodInfo, labels: Mapping[str, str]) -> None:
        """What a pod that is there would like."""
        if self._hard_weight > 0:
            for term in other.required_affinity:
                if self._matches(term, pod):
                    _tally(scores, term.topology_key, labels, self._hard_weight)
        for weight, term in other.preferred_affinity:
            if self._matches(term, pod):
                _tally(scores, term.topology_key, labels, weight)
        for weight, term in other.preferred_anti_affinity:
            if self._matches(term, pod):
                _tally(scores, term.topology_key, labels, -weight)

    # ---- both

    @property
    def _namespace_labels(self) -> NamespaceLabels:
        return self.handle.namespace_labels

    def _matches(self, term: PodTerm, pod: PodInfo) -> bool:
        return term.matches(pod.namespace, pod.labels, self._namespace_labels)

    def _matches_all(self, terms: Sequence[PodTerm], pod: PodInfo) -> bool:
        return all(self._matches(term, pod) for term in terms)

    def interests(self) -> Sequence[Interest]:
        pods = Action.ADD | Action.DELETE | Action.UPDATE_POD_LABEL
        nodes = Action.ADD | Action.UPDATE_NODE_LABEL
        return (
            Interest(ClusterEvent(Kind.ASSIGNED_POD, pods), self._pod_hint),
            Interest(ClusterEvent(Kind.NODE, nodes), _node_hint),
            Interest(ClusterEvent(Kind.NAMESPACE, Action.UPDATE_OTHER), _namespace_hint),
        )

    def _pod_hint(self, pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
        """A pod that its affinity was waiting for, or one less that anti-affinity kept away from."""
        for other in (old, new):
            metadata = (other or {}).get("metadata") or {}
            namespace, labels = metadata.get("namespace", ""), metadata.get("labels") or {}
            terms = (*pod.required_affinity, *pod.required_anti_affinity)
            if any(term.matches(namespace, labels, self._namespace_labels) for term in terms):
                return True
        gone = old is not None and new is None
        far = (((old or {}).get("spec") or {}).get("affinity") or {}).get("podAntiAffinity")
        return gone and bool(far)


def _tally(tally: Tally, key: str, labels: Mapping[str, str], by: int) -> None:
    """What comes down to nothing leaves no trace: an empty tally means that nothing matches anywhere."""
    value = labels.get(key)
    if value is None:
        return
    total = tally.get((key, value), 0) + by
    if total:
        tally[key, value] = total
    else:
        tally.pop((key, value), None)


def _any(tally: Tally, keys: Iterable[str], labels: Mapping[str, str]) -> bool:
    return any(tally.get((key, labels[key]), 0) > 0 for key in keys if key in labels)


def _node_hint(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    """A node with the topologies it asks for."""
    labels = ((new or {}).get("metadata") or {}).get("labels") or {}
    return all(term.topology_key in labels for term in pod.required_affinity)


def _namespace_hint(pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    """Labels of a namespace have changed: that matters to who selects namespaces by labels."""
    terms = (*pod.required_affinity, *pod.required_anti_affinity)
    return any(term.namespace_selector is not None for term in terms)

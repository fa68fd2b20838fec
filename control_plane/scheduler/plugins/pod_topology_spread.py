"""Spreads pods that match a selector over the values of a node label (KEP-895, KEP-3022, KEP-3094, KEP-3243).

DoNotSchedule constraints filter: matching pods here + this one - the least anywhere must not exceed
maxSkew. ScheduleAnyway constraints score: the fewer matching pods, the better, weighted by the logarithm of
the number of values. Pods without constraints get the default ones, with the selector of what owns or
serves them.

PodTopologySpreadArgs: defaultingType System (hostname with skew 3, zone with skew 5, both soft) or List with
defaultConstraints.

Counts come from the cache's counters; only a pod whose constraints leave nodes out (by node affinity or
taints) makes its cycle look at all nodes.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.api.selectors import LabelSelector, Requirement
from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import (
    HOSTNAME,
    NO_EXECUTE,
    NO_SCHEDULE,
    ZONE,
    selector_of,
    untolerated,
)
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import (
    MAX_NODE_SCORE,
    CycleState,
    FilterPlugin,
    Handle,
    PodCounts,
    PreFilterPlugin,
    ScorePlugin,
)
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, unresolvable, unschedulable

REASON = unschedulable("node(s) didn't match pod topology spread constraints")
REASON_LABEL = unresolvable("node(s) didn't match pod topology spread constraints (missing required label)")
HARD, SOFT = "DoNotSchedule", "ScheduleAnyway"
HONOR = "Honor"
SYSTEM_DEFAULTS: tuple[Obj, ...] = (
    {"maxSkew": 3, "topologyKey": HOSTNAME, "whenUnsatisfiable": SOFT},
    {"maxSkew": 5, "topologyKey": ZONE, "whenUnsatisfiable": SOFT},
)


@dataclass(frozen=True, slots=True)
class Constraint:
    max_skew: int
    topology_key: str
    selector: LabelSelector
    min_domains: int
    honors_affinity: bool
    honors_taints: bool

    def counts_in(self, pod: PodInfo, node: NodeInfo) -> bool:
        """Whether the node's pods matter to this pod."""
        if self.honors_affinity and not pod.node_affinity.matches(node.labels, node.name):
            return False
        return not (
            self.honors_taints and untolerated(node.taints, pod.tolerations, (NO_SCHEDULE, NO_EXECUTE))
        )

    def leaves_out(self, pod: PodInfo) -> bool:
        return self.honors_taints or (self.honors_affinity and not pod.node_affinity.anywhere)


@dataclass(slots=True)
class _Filtering:
    constraints: tuple[Constraint, ...]
    counts: list[dict[str, int]]  # per constraint: matching pods by topology value
    self_match: list[int]
    minima: list[int | None]  # None: to be found again

    def least(self, index: int) -> int:
        """The global minimum; fewer values than minDomains count as an empty one."""
        least = self.minima[index]
        if least is None:
            counts = self.counts[index]
            enough = len(counts) >= self.constraints[index].min_domains
            least = self.minima[index] = min(counts.values(), default=0) if enough else 0
        return least


@dataclass(slots=True)
class _Scoring:
    constraints: tuple[Constraint, ...]
    ignored: set[str] = field(default_factory=set)
    counts: list[Mapping[str, int]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


class PodTopologySpread(PreFilterPlugin, FilterPlugin, ScorePlugin):
    name = "PodTopologySpread"
    normalizes = True

    def __init__(self, handle: Handle, args: Mapping[str, Any]) -> None:
        super().__init__(handle, args)
        self._system_defaults = args.get("defaultingType", "System") == "System"
        listed = args.get("defaultConstraints") or ()
        if self._system_defaults and listed:
            raise ValueError("defaultConstraints need defaultingType List")
        self._defaults: Sequence[Obj] = SYSTEM_DEFAULTS if self._system_defaults else listed

    # ---- filter

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | None:
        constraints = self._constraints(pod, HARD)
        if not constraints:
            return SKIP
        counts = [self._domains(pod, constraint, constraints) for constraint in constraints]
        matches = [int(constraint.selector.matches(pod.labels)) for constraint in constraints]
        state[self.name] = _Filtering(constraints, counts, matches, [None] * len(constraints))
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        data: _Filtering = state[self.name]
        for index, constraint in enumerate(data.constraints):
            value = node.labels.get(constraint.topology_key)
            if value is None:
                return REASON_LABEL
            here = data.counts[index].get(value, 0)
            if here + data.self_match[index] - data.least(index) > constraint.max_skew:
                return REASON
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        self._change(state, pod, added, node, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        self._change(state, pod, removed, node, -1)

    def copy_state(self, data: Any) -> Any:
        if not isinstance(data, _Filtering):
            return data
        counts = [dict(each) for each in data.counts]
        return _Filtering(data.constraints, counts, data.self_match, list(data.minima))

    def _change(self, state: CycleState, pod: PodInfo, other: PodInfo, node: NodeInfo, by: int) -> None:
        data = state.get(self.name)
        if not isinstance(data, _Filtering) or other.namespace != pod.namespace:
            return
        if not _has_all(node, data.constraints):
            return
        for index, constraint in enumerate(data.constraints):
            if constraint.selector.matches(other.labels) and constraint.counts_in(pod, node):
                value = node.labels[constraint.topology_key]
                data.counts[index][value] = data.counts[index].get(value, 0) + by
                data.minima[index] = None

    def _domains(
        self, pod: PodInfo, constraint: Constraint, constraints: Sequence[Constraint]
    ) -> dict[str, int]:
        """Every value that an eligible node has, with its matching pods; values without pods count 0."""
        key = constraint.topology_key
        everywhere = not constraint.leaves_out(pod)
        if everywhere and self._everywhere(constraints):
            by_value = self._counted(pod, constraint).by_value(key)
            return {value: by_value.get(value, 0) for value in self.handle.nodes.topology(key)}
        by_node = self._counted(pod, constraint).by_node
        counts: dict[str, int] = {}
        for node in self.handle.nodes.all():
            if not _has_all(node, constraints):
                continue
            if everywhere or constraint.counts_in(pod, node):
                value = node.labels[key]
                counts[value] = counts.get(value, 0) + by_node.get(node.name, 0)
        return counts

    def _everywhere(self, constraints: Sequence[Constraint]) -> bool:
        """Every node has every label: then no node is left out of the counts."""
        nodes = self.handle.nodes
        total = len(nodes.all())
        return all(sum(nodes.topology(each.topology_key).values()) == total for each in constraints)

    # ---- score

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Status | None:
        constraints = self._constraints(pod, SOFT)
        if not constraints:
            return SKIP
        own = bool((pod.pod.get("spec") or {}).get("topologySpreadConstraints"))
        need_all_labels = own or not self._system_defaults
        data = _Scoring(constraints)
        if need_all_labels:
            data.ignored = {node.name for node in nodes if not _has_all(node, constraints)}
        for constraint in constraints:
            if constraint.topology_key == HOSTNAME:
                data.counts.append(self._counted(pod, constraint).by_node)
                size = len(nodes) - len(data.ignored)
            else:
                data.counts.append(self._by_value(pod, constraint, constraints, need_all_labels))
                key = constraint.topology_key
                size = len({node.labels.get(key, "") for node in nodes if node.name not in data.ignored})
            data.weights.append(math.log(size + 2))
        state[f"{self.name}/score"] = data
        return None

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """Matching pods in the node's topologies, weighted: fewer is better."""
        return self.score_all(state, pod, [node])[0]

    def score_all(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        data: _Scoring = state[f"{self.name}/score"]
        totals = [0.5] * len(nodes)  # rounded half up at the end
        for constraint, counts, weight in zip(data.constraints, data.counts, data.weights, strict=True):
            key, more = constraint.topology_key, constraint.max_skew - 1
            count = counts.get
            if key == HOSTNAME:
                terms = [count(n.name, 0) * weight + more if key in n.labels else 0.0 for n in nodes]
            else:
                values = [n.labels.get(key) for n in nodes]
                terms = [0.0 if v is None else count(v, 0) * weight + more for v in values]
            totals = list(map(operator.add, totals, terms))
        scores = list(map(math.floor, totals))
        if data.ignored:
            return [0 if n.name in data.ignored else s for n, s in zip(nodes, scores, strict=True)]
        return scores

    def normalize(
        self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], scores: list[int]
    ) -> list[int]:
        ignored = (state[f"{self.name}/score"]).ignored
        counted = (
            [s for s, node in zip(scores, nodes, strict=True) if node.name not in ignored]
            if ignored
            else scores
        )
        largest, smallest = max(counted, default=0), min(counted, default=0)
        if largest == 0:
            normalized = [MAX_NODE_SCORE] * len(scores)
        else:
            both = largest + smallest
            normalized = [MAX_NODE_SCORE * (both - score) // largest for score in scores]
        if not ignored:
            return normalized
        return [0 if node.name in ignored else s for s, node in zip(normalized, nodes, strict=True)]

    def _by_value(
        self, pod: PodInfo, constraint: Constraint, constraints: Sequence[Constraint], need_all_labels: bool
    ) -> Mapping[str, int]:
        counted = self._counted(pod, constraint)
        if not need_all_labels and not constraint.leaves_out(pod):
            return counted.by_value(constraint.topology_key)
        totals: dict[str, int] = {}
        for node_name, count in counted.by_node.items():
            node = self.handle.nodes.get(node_name)
            if node is None or (need_all_labels and not _has_all(node, constraints)):
                continue
            if constraint.counts_in(pod, node):
                value = node.labels.get(constraint.topology_key, "")
                totals[value] = totals.get(value, 0) + count
        return totals

    # ---- both

    def _counted(self, pod: PodInfo, constraint: Constraint) -> PodCounts:
        """An empty selector counts nobody, though it means every pod."""
        selector = LabelSelector(nothing=True) if constraint.selector.empty else constraint.selector
        return self.handle.nodes.matching(pod.namespace, selector)

    def _constraints(self, pod: PodInfo, action: str) -> tuple[Constraint, ...]:
        own = (pod.pod.get("spec") or {}).get("topologySpreadConstraints")
        if own:
            return tuple(_constraint(each, pod) for each in own if each["whenUnsatisfiable"] == action)
        defaults = [each for each in self._defaults if each["whenUnsatisfiable"] == action]
        if not defaults:
            return ()
        selector = self.handle.workloads.default_selector(pod)
        if selector is None or selector.empty or selector.nothing:
            return ()
        return tuple(_constraint(each, pod, selector) for each in defaults)

    def interests(self) -> Sequence[Interest]:
        pods = Action.ADD | Action.DELETE | Action.UPDATE_POD_LABEL
        nodes = Action.ADD | Action.DELETE | Action.UPDATE_NODE_LABEL | Action.UPDATE_NODE_TAINT
        return (
            Interest(ClusterEvent(Kind.ASSIGNED_POD, pods), self._pod_hint),
            Interest(ClusterEvent(Kind.NODE, nodes)),
        )

    def _pod_hint(self, pod: PodInfo, old: Obj | None, new: Obj | None) -> bool:
        """Only pods of its namespace that one of its selectors means."""
        constraints = self._constraints(pod, HARD)
        for other in (old, new):
            metadata = (other or {}).get("metadata") or {}
            if metadata.get("namespace") == pod.namespace:
                labels = metadata.get("labels") or {}
                if any(constraint.selector.matches(labels) for constraint in constraints):
                    return True
        return False


def _constraint(each: Obj, pod: PodInfo, selector: LabelSelector | None = None) -> Constraint:
    if selector is None:
        selector = selector_of(each.get("labelSelector"))
        keys = [key for key in each.get("matchLabelKeys") or () if key in pod.labels]
        if keys and not selector.nothing:
            extra = tuple(Requirement(key, "in", frozenset((pod.labels[key],))) for key in keys)
            selector = LabelSelector((*selector.requirements, *extra))
    return Constraint(
        max_skew=each["maxSkew"],
        topology_key=each["topologyKey"],
        selector=selector,
        min_domains=each.get("minDomains") or 1,
        honors_affinity=(each.get("nodeAffinityPolicy") or HONOR) == HONOR,
        honors_taints=each.get("nodeTaintsPolicy") == HONOR,
    )


def _has_all(node: NodeInfo, constraints: Sequence[Constraint]) -> bool:
    return all(constraint.topology_key in node.labels for constraint in constraints)

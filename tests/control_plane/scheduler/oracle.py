"""Feasible nodes and scores computed the long way: no tables, no counters, nothing kept between pods. Pod affinity
and topology spreading, where the scheduler counts cleverly, are worked out again from their definitions; the other
plugins are asked node by node, in a world that has just been made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from control_plane.scheduler.framework.affinity import (
    NO_EXECUTE,
    NO_SCHEDULE,
    PodTerm,
    selector_of,
    untolerated,
)
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from tests.control_plane.scheduler.build import HOST, World

SPREAD, NEAR = "PodTopologySpread", "InterPodAffinity"
Scores = dict[str, int]


def judge(world: World, pod: PodInfo) -> Scores:
    """The feasible nodes with their final scores."""
    nodes = [node for node in world.cache.all() if _fits(world, pod, node)]
    totals = dict.fromkeys((node.name for node in nodes), 0)
    for plugin, weight in world.profile.scores:
        scores = _scores(world, plugin, pod, nodes)
        for name in totals if scores else ():
            totals[name] += weight * scores[name]
    return totals


def _fits(world: World, pod: PodInfo, node: NodeInfo) -> bool:
    for plugin in world.profile.filters:
        if plugin.name == SPREAD:
            fits = _spreads(world, pod, node)
        elif plugin.name == NEAR:
            fits = _is_near(world, pod, node)
        else:
            state: dict[str, Any] = {}
            answer = plugin.pre_filter(state, pod) if hasattr(plugin, "pre_filter") else None
            skipped = answer is not None and not isinstance(answer, frozenset)
            fits = skipped or plugin.filter(state, pod, node) is None
        if not fits:
            return False
    return True


def _scores(world: World, plugin: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Scores:
    if plugin.name == SPREAD:
        return _spread_scores(world, pod, nodes)
    if plugin.name == NEAR:
        return _near_scores(world, pod, nodes)
    state: dict[str, Any] = {}
    if plugin.pre_score(state, pod, nodes) is not None:
        return {}
    raw = [plugin.score(state, pod, node) for node in nodes]
    normalized = plugin.normalize(state, pod, nodes, raw)
    return {node.name: score for node, score in zip(nodes, normalized, strict=True)}


# ---- topology spread


def _constraints(pod: PodInfo, action: str) -> list[dict[str, Any]]:
    listed = pod.pod["spec"].get("topologySpreadConstraints") or ()
    return [each for each in listed if each["whenUnsatisfiable"] == action]


def _has_keys(node: NodeInfo, constraints: Sequence[dict[str, Any]]) -> bool:
    return all(each["topologyKey"] in node.labels for each in constraints)


def _matching(pod: PodInfo, constraint: dict[str, Any], node: NodeInfo) -> int:
    selector = selector_of(constraint["labelSelector"])
    keys = [key for key in constraint.get("matchLabelKeys") or () if key in pod.labels]
    return sum(
        other.namespace == pod.namespace
        and not other.terminating
        and selector.matches(other.labels)
        and all(other.labels.get(key) == pod.labels[key] for key in keys)
        for other in node.pods.values()
    )


def _counts(pod: PodInfo, constraint: dict[str, Any], node: NodeInfo) -> bool:
    honors = constraint.get("nodeAffinityPolicy", "Honor") == "Honor"
    if honors and not pod.node_affinity.matches(node.labels, node.name):
        return False
    if constraint.get("nodeTaintsPolicy") == "Honor":
        return untolerated(node.taints, pod.tolerations, (NO_SCHEDULE, NO_EXECUTE)) is None
    return True


def _spreads(world: World, pod: PodInfo, node: NodeInfo) -> bool:
    constraints = _constraints(pod, "DoNotSchedule")
    for constraint in constraints:
        key, found = constraint["topologyKey"], {}
        if key not in node.labels:
            return False
        for other in world.cache.all():
            if _has_keys(other, constraints) and _counts(pod, constraint, other):
                value = other.labels[key]
                found[value] = found.get(value, 0) + _matching(pod, constraint, other)
        least = min(found.values(), default=0) if len(found) >= constraint.get("minDomains", 1) else 0
        itself = selector_of(constraint["labelSelector"]).matches(pod.labels)
        if found.get(node.labels[key], 0) + itself - least > constraint["maxSkew"]:
            return False
    return True


def _spread_scores(world: World, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Scores:
    constraints = _constraints(pod, "ScheduleAnyway")
    counted = [node for node in nodes if _has_keys(node, constraints)]
    if not constraints:
        return {}
    raw = {node.name: _spread_score(world, pod, constraints, node, counted) for node in counted}
    most, least = max(raw.values(), default=0), min(raw.values(), default=0)
    return {
        node.name: 0
        if node.name not in raw
        else 100
        if not most
        else 100 * (most + least - raw[node.name]) // most
        for node in nodes
    }


def _spread_score(
    world: World,
    pod: PodInfo,
    constraints: Sequence[dict[str, Any]],
    node: NodeInfo,
    counted: Sequence[NodeInfo],
) -> int:
    total = 0.0
    for constraint in constraints:
        key = constraint["topologyKey"]
        peers = [node]
        if key != HOST:
            same = [each for each in world.cache.all() if each.labels.get(key) == node.labels[key]]
            peers = [each for each in same if _has_keys(each, constraints) and _counts(pod, constraint, each)]
        size = len({each.labels[key] if key != HOST else each.name for each in counted})
        matching = sum(_matching(pod, constraint, each) for each in peers)
        total += matching * math.log(size + 2) + constraint["maxSkew"] - 1
    return math.floor(total + 0.5)


# ---- pod affinity


def _pairs(world: World) -> list[tuple[PodInfo, NodeInfo]]:
    return [(other, node) for node in world.cache.all() for other in node.pods.values()]


def _means(world: World, term: PodTerm, pod: PodInfo) -> bool:
    return term.matches(pod.namespace, pod.labels, world.namespace_labels)


def _together(term: PodTerm, one: NodeInfo, other: NodeInfo) -> bool:
    value = one.labels.get(term.topology_key)
    return value is not None and value == other.labels.get(term.topology_key)


def _is_near(world: World, pod: PodInfo, node: NodeInfo) -> bool:
    pairs = _pairs(world)
    if any(term.topology_key not in node.labels for term in pod.required_affinity):
        return False
    friends = [
        (other, at)
        for other, at in pairs
        if all(_means(world, term, other) for term in pod.required_affinity)
    ]
    near = all(any(_together(term, node, at) for _, at in friends) for term in pod.required_affinity)
    anywhere = any(term.topology_key in at.labels for _, at in friends for term in pod.required_affinity)
    itself = all(_means(world, term, pod) for term in pod.required_affinity)
    if not near and (anywhere or not itself):
        return False
    return not any(
        _means(world, term, other) and _together(term, node, at)
        for other, at in pairs
        for term in pod.required_anti_affinity
    ) and not any(
        _means(world, term, pod) and _together(term, node, at)
        for other, at in pairs
        for term in other.required_anti_affinity
    )


def _near_scores(world: World, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Scores:
    raw: Scores = {}
    for node in nodes:
        total = 0
        for other, at in _pairs(world):
            wishes = [(weight, term, other) for weight, term in pod.preferred_affinity]
            wishes += [(-weight, term, other) for weight, term in pod.preferred_anti_affinity]
            wishes += [(1, term, pod) for term in other.required_affinity]
            wishes += [(weight, term, pod) for weight, term in other.preferred_affinity]
            wishes += [(-weight, term, pod) for weight, term in other.preferred_anti_affinity]
            total += sum(
                w for w, term, who in wishes if _means(world, term, who) and _together(term, node, at)
            )
        raw[node.name] = total
    least, most = min(raw.values(), default=0), max(raw.values(), default=0)
    if most == least:
        return {}
    return {name: int(100 * ((score - least) / (most - least))) for name, score in raw.items()}

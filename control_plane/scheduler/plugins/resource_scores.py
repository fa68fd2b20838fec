"""The arithmetic of resource scores, as kube-scheduler's to the last division. Pure; shared by two plugins.

Each strategy gets, per resource, what would be requested with the pod on the node and what the node has,
and a weight. Integer division truncates on purpose: the scores must be the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from control_plane.scheduler.framework.interface import MAX_NODE_SCORE
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.resources import CPU, EPHEMERAL_STORAGE, MEMORY

Weights = tuple[tuple[str, int], ...]
Scorer = Callable[
    [Sequence[int], Sequence[int]], int
]  # (requested, allocatable), in the order of the weights

DEFAULT_WEIGHTS: Weights = ((CPU, 1), (MEMORY, 1))
MAX_UTILIZATION = 100
SHAPE_SCALE = 10  # shapes score from 0 to 10


def weights_of(items: Sequence[Mapping[str, Any]] | None) -> Weights:
    if not items:
        return DEFAULT_WEIGHTS
    return tuple((each["name"], int(each.get("weight") or 1)) for each in items)


def amounts(pod: PodInfo, node: NodeInfo, weights: Weights) -> tuple[list[int], list[int]]:
    """(requested with the pod, allocatable); who asks for nothing counts with the defaults. A resource that the
    pod does not ask for and few nodes have counts nothing."""
    requested, allocatable = [], []
    for name, _ in weights:
        if name == CPU:
            asked, held = pod.non_zero_cpu, node.non_zero_cpu
        elif name == MEMORY:
            asked, held = pod.non_zero_memory, node.non_zero_memory
        else:
            asked, held = pod.requests.get(name), node.requested.get(name)
        counts = _counts(name, asked)
        requested.append(held + asked if counts else 0)
        allocatable.append(node.allocatable.get(name) if counts else 0)
    return requested, allocatable


def _counts(name: str, asked: int) -> bool:
    return asked != 0 or name in (CPU, MEMORY, EPHEMERAL_STORAGE)


def least_allocated(weights: Weights) -> Scorer:
    """The more is left free, the better."""

    def score(requested: Sequence[int], allocatable: Sequence[int]) -> int:
        total = weight_sum = 0
        for index, (_, weight) in enumerate(weights):
            capacity, used = allocatable[index], requested[index]
            if capacity == 0:
                continue
            if used <= capacity:
                total += ((capacity - used) * MAX_NODE_SCORE // capacity) * weight
            weight_sum += weight
        return total // weight_sum if weight_sum else 0

    return score


def most_allocated(weights: Weights) -> Scorer:
    """The fuller, the better: packs pods together."""

    def score(requested: Sequence[int], allocatable: Sequence[int]) -> int:
        total = weight_sum = 0
        for index, (_, weight) in enumerate(weights):
            capacity = allocatable[index]
            if capacity == 0:
                continue
            total += (min(requested[index], capacity) * MAX_NODE_SCORE // capacity) * weight
            weight_sum += weight
        return total // weight_sum if weight_sum else 0

    return score


def requested_to_capacity_ratio(weights: Weights, shape: Sequence[Mapping[str, int]]) -> Scorer:
    """A function of the utilization, drawn by the points of the shape."""
    points = [(int(point["utilization"]), int(point["score"]) * SHAPE_SCALE) for point in shape]

    def score(requested: Sequence[int], allocatable: Sequence[int]) -> int:
        total = weight_sum = 0
        for index, (_, weight) in enumerate(weights):
            capacity, used = allocatable[index], requested[index]
            if capacity == 0:
                continue
            utilization = MAX_UTILIZATION if used > capacity else used * MAX_UTILIZATION // capacity
            resource_score = _interpolated(points, utilization)
            if resource_score > 0:
                total += resource_score * weight
                weight_sum += weight
        return _half_away(total / weight_sum) if weight_sum else 0

    return score


def balanced(pod: PodInfo, node: NodeInfo, weights: Weights) -> int:
    """How much more alike the pod would make the fractions of the node that are in use: 75 when it changes
    nothing, 50 when it makes a balanced node as unbalanced as can be, 100 the other way round. What is asked for
    counts, not the defaults."""
    names = [name for name, _ in weights if _counts(name, pod.requests.get(name))]
    capacities = [node.allocatable.get(name) for name in names]
    held = [node.requested.get(name) for name in names]
    wanted = [used + pod.requests.get(name) for name, used in zip(names, held, strict=True)]
    change = _balance(wanted, capacities) - _balance(held, capacities)
    return MAX_NODE_SCORE // 2 + _truncated(MAX_NODE_SCORE // 2 + change, 2)


def _balance(used: Sequence[int], capacities: Sequence[int]) -> int:
    """100 when the fractions in use are the same, less by their standard deviation."""
    fractions = [min(1.0, amount / most) for amount, most in zip(used, capacities, strict=True) if most]
    deviation = 0.0
    if len(fractions) == 2:
        deviation = abs((fractions[0] - fractions[1]) / 2)
    elif len(fractions) > 2:
        mean = sum(fractions) / len(fractions)
        deviation = math.sqrt(sum((each - mean) * (each - mean) for each in fractions) / len(fractions))
    return int((1 - deviation) * MAX_NODE_SCORE)


def _interpolated(points: Sequence[tuple[int, int]], utilization: int) -> int:
    for index, (at, score) in enumerate(points):
        if utilization <= at:
            if index == 0:
                return points[0][1]
            before_at, before = points[index - 1]
            return before + _truncated((score - before) * (utilization - before_at), at - before_at)
    return points[-1][1]


def _truncated(dividend: int, divisor: int) -> int:
    """Go's integer division: towards zero."""
    quotient = abs(dividend) // divisor
    return quotient if dividend >= 0 else -quotient


def _half_away(value: float) -> int:
    return math.floor(value + 0.5)

"""Kubernetes' lists: isSorted, sum, min, max, indexOf, lastIndexOf; and those of CEL's lists extension."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any

from control_plane.apiserver.cel import operators, ordering
from control_plane.apiserver.cel.budget import Budget
from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library, item_cost
from control_plane.apiserver.cel.values import Duration

LIBRARY = Library()
declare = LIBRARY.declare

_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")


@declare(*(f"method isSorted(list({each})) -> bool" for each in _COMPARABLE), cost=item_cost)
def is_sorted(items: list[Any]) -> bool:
    return not any(operators.less(other, one) for one, other in pairwise(items))


@declare(
    *(f"method sum(list({each})) -> {each}" for each in ("int", "uint", "double", "duration")), cost=item_cost
)
def sum_(items: list[Any]) -> Any:
    if not items:
        return 0
    return reduce(lambda one, other: operators.add(one, other, Budget()), items)


@declare("method sum(list(duration)) -> duration", cost=item_cost)
def sum_durations(items: list[Any]) -> Duration:
    return Duration(sum(each.nanos for each in items))


@declare(*(f"method min(list({each})) -> {each}" for each in _COMPARABLE), cost=item_cost)
def min_(items: list[Any]) -> Any:
    if not items:
        raise EvaluationError("min called on empty list")
    return reduce(lambda one, other: other if operators.less(other, one) else one, items)


@declare(*(f"method max(list({each})) -> {each}" for each in _COMPARABLE), cost=item_cost)
def max_(items: list[Any]) -> Any:
    if not items:
        raise EvaluationError("max called on empty list")
    return reduce(lambda one, other: other if operators.less(one, other) else one, items)


@declare("method indexOf(list(<A>), <A>) -> int", cost=item_cost)
def index_of(items: list[Any], item: Any) -> int:
    return next((index for index, each in enumerate(items) if operators.equal(each, item)), -1)


@declare("method lastIndexOf(list(<A>), <A>) -> int", cost=item_cost)
def last_index_of(items: list[Any], item: Any) -> int:
    return max((index for index, each in enumerate(items) if operators.equal(each, item)), default=-1)


def _slice_cost(items: list[Any], start: int, end: int) -> int:
    return ordering.ALLOCATION_COST + max(end - start, 0)


@declare("method slice(list(<A>), int, int) -> list(<A>)", cost=_slice_cost)
def slice_(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        why = "start index must be less than or equal to end index"
        raise EvaluationError(f"cannot slice({start}, {end}), {why}")
    if end > len(items):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten_cost(items: list[Any], depth: int = 1) -> int:
    return ordering.ALLOCATION_COST + max(depth, 0) * len(items)


@declare("method flatten(list(list(<A>))) -> list(<A>)", cost=_flatten_cost)
@declare("method flatten(list(dyn), int) -> list(dyn)", cost=_flatten_cost)
def flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    flat: list[Any] = []
    for each in items:
        if isinstance(each, list) and depth > 0:
            flat += flatten(each, depth - 1)
        else:
            flat.append(each)
    return flat


@declare("method distinct(list(<A>)) -> list(<A>)", cost=ordering.cost)
def distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for each in items:
        if not any(operators.equal(each, other) for other in found):
            found.append(each)
    return found


@declare("method reverse(list(<A>)) -> list(<A>)", cost=lambda items: ordering.ALLOCATION_COST + len(items))
def reverse(items: list[Any]) -> list[Any]:
    return items[::-1]


@declare(*(f"method sort(list({each})) -> list({each})" for each in _COMPARABLE), cost=ordering.cost)
def sort(items: list[Any]) -> list[Any]:
    return ordering.ordered(items, items)


@declare(
    "function lists.range(int) -> list(int)", cost=lambda count: ordering.ALLOCATION_COST + max(count, 0)
)
def range_(count: int) -> list[int]:
    if count < 0:
        raise EvaluationError(f"lists.range: size must be non-negative, got {count}")
    return list(range(count))

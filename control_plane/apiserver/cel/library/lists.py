"""Kubernetes' lists: isSorted, sum, min, max, indexOf, lastIndexOf; and those of CEL's lists extension."""

from __future__ import annotations

from functools import cmp_to_key, reduce
from itertools import pairwise
from typing import Any

from control_plane.apiserver.cel import operators
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


@declare("method slice(list(<A>), int, int) -> list(<A>)", cost=item_cost)
def slice_(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0 or start > end or end > len(items):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


@declare(
    "method flatten(list(<A>)) -> list(dyn)", "method flatten(list(<A>), int) -> list(dyn)", cost=item_cost
)
def flatten(items: list[Any], depth: int = 1) -> list[Any]:
    flat: list[Any] = []
    for each in items:
        if isinstance(each, list) and depth > 0:
            flat += flatten(each, depth - 1)
        else:
            flat.append(each)
    return flat


@declare("method distinct(list(<A>)) -> list(<A>)", cost=lambda items: 1 + len(items) * len(items) // 2)
def distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for each in items:
        if not any(operators.equal(each, other) for other in found):
            found.append(each)
    return found


@declare("method reverse(list(<A>)) -> list(<A>)", cost=item_cost)
def reverse(items: list[Any]) -> list[Any]:
    return items[::-1]


@declare(*(f"method sort(list({each})) -> list({each})" for each in _COMPARABLE), cost=item_cost)
def sort(items: list[Any]) -> list[Any]:
    return sorted(items, key=cmp_to_key(_compare))


def _compare(one: Any, other: Any) -> int:
    return -1 if operators.less(one, other) else int(operators.less(other, one))


@declare("function lists.range(int) -> list(int)", cost=lambda count: 1 + max(count, 0))
def range_(count: int) -> list[int]:
    return list(range(count))

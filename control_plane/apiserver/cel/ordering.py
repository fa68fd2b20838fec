"""Putting lists in order: `sort`, and `sortBy` with a key for each item."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Any

from control_plane.apiserver.cel import operators
from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
)

COMPARABLE = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
ALLOCATION_COST = 11  # of a call that makes a list
_COMPARISON_COST = 2  # each item is compared with each, as it is counted
_TEXT_COMPARISON_COST = 2.1


def sorts(held: Type, key: Type) -> bool:
    """Whether a range of this type can be sorted by keys of that one."""
    return held.name in ("list", DYN.name) and (key == DYN or key in COMPARABLE)


def cost(keys: Sequence[Any]) -> int:
    is_text = bool(keys) and isinstance(keys[0], str | bytes)
    each = _TEXT_COMPARISON_COST if is_text else _COMPARISON_COST
    return ALLOCATION_COST + int(each * len(keys) ** 2)


def ordered(items: Sequence[Any], keys: Sequence[Any]) -> list[Any]:
    """The items in the order of their keys. Raises EvaluationError."""
    if not items:
        return []
    kind = operators.type_of(keys[0])
    if kind not in COMPARABLE:
        raise EvaluationError("list elements must be comparable")
    if any(operators.type_of(each) != kind for each in keys):
        raise EvaluationError("list elements must have the same type")
    by_key = cmp_to_key(_compare)
    places = sorted(range(len(items)), key=lambda place: by_key(keys[place]))
    return [items[place] for place in places]


def _compare(one: Any, other: Any) -> int:
    return -1 if operators.less(one, other) else int(operators.less(other, one))

"""Equality and type names of JSON values as the wire sees them.

Python says `True == 1 == 1.0`; JSON has three different values there, and a `test` operation or a merge key
that mixed them up would patch the wrong element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def same(left: Any, right: Any) -> bool:
    """Deep equality of two JSON values, by type and value."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def contains(items: Sequence[Any], value: Any) -> bool:
    return any(same(item, value) for item in items)


def distinct(items: Sequence[Any]) -> list[Any]:
    """The items without repetitions; the first of each kind stays."""
    result: list[Any] = []
    for item in items:
        if not contains(result, item):
            result.append(item)
    return result


def type_name(value: Any) -> str:
    """The JSON type's name, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"

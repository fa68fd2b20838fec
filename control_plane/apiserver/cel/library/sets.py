"""Lists as sets: contains, equivalent, intersects."""

from __future__ import annotations

from typing import Any

from control_plane.apiserver.cel import operators
from control_plane.apiserver.cel.functions import Library

LIBRARY = Library()
declare = LIBRARY.declare


def _product(one: list[Any], other: list[Any]) -> int:
    return 1 + len(one) * len(other)


def _covers(one: list[Any], other: list[Any]) -> bool:
    return all(any(operators.equal(item, each) for each in one) for item in other)


@declare("function sets.contains(list(<A>), list(<A>)) -> bool", cost=_product)
def contains(one: list[Any], other: list[Any]) -> bool:
    return _covers(one, other)


@declare("function sets.equivalent(list(<A>), list(<A>)) -> bool", cost=_product)
def equivalent(one: list[Any], other: list[Any]) -> bool:
    return _covers(one, other) and _covers(other, one)


@declare("function sets.intersects(list(<A>), list(<A>)) -> bool", cost=_product)
def intersects(one: list[Any], other: list[Any]) -> bool:
    return any(operators.equal(item, each) for each in one for item in other)

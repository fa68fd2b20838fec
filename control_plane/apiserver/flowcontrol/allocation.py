"""Dividing the server's seats: each level gets the same proportion of what it wants, within its own bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_MIN_TARGET = 0.001  # who wants nothing still has a proportion


@dataclass(frozen=True, slots=True)
class Wish:
    """One level's: at least `lower`, at most `upper`, and ideally in proportion to `target`."""

    lower: float
    upper: float
    target: float


def allocate(total: float, wishes: Sequence[Wish]) -> tuple[list[float], float]:
    """What each gets, and the proportion. The sum is `total` where the bounds allow it."""
    assert all(wish.lower <= wish.upper for wish in wishes)
    if total <= sum(wish.lower for wish in wishes):
        return [wish.lower for wish in wishes], min((_lower(wish) for wish in wishes), default=0.0)
    if total >= sum(wish.upper for wish in wishes):
        return [wish.upper for wish in wishes], max((_upper(wish) for wish in wishes), default=0.0)
    proportion = _proportion(total, wishes)
    return [_clamped(wish, proportion) for wish in wishes], proportion


def _proportion(total: float, wishes: Sequence[Wish]) -> float:
    """The sum of what all get is a piecewise linear function of the proportion, and it only grows."""
    bends = sorted({0.0, *map(_lower, wishes), *map(_upper, wishes)})
    before, sum_before = bends[0], _sum(wishes, bends[0])
    for bend in bends[1:]:
        sum_here = _sum(wishes, bend)
        if sum_here >= total:
            return before + (bend - before) * (total - sum_before) / (sum_here - sum_before)
        before, sum_before = bend, sum_here
    return before


def _sum(wishes: Sequence[Wish], proportion: float) -> float:
    return sum(_clamped(wish, proportion) for wish in wishes)


def _clamped(wish: Wish, proportion: float) -> float:
    return max(wish.lower, min(wish.upper, proportion * max(wish.target, _MIN_TARGET)))


def _lower(wish: Wish) -> float:
    return wish.lower / max(wish.target, _MIN_TARGET)


def _upper(wish: Wish) -> float:
    return wish.upper / max(wish.target, _MIN_TARGET)

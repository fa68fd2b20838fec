"""A histogram for the hot path: one list of numbers, turned into Prometheus' form when it is asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.core import HistogramMetricFamily


class Histogram:
    """One writer at a time. Values are seconds; the bounds are inclusive, as Prometheus' are."""

    __slots__ = ("_bounds", "_counts", "_sum_s")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self._bounds = list(bounds_s)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum_s = 0.0

    def observe(self, value_s: float) -> None:
        self._counts[bisect_left(self._bounds, value_s)] += 1
        self._sum_s += value_s

    @property
    def count(self) -> int:
        return sum(self._counts)

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str] = ()) -> None:
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric(list(labels), buckets, self._sum_s)


def exponential(start_s: float, factor: float, count: int) -> list[float]:
    """Bounds, each `factor` times the one before."""
    return [round(start_s * factor**number, 12) for number in range(count)]

"""Metrics that cost next to nothing until somebody reads them: plain numbers by their labels, on one event loop.

prometheus_client's own take a lock and ten microseconds for each observation; these are turned into its families
when `/metrics` is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import ClassVar

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Buckets:
    """A histogram that costs one bisection."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """As Prometheus writes it: upper bound and how many are not above it."""
        so_far = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            so_far += count
            found.append(("+Inf" if bound is None else str(float(bound)), so_far))
        return found


class _Series(Collector):
    def __init__(
        self, name: str, text: str, labels: Labels, registry: CollectorRegistry | None = REGISTRY
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        if registry is not None:
            registry.register(self)


class _Values(_Series):
    """One number for each combination of labels."""

    family: ClassVar[type[CounterMetricFamily] | type[GaugeMetricFamily]]

    def __init__(
        self, name: str, text: str, labels: Labels, registry: CollectorRegistry | None = REGISTRY
    ) -> None:
        self.values: dict[Labels, float] = {}
        super().__init__(name, text, labels, registry)

    def add(self, labels: Labels, count: float = 1) -> None:
        self.values[labels] = self.values.get(labels, 0) + count

    def collect(self) -> Iterator[Metric]:
        family = self.family(self._name, self._text, labels=self._labels)
        for labels, value in self.values.items():
            family.add_metric(labels, value)
        yield family


class Counts(_Values):
    """A counter; the name is without `_total`."""

    family = CounterMetricFamily


class Levels(_Values):
    """A gauge that goes up and down."""

    family = GaugeMetricFamily

    def set(self, labels: Labels, value: float) -> None:
        self.values[labels] = value


class Histograms(_Series):
    def __init__(
        self,
        name: str,
        text: str,
        labels: Labels,
        bounds: Sequence[float],
        registry: CollectorRegistry | None = REGISTRY,
    ) -> None:
        self._bounds = tuple(bounds)
        self.values: dict[Labels, Buckets] = {}
        super().__init__(name, text, labels, registry)

    def observe(self, labels: Labels, value: float) -> None:
        self.of(labels).observe(value)

    def of(self, labels: Labels) -> Buckets:
        found = self.values.get(labels)
        if found is None:
            found = self.values[labels] = Buckets(self._bounds)
        return found

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for labels, buckets in self.values.items():
            family.add_metric(labels, buckets.cumulative(), buckets.total)
        yield family

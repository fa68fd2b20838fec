"""Counts by bound, added up as Prometheus wants them."""

from __future__ import annotations

from prometheus_client.core import HistogramMetricFamily

from store.component.histogram import Histogram, exponential


def test_buckets() -> None:
    histogram = Histogram(exponential(0.001, 2, 3))
    for value_s in (0.0, 0.001, 0.0011, 0.004, 5.0):
        histogram.observe(value_s)
    family = HistogramMetricFamily("h", "")
    histogram.add_to(family)
    buckets = {each.labels["le"]: each.value for each in family.samples if each.name == "h_bucket"}
    assert buckets == {"0.001": 2, "0.002": 3, "0.004": 4, "+Inf": 5}

"""`apiserver_flowcontrol_*`, made from the numbers as they are when somebody reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from control_plane.apiserver.flowcontrol.fairness import Fairness
from control_plane.apiserver.flowcontrol.levels import Level
from control_plane.apiserver.flowcontrol.tallies import Tally
from control_plane.apiserver.series import Buckets

_PREFIX = "apiserver_flowcontrol_"
_FLOW = ("priority_level", "flow_schema")

_GAUGES_OF_FLOWS: dict[str, tuple[str, Callable[[Tally], float]]] = {
    "current_inqueue_requests": ("Requests waiting in queues.", lambda tally: tally.waiting),
    "current_inqueue_seats": ("Seats that waiting requests will take.", lambda tally: tally.waiting_seats),
    "current_executing_requests": ("Requests being served.", lambda tally: tally.executing),
    "current_executing_seats": ("Seats taken by requests being served.", lambda tally: tally.executing_seats),
}
_HISTOGRAMS: dict[str, tuple[str, Callable[[Tally], Buckets]]] = {
    "request_queue_length_after_enqueue": (
        "Length of the queue, as a request finds it once it is in it.",
        lambda tally: tally.queue_length,
    ),
    "work_estimated_seats": ("Seats that requests were thought to take.", lambda tally: tally.seats),
}
_GAUGES_OF_LEVELS: dict[str, tuple[str, Callable[[Level], float]]] = {
    "nominal_limit_seats": ("Seats of the level's own.", lambda level: level.nominal),
    "lower_limit_seats": ("Seats that it never lends.", lambda level: level.lower),
    "upper_limit_seats": ("Seats that it has at most.", lambda level: level.upper),
    "current_limit_seats": ("Seats that it has now.", lambda level: level.queues.limit),
    "current_r": ("Virtual time.", lambda level: level.queues.virtual_r),
    "target_seats": ("Seats that it would like to have.", lambda level: level.target),
    "demand_seats_high_watermark": (
        "Most seats wanted at once in the last period.",
        lambda level: level.stats.high_watermark,
    ),
    "demand_seats_average": ("Seats wanted on average.", lambda level: level.stats.average),
    "demand_seats_stdev": ("Their standard deviation.", lambda level: level.stats.deviation),
    "demand_seats_smoothed": ("Seats wanted, smoothed over periods.", lambda level: level.stats.smoothed),
}


class FlowControlCollector(Collector):
    def __init__(self, fairness: Fairness) -> None:
        self._fairness = fairness

    def collect(self) -> Iterator[Metric]:
        tallies = list(self._fairness.tallies.values())
        yield from _of_flows(tallies)
        levels = self._fairness.levels
        for name, (text, value) in _GAUGES_OF_LEVELS.items():
            gauge = GaugeMetricFamily(_PREFIX + name, text, labels=("priority_level",))
            for level in levels.by_name.values():
                gauge.add_metric((level.name,), value(level))
            yield gauge
        yield GaugeMetricFamily(
            _PREFIX + "seat_fair_frac", "Share of its wish that each level gets.", levels.fair_fraction
        )


def _of_flows(tallies: list[Tally]) -> Iterator[Metric]:
    for name, (text, value) in _GAUGES_OF_FLOWS.items():
        gauge = GaugeMetricFamily(_PREFIX + name, text, labels=_FLOW)
        for tally in tallies:
            gauge.add_metric(_labels(tally), value(tally))
        yield gauge
    for name, (text, buckets) in _HISTOGRAMS.items():
        histogram = HistogramMetricFamily(_PREFIX + name, text, labels=_FLOW)
        for tally in tallies:
            _add(histogram, _labels(tally), buckets(tally))
        yield histogram
    dispatched = CounterMetricFamily(_PREFIX + "dispatched_requests", "Requests served.", labels=_FLOW)
    refused = CounterMetricFamily(
        _PREFIX + "rejected_requests", "Requests refused.", labels=(*_FLOW, "reason")
    )
    late = CounterMetricFamily(
        _PREFIX + "request_dispatch_no_accommodation", "Times that the next had no room.", labels=_FLOW
    )
    waits = HistogramMetricFamily(
        _PREFIX + "request_wait_duration_seconds", "Time in a queue.", labels=(*_FLOW, "execute")
    )
    serves = HistogramMetricFamily(
        _PREFIX + "request_execution_seconds", "Time of service.", labels=(*_FLOW, "type")
    )
    for tally in tallies:
        labels = _labels(tally)
        dispatched.add_metric(labels, tally.dispatched)
        late.add_metric(labels, tally.unaccommodated)
        for reason, count in tally.rejected.items():
            refused.add_metric((*labels, reason), count)
        _add(waits, (*labels, "true"), tally.waited_s)
        _add(waits, (*labels, "false"), tally.refused_after_s)
        _add(serves, (*labels, "regular"), tally.executed_s)
    yield from (dispatched, refused, late, waits, serves)


def _labels(tally: Tally) -> tuple[str, str]:
    return tally.level, tally.schema


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], buckets: Buckets) -> None:
    family.add_metric(labels, buckets.cumulative(), buckets.total)

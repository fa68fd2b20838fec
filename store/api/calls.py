"""How many calls began and how each ended, by method, through both doors; under the names that gRPC's servers
give to Prometheus. With `timed` also how long each took, which costs a little more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from store.api.methods import METHODS, full_name
from store.component.histogram import Histogram
from store.mvcc.errors import Code, RequestError

UNARY, SERVER_STREAM, BIDI_STREAM = "unary", "server_stream", "bidi_stream"
TYPES: dict[str, str] = {
    **{full_name(name): UNARY for name in METHODS},
    "grpc.health.v1.Health/Check": UNARY,
    "grpc.health.v1.Health/Watch": SERVER_STREAM,
    full_name("KV/RangeStream"): SERVER_STREAM,
    full_name("Watch/Watch"): BIDI_STREAM,
    full_name("Lease/LeaseKeepAlive"): BIDI_STREAM,
    full_name("Maintenance/Snapshot"): SERVER_STREAM,
    full_name("Election/Observe"): SERVER_STREAM,
}
T = TypeVar("T")
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # gRPC's
LABELS = ["grpc_type", "grpc_service", "grpc_method"]


class Calls:
    def __init__(self, timed: bool = False) -> None:
        self._started = dict.fromkeys(TYPES, 0)
        self._handled = {name: dict.fromkeys(Code, 0) for name in TYPES}  # every series from the start
        self._times = {name: Histogram(BOUNDS_S) for name in TYPES} if timed else None

    async def count(self, name: str, serve: Callable[[], Awaitable[T]]) -> T:
        """Serve a call of this method; what it raises goes on."""
        self._started[name] += 1
        began = time.perf_counter() if self._times is not None else 0.0
        code = Code.INTERNAL
        try:
            result = await serve()
            code = Code.OK
            return result
        except RequestError as error:
            code = error.code
            raise
        except (asyncio.CancelledError, ConnectionError):
            code = Code.CANCELLED
            raise
        finally:
            self._handled[name][code] += 1
            if self._times is not None:
                self._times[name].observe(time.perf_counter() - began)

    def collect(self) -> Iterator[Metric]:
        started = CounterMetricFamily("grpc_server_started", "Calls that began.", labels=LABELS)
        handled = CounterMetricFamily(
            "grpc_server_handled", "Calls that ended, however they did.", labels=[*LABELS, "grpc_code"]
        )
        times = HistogramMetricFamily(
            "grpc_server_handling_seconds", "Time from a call's begin to its end.", labels=LABELS
        )
        for name, kind in TYPES.items():
            labels = [kind, *name.split("/")]
            started.add_metric(labels, self._started[name])
            for code, count in self._handled[name].items():
                handled.add_metric([*labels, _go_name(code)], count)
            if self._times is not None:
                self._times[name].add_to(times, labels)
        yield started
        yield handled
        if self._times is not None:
            yield times


def _go_name(code: Code) -> str:
    if code is Code.OK:
        return "OK"
    return "Canceled" if code is Code.CANCELLED else code.name.title().replace("_", "")

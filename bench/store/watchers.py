"""Watch delivery: 100 watchers of one prefix, each on a connection of its own, and 1,000 writes a second.

A written value begins with the time at which it was sent; every tenth watcher reads it, the others only drain.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, cast

from bench.report import spread
from bench.store import grpc_load as g
from bench.store.clusters import Cluster
from bench.store.load import Door, Load, connect

WATCHERS = 100
WRITES_PER_S = 1000
WRITERS = 16
DURATION_S = 8.0
SETTLE_S = 1.0
ROUNDS = 3
SENT = re.compile(rb"sent=(\d{20})")
PAD = b"v" * (256 - len("sent=") - 20)


class Watcher(asyncio.Protocol):
    def __init__(self, latencies_ms: list[float] | None) -> None:
        self._latencies_ms = latencies_ms
        self.events = 0
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        body = g.message(g.watch(b"/watched/", b"/watched0"))
        block = g.header_block(b"/etcdserverpb.Watch/Watch")
        self.transport.write(g.opening() + g.frame(g.HEADERS, 4, 1, block) + g.frame(g.DATA, 0, 1, body))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        last = 0
        now = time.perf_counter_ns()
        for found in SENT.finditer(data):
            self.events += 1
            last = found.end()
            if self._latencies_ms is not None:
                self._latencies_ms.append((now - int(found[1])) / 1e6)
        self._rest = data[last:][-64:]


class Writer(asyncio.Protocol):
    """Puts whether or not the last one was answered."""

    def __init__(self) -> None:
        self._stream_id = -1
        self._block = g.header_block(b"/etcdserverpb.KV/Put")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(g.opening())

    def put(self, number: int) -> None:
        self._stream_id += 2
        value = b"sent=%020d" % time.perf_counter_ns() + PAD
        body = g.message(g.put(b"/watched/%04d" % (number % 1000), value))
        self.transport.write(
            g.frame(g.HEADERS, 4, self._stream_id, self._block) + g.data(self._stream_id, body)
        )


async def measure(clusters: dict[str, Cluster]) -> dict[str, Any]:
    latencies: dict[str, list[float]] = {kind: [] for kind in clusters}
    missing = dict.fromkeys(clusters, 0)
    for _ in range(ROUNDS):
        for kind, cluster in clusters.items():
            missing[kind] += await _one(cluster, latencies[kind])
    figures: dict[str, Any] = {
        kind: {"delivery ms": spread(latencies[kind]), "not delivered in time": missing[kind]}
        for kind in clusters
    }
    figures["p99, balsa / etcd"] = round(
        figures["balsa"]["delivery ms"]["p99"] / figures["etcd"]["delivery ms"]["p99"], 2
    )
    return figures


async def _one(cluster: Cluster, latencies_ms: list[float]) -> int:
    tls = cluster.client_context()
    tls.set_alpn_protocols(["h2"])
    watchers = [Watcher(latencies_ms if number % 10 == 0 else None) for number in range(WATCHERS)]
    writers = [Writer() for _ in range(WRITERS)]
    unused = Load(lambda _: b"")
    for number, each in enumerate([*watchers, *writers]):
        door = Door("h2", lambda _, each=each: each)
        await connect(door, unused, cluster.urls[number % 3], tls)
    await asyncio.sleep(SETTLE_S)
    written = await _write(writers)
    await asyncio.sleep(SETTLE_S)
    for each in [*watchers, *writers]:
        each.transport.abort()
    return sum(written - each.events for each in watchers)


async def _write(writers: list[Writer]) -> int:
    """Evenly spaced; what the loop was late for follows at once."""
    began, written = time.perf_counter(), 0
    while (elapsed_s := time.perf_counter() - began) < DURATION_S:
        while written < elapsed_s * WRITES_PER_S:
            writers[written % len(writers)].put(written)
            written += 1
        await asyncio.sleep(1 / WRITES_PER_S)
    return written

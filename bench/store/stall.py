"""How long requests wait while a member writes a snapshot of a state of 1 GiB in the background.

The state is filled; then, while no snapshot is being written, it is overwritten at a moderate rate until every
member has taken another one. Meanwhile each member is asked, every few milliseconds, for a put, a linearizable and
a serializable range; how long they took is listed apart for the time in which that member's snapshot was written.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from bench.report import spread
from bench.store import grpc_load
from bench.store.clusters import NAMES, Cluster
from bench.store.load import Load, connect
from bench.store.memory import fill

KEYS = 1_000_000
VALUE_BYTES = 1024
OVERWRITE_BYTES = 64 * 1024
OVERWRITES_PER_S = 150
PROBE_INTERVAL_S = 0.005
TIMEOUT_S = 300.0
CALM_S = 2.0
PROBES = {
    "put": ("/etcdserverpb.KV/Put", grpc_load.put(b"/probe", b"v" * 256)),
    "range": ("/etcdserverpb.KV/Range", grpc_load.get(b"/probe")),
    "serializable range": ("/etcdserverpb.KV/Range", grpc_load.get(b"/probe") + b"\x38\x01"),
}


class _Snapshots:
    """Of one member, as its directory shows them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "member" / "snap"
        self.finished: set[str] = set()

    def is_written(self) -> bool:
        names = [each.name for each in self._directory.iterdir()]
        self.finished.update(name for name in names if name.endswith(".snap"))
        return any(name.endswith(".tmp") for name in names)


async def measure(cluster: Cluster) -> dict[str, Any]:
    await fill(cluster, b"/large/", KEYS, VALUE_BYTES)
    snapshots = [_Snapshots(directory) for directory in cluster.directories]
    await _until_calm(snapshots)
    before = [len(each.finished) for each in snapshots]
    waits: dict[tuple[str, bool], list[float]] = {}
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(_probe(cluster, number, name, snapshots[number], waits, stop))
        for number in range(len(NAMES))
        for name in PROBES
    ]
    tasks.append(asyncio.create_task(_overwrite(cluster, stop)))
    began = time.monotonic()
    while time.monotonic() - began < TIMEOUT_S:
        await asyncio.sleep(0.05)
        busy = [each.is_written() for each in snapshots]
        taken = [len(each.finished) - old for each, old in zip(snapshots, before, strict=True)]
        if min(taken) > 0 and not any(busy):
            break
    stop.set()
    await asyncio.gather(*tasks)
    return {
        "snapshots": taken,
        "memory": [cluster.memory_mib(number) for number in range(len(NAMES))],
        **{
            f"{name} ms, {'during' if during else 'between'} snapshots": spread(values)
            for (name, during), values in sorted(waits.items())
        },
    }


async def _until_calm(snapshots: list[_Snapshots]) -> None:
    """What filling the state began has been written, for a while."""
    calm_since = began = time.monotonic()
    while (now := time.monotonic()) - calm_since < CALM_S:
        if now - began > TIMEOUT_S:
            raise TimeoutError("snapshots are written without end")
        if sum(each.is_written() for each in snapshots):  # each is looked at
            calm_since = now
        await asyncio.sleep(0.05)


async def _probe(
    cluster: Cluster,
    number: int,
    name: str,
    snapshots: _Snapshots,
    waits: dict[tuple[str, bool], list[float]],
    stop: asyncio.Event,
) -> None:
    path, body = PROBES[name]
    transport, load = await _client(cluster, number, path, body)
    while not stop.is_set():
        during = snapshots.is_written()
        load.latencies_s.clear()
        transport.get_protocol()._call()
        while not load.latencies_s and not load.failures:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        waits.setdefault((name, during or snapshots.is_written()), []).extend(
            each * 1e3 for each in load.latencies_s
        )
        await asyncio.sleep(PROBE_INTERVAL_S)
    transport.abort()


async def _client(cluster: Cluster, number: int, path: str, body: bytes) -> tuple[Any, Load]:
    """Connected, its first request answered; sends no further one by itself."""
    load = Load(lambda _: body)
    load.running = False
    tls = cluster.client_context()
    tls.set_alpn_protocols(["h2"])
    transport: Any = await connect(grpc_load.door(path), load, cluster.urls[number], tls)
    while not load.latencies_s:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return transport, load


async def _overwrite(cluster: Cluster, stop: asyncio.Event) -> None:
    body = grpc_load.put(b"/overwritten", b"v" * OVERWRITE_BYTES)
    transport, load = await _client(cluster, 0, "/etcdserverpb.KV/Put", body)
    began, written = time.perf_counter(), 0
    while not stop.is_set():
        due = (time.perf_counter() - began) * OVERWRITES_PER_S
        if written < due:
            load.latencies_s.clear()
            transport.get_protocol()._call()
            written += 1
            while not load.latencies_s and not load.failures:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        else:
            await asyncio.sleep(0.001)
    transport.abort()

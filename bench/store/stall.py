"""How long requests wait while a member writes a snapshot of a state of 1 GiB in the background.

The state is filled; then, while no snapshot is being written, it is overwritten at a moderate rate until every
member has taken another one. Meanwhile each member is asked, forty times a second, for a put, a linearizable and a
serializable range; how long they took is listed apart for the time in which that member's snapshot was written.

Beside it is listed how late a process that only sleeps gets a processor, and how late this one's own loop is: so
much of a wait is the machine's, or the measurement's. A request during which this loop was late is not counted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
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
OVERWRITES_PER_S = 75
PROBE_INTERVAL_S = 0.025  # so that no stall of 50 ms is missed
LOOK_INTERVAL_S = 0.02
TIMEOUT_S = 300.0
CALM_S = 2.0
STALL_MS = 50.0
TICK_S = 0.001
LATE_S = 0.01  # of the measuring loop itself; what it measures then is its own
SLEEPER = """
import json, sys, threading, time
late_ms, ended = [], threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.is_set():
    due = time.monotonic() + 0.001
    time.sleep(0.001)
    late_ms.append((time.monotonic() - due) * 1e3)
json.dump(late_ms, sys.stdout)
"""
PROBES = {
    "put": ("/etcdserverpb.KV/Put", grpc_load.put(b"/probe", b"v" * 256)),
    "range": ("/etcdserverpb.KV/Range", grpc_load.get(b"/probe")),
    "serializable range": ("/etcdserverpb.KV/Range", grpc_load.get(b"/probe") + b"\x38\x01"),
}
OVERWRITE = grpc_load.put(b"/overwritten", b"v" * OVERWRITE_BYTES)

_Client = tuple[Any, Load]  # the transport of one connection, and what it measures


class _Snapshots:
    """Of one member, as its directory shows them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "member" / "snap"
        self.finished: set[str] = set()
        self.is_written = False

    def look(self) -> None:
        """In a thread: even to read a directory waits for a busy disk now and then."""
        names = [each.name for each in self._directory.iterdir()]
        self.finished.update(name for name in names if name.endswith(".snap"))
        self.is_written = any(name.endswith(".tmp") for name in names)


async def measure(cluster: Cluster) -> dict[str, Any]:
    await fill(cluster, b"/large/", KEYS, VALUE_BYTES)
    snapshots = [_Snapshots(directory) for directory in cluster.directories]
    await _until_calm(snapshots)
    before = [len(each.finished) for each in snapshots]
    waits: dict[tuple[str, bool], list[float]] = {}
    stop = asyncio.Event()
    own_late_ms: list[float] = []
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    sleeper = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLEEPER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    clients = [
        (number, name, await _client(cluster, number, *PROBES[name]))
        for number in range(len(NAMES))
        for name in PROBES
    ]
    writer = await _client(cluster, 0, "/etcdserverpb.KV/Put", OVERWRITE)
    probes = [
        asyncio.create_task(_probe(client, name, snapshots[number], waits, stop))
        for number, name, client in clients
    ]
    others = [
        asyncio.create_task(_overwrite(writer, stop)),
        asyncio.create_task(_wake_up(own_late_ms, stop)),
    ]
    gc.disable()
    began = time.monotonic()
    while time.monotonic() - began < TIMEOUT_S:
        await _look(snapshots)
        taken = [len(each.finished) - old for each, old in zip(snapshots, before, strict=True)]
        if min(taken) > 0:
            break
    stop.set()
    spoiled = sum(await asyncio.gather(*probes))
    await asyncio.gather(*others)
    gc.enable()
    late_ms = json.loads((await sleeper.communicate(b""))[0])
    return {
        "snapshots": taken,
        "seconds": round(time.monotonic() - began, 1),
        f"over {STALL_MS:g} ms while snapshots are written": {
            name: sum(each > STALL_MS for each in values)
            for (name, during), values in waits.items()
            if during
        },
        "not counted": spoiled,
        "major page faults of this process": resource.getrusage(resource.RUSAGE_SELF).ru_majflt - faults,
        "a sleeping process woke up late by ms": spread(late_ms),
        "this process' loop was late by ms": spread(own_late_ms),
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
        await _look(snapshots)
        if any(each.is_written for each in snapshots):
            calm_since = now


async def _look(snapshots: list[_Snapshots]) -> None:
    await asyncio.sleep(LOOK_INTERVAL_S)
    await asyncio.to_thread(lambda: [each.look() for each in snapshots])


async def _probe(
    client: _Client,
    name: str,
    snapshots: _Snapshots,
    waits: dict[tuple[str, bool], list[float]],
    stop: asyncio.Event,
) -> int:
    """How many requests were spoiled."""
    transport, load = client
    spoiled = 0
    while not stop.is_set():
        during, is_late = snapshots.is_written, False
        load.latencies_s.clear()
        transport.get_protocol()._call()
        while not load.latencies_s and not load.failures:
            began = time.monotonic()
            await asyncio.sleep(TICK_S)
            is_late |= time.monotonic() - began > TICK_S + LATE_S
        spoiled += is_late
        if not is_late:
            waits.setdefault((name, during or snapshots.is_written), []).extend(
                each * 1e3 for each in load.latencies_s
            )
        await asyncio.sleep(PROBE_INTERVAL_S)
    transport.abort()
    return spoiled


async def _wake_up(late_ms: list[float], stop: asyncio.Event) -> None:
    while not stop.is_set():
        due = time.monotonic() + TICK_S
        await asyncio.sleep(TICK_S)
        late_ms.append((time.monotonic() - due) * 1e3)


async def _client(cluster: Cluster, number: int, path: str, body: bytes) -> _Client:
    """Connected, its first request answered; sends no further one by itself."""
    load = Load(lambda _: body)
    load.running = False
    tls = cluster.client_context()
    tls.set_alpn_protocols(["h2"])
    transport: Any = await connect(grpc_load.door(path), load, cluster.urls[number], tls)
    while not load.latencies_s:  # noqa: ASYNC110
        await asyncio.sleep(TICK_S)
    return transport, load


async def _overwrite(client: _Client, stop: asyncio.Event) -> None:
    transport, load = client
    began, written = time.perf_counter(), 0
    while not stop.is_set():
        due = (time.perf_counter() - began) * OVERWRITES_PER_S
        if written < due:
            load.latencies_s.clear()
            transport.get_protocol()._call()
            written += 1
            while not load.latencies_s and not load.failures:  # noqa: ASYNC110
                await asyncio.sleep(TICK_S)
        else:
            await asyncio.sleep(TICK_S)
    transport.abort()

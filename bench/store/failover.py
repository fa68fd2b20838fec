"""kill -9 of the leader to the next acknowledged write, through whichever member takes it first. A write is tried
anew every few milliseconds: one that went to the dead leader is answered by nobody.

Balsa's timeouts are etcd's defaults (heartbeat 100 ms, election 1,000 ms), so the etcd beside it has the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from bench.report import spread
from bench.store.clusters import Cluster
from store.client import StoreClient, StoreError

KILLS = 10
REST_S = 1.0
TIMEOUT_S = 30.0
TRY_EVERY_S = 0.02


async def measure(clusters: dict[str, Cluster]) -> dict[str, Any]:
    gaps: dict[str, list[float]] = {kind: [] for kind in clusters}
    for _ in range(KILLS):
        for kind, cluster in clusters.items():
            gaps[kind].append(await _kill_leader(cluster))
    figures: dict[str, Any] = {kind: {"seconds": spread(each)} for kind, each in gaps.items()}
    figures["median, balsa / etcd"] = round(
        figures["balsa"]["seconds"]["p50"] / figures["etcd"]["seconds"]["p50"], 2
    )
    return figures


async def _kill_leader(cluster: Cluster) -> float:
    leader = await cluster.leader()
    others = [url for number, url in enumerate(cluster.urls) if number != leader]
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(StoreClient([url], cluster.client_context())) for url in others
        ]
        for client in clients:
            await client.put(b"before", b"")
        await cluster.kill(leader)
        began = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        acknowledged = asyncio.Event()
        while not acknowledged.is_set() and time.perf_counter() - began < TIMEOUT_S:
            tasks |= {asyncio.create_task(_put(client, acknowledged)) for client in clients}
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(acknowledged.wait(), TRY_EVERY_S)
        took_s = time.perf_counter() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await cluster.restart(leader)
    await asyncio.sleep(REST_S)
    return took_s


async def _put(client: StoreClient, acknowledged: asyncio.Event) -> None:
    with contextlib.suppress(StoreError):
        await client.put(b"after", b"")
        acknowledged.set()

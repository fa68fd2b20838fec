"""Ten minutes of puts as fast as the members take them, compacted as an apiserver does: the leader must not change.

Per minute: how many, how long; at the end the memory of each member, and the size of its directory.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from bench.report import spread
from bench.store import grpc_load
from bench.store.clusters import Cluster
from bench.store.load import WARM_UP_SHARE, Load, Result, run
from store.client import StoreClient

MINUTES = 10
CLIENTS = 64
KEYS = 10_000
VALUE = b"v" * 256
COMPACTION_INTERVAL_S = 30.0


async def measure(cluster: Cluster) -> dict[str, Any]:
    term = await cluster.leader_term()
    compacting = asyncio.create_task(_compact(cluster))
    minutes = []
    try:
        for number in range(MINUTES):
            minutes.append(await _minute(cluster, number))
            print(f"minute {number}: {minutes[-1].per_s:.0f} puts/s", flush=True)
    finally:
        compacting.cancel()
    return {
        "elections": await cluster.leader_term() - term,
        "puts/s, each minute": [round(each.per_s) for each in minutes],
        "p99 ms": spread([each.p99_ms for each in minutes]),
        "failures": sum(each.failures for each in minutes),
        "memory": [cluster.memory_mib(number) for number in range(len(cluster.directories))],
        "disk MiB": [round(_size_bytes(each) / 2**20) for each in cluster.directories],
    }


async def _minute(cluster: Cluster, number: int) -> Result:
    load = Load(lambda n: grpc_load.put(b"/steady/%08d" % (n % KEYS), VALUE))
    door = grpc_load.door("/etcdserverpb.KV/Put")
    seconds = 60.0 / (1 + WARM_UP_SHARE)
    return await run(door, load, cluster.urls, cluster.client_context(), CLIENTS, seconds)


async def _compact(cluster: Cluster) -> None:
    """What is older than an interval goes."""
    async with StoreClient(cluster.urls, cluster.client_context()) as client:
        revision = (await client.range(b"/steady/")).revision
        while True:
            await asyncio.sleep(COMPACTION_INTERVAL_S)
            await client.compact(revision)
            revision = (await client.range(b"/steady/")).revision


def _size_bytes(directory: Path) -> int:
    return sum(each.stat().st_blocks * 512 for each in directory.rglob("*") if each.is_file())

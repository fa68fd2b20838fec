"""Memory of a member that holds a million keys of 256 bytes, all of them really written."""

from __future__ import annotations

import asyncio
from typing import Any

from bench.store import grpc_load
from bench.store.clusters import NAMES, Cluster
from bench.store.load import Load, connect

KEYS = 1_000_000
VALUE_BYTES = 256
PER_TRANSACTION = 100
CLIENTS = 8
SETTLE_S = 10.0
FILL_TIMEOUT_S = 600.0


async def measure(clusters: dict[str, Cluster]) -> dict[str, Any]:
    for cluster in clusters.values():
        await fill(cluster, b"/million/", KEYS, VALUE_BYTES)
    await asyncio.sleep(SETTLE_S)
    figures: dict[str, Any] = {
        kind: [cluster.memory_mib(number) for number in range(len(NAMES))]
        for kind, cluster in clusters.items()
    }
    mine, theirs = (max(each["VmRSS"] for each in figures[kind]) for kind in ("balsa", "etcd"))
    figures["balsa / etcd"] = round(mine / theirs, 2)
    return figures


async def fill(cluster: Cluster, prefix: bytes, keys: int, value_bytes: int) -> None:
    """Keys from 0 to `keys`, each value its own, in transactions."""
    total = keys // PER_TRANSACTION

    def request(number: int) -> bytes:
        if number >= total - 1:
            load.running = False  # every number before is on its way
        numbers = range(number * PER_TRANSACTION, (number + 1) * PER_TRANSACTION)
        return grpc_load.puts([(prefix + b"%010d" % n, b"%0*d" % (value_bytes, n)) for n in numbers])

    load = Load(request)
    tls = cluster.client_context()
    tls.set_alpn_protocols(["h2"])
    door = grpc_load.door("/etcdserverpb.KV/Txn")
    transports = [
        await connect(door, load, cluster.urls[number % len(NAMES)], tls) for number in range(CLIENTS)
    ]
    async with asyncio.timeout(FILL_TIMEOUT_S):
        while len(load.latencies_s) + load.failures < total:  # noqa: ASYNC110 - the clients are no tasks
            await asyncio.sleep(0.05)
    for transport in transports:
        transport.abort()  # type: ignore[attr-defined]
    if load.failures:
        raise RuntimeError(f"{load.failures} of {total} transactions failed")

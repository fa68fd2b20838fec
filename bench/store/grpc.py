"""Put and linearizable range through gRPC, Balsa beside a real etcd: three members each, the same generator,
turn about in one run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import uvloop

from bench.report import spread
from bench.store import grpc_load
from bench.store.clusters import Cluster, both

CLIENTS = (1, 16, 64)
ROUNDS = 3
DURATION_S = 4.0
VALUE = b"v" * 256
DISK = Path(__file__).parents[2]  # the checkout's, since a memory file system would make every sync free


def _put(number: int) -> bytes:
    return grpc_load.put(b"/bench/%08d" % (number % 10_000), VALUE)


def _range(number: int) -> bytes:
    return grpc_load.get(b"/bench/00000001")


WORK: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "put": ("/etcdserverpb.KV/Put", _put),
    "range": ("/etcdserverpb.KV/Range", _range),
}


def run() -> dict[str, Any]:
    return uvloop.run(_measure())


async def _measure() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    async with both(DISK) as clusters:
        terms = {kind: await cluster.leader_term() for kind, cluster in clusters.items()}
        for work, clients in product(WORK, CLIENTS):
            results: dict[str, list[grpc_load.Result]] = {kind: [] for kind in clusters}
            for _ in range(ROUNDS):
                for kind, cluster in clusters.items():
                    results[kind].append(await _one(cluster, work, clients))
            figures[f"{work}, {clients} clients"] = _compare(results)
        for kind, cluster in clusters.items():
            assert await cluster.leader_term() == terms[kind], f"{kind} elected a leader during the run"
    return figures


async def _one(cluster: Cluster, work: str, clients: int) -> grpc_load.Result:
    path, message = WORK[work]
    await asyncio.sleep(0.5)
    return await grpc_load.run(cluster.urls, cluster.client_context(), path, message, clients, DURATION_S)


def _compare(results: dict[str, list[grpc_load.Result]]) -> dict[str, Any]:
    summary: dict[str, Any] = {
        kind: {
            "per second": spread([each.per_s for each in rounds]),
            "p50 ms": spread([each.p50_ms for each in rounds])["p50"],
            "p99 ms": spread([each.p99_ms for each in rounds])["p50"],
            "failures": sum(each.failures for each in rounds),
        }
        for kind, rounds in results.items()
    }
    mine, theirs = (summary[kind]["per second"]["p50"] for kind in ("balsa", "etcd"))
    summary["balsa / etcd"] = round(mine / theirs, 2)
    return summary


if __name__ == "__main__":
    for name, figure in run().items():
        print(name, figure)

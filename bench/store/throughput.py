"""Puts and linearizable ranges by many clients, through both doors, Balsa and etcd turn about.

Each round begins its clients at another member, so that one client is at the leader once in three rounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from bench.report import spread
from bench.store import grpc_load, json_load
from bench.store.clusters import NAMES, Cluster
from bench.store.load import Door, Load, Result, run

ROUNDS = len(NAMES)
DURATION_S = 3.0
REST_S = 0.5
VALUE = b"v" * 256
KEYS = 10_000
CLIENTS = {"put": (1, 16, 64, 256), "range": (1, 16, 64)}

Request = Callable[[int], bytes]

WORK: dict[str, dict[str, tuple[Door, Request]]] = {
    "gRPC": {
        "put": (grpc_load.door("/etcdserverpb.KV/Put"), lambda n: grpc_load.put(_key(n), VALUE)),
        "range": (grpc_load.door("/etcdserverpb.KV/Range"), lambda _: grpc_load.get(_key(1))),
    },
    "JSON": {
        "put": (json_load.door("/v3/kv/put"), lambda n: json_load.put(_key(n), VALUE)),
        "range": (json_load.door("/v3/kv/range"), lambda _: json_load.get(_key(1))),
    },
}


def _key(number: int) -> bytes:
    return b"/bench/%08d" % (number % KEYS)


def _rows() -> Iterator[tuple[str, str, int]]:
    for name, works in WORK.items():
        for work in works:
            for clients in CLIENTS[work]:
                yield name, work, clients


async def measure(clusters: dict[str, Cluster]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, work, clients in _rows():
        results: dict[str, list[Result]] = {kind: [] for kind in clusters}
        cpu_s = dict.fromkeys(clusters, 0.0)
        for number in range(ROUNDS):
            for kind, cluster in clusters.items():
                await asyncio.sleep(REST_S)
                before_s = cluster.cpu_s()
                door, request = WORK[name][work]
                urls = cluster.urls[number:] + cluster.urls[:number]
                result = await run(door, Load(request), urls, cluster.client_context(), clients, DURATION_S)
                results[kind].append(result)
                cpu_s[kind] += cluster.cpu_s() - before_s
        row = f"{work}, {clients} clients, {name}"
        figures[row] = _compare(results, cpu_s)
        print(row, figures[row]["balsa / etcd"], flush=True)
    return figures


def _compare(results: dict[str, list[Result]], cpu_s: dict[str, float]) -> dict[str, Any]:
    summary: dict[str, Any] = {
        kind: {
            "per second": spread([each.per_s for each in rounds]),
            "p50 ms": spread([each.p50_ms for each in rounds])["p50"],
            "p99 ms": spread([each.p99_ms for each in rounds])["p50"],
            "failures": sum(each.failures for each in rounds),
            "members' CPU per request, us": round(
                cpu_s[kind] / sum(each.per_s * DURATION_S * 1.2 for each in rounds) * 1e6
            ),
            "generator's cores": round(max(each.generator_cores for each in rounds), 2),
        }
        for kind, rounds in results.items()
    }
    mine, theirs = summary["balsa"], summary["etcd"]
    summary["balsa / etcd"] = round(mine["per second"]["p50"] / theirs["per second"]["p50"], 2)
    summary["p99, balsa / etcd"] = round(mine["p99 ms"] / theirs["p99 ms"], 2)
    return summary

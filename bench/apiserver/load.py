"""Create, get, list and watch of 1 KiB ConfigMaps through the apiserver, with one store member and with three; and
beside it an etcd's puts in the same run, by which the figures of Kubernetes can be scaled to this machine.

Kubernetes' figures are of kube-apiserver 1.36 with one etcd on two shared cores, where that etcd's cluster of three
put 5,045 values/s for 64 clients.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import uvloop

from bench.apiserver import watch_load
from bench.apiserver.http_load import DOOR, exchange, request
from bench.cluster.home import fresh_home, start
from bench.cluster.load import cpu
from bench.report import spread
from bench.store import grpc_load
from bench.store.clusters import both
from bench.store.load import Load, Result
from bench.store.load import run as run_load
from certs.kubeconfig import KubeConfig
from cluster import control, process_table
from cluster.home import Home

STORES = (1, 3)
CREATE_CLIENTS = (1, 16, 64)
GET_CLIENTS = (1, 16, 64)
DURATION_S = 5.0
LISTED = 5000
LISTS = 10
WATCHERS = 100
WATCH_S = 5.0
COLLECTION = "/api/v1/namespaces/default/configmaps"
DISK = Path(__file__).parents[2]
ETCD_PUTS_PER_S = 5045

KUBERNETES = {
    "create, 1 clients": "321–337/s (p50 2.7–3.0 ms); three etcds 240/s",
    "create, 16 clients": "993/s (p99 40 ms); three etcds 602/s",
    "create, 64 clients": "969–1,190/s (p99 123–152 ms); three etcds 733/s",
    "get, 1 clients": "636/s",
    "get, 16 clients": "2,099/s",
    "get, 64 clients": "1,983/s (p99 87 ms)",
    f"list of {LISTED} (ms)": 61,
    "watch, 1 writers": "21,400 events/s, p99 10 ms",
    "memory of the apiservers (PSS, MiB)": "278 idle, 491 with 5,000 ConfigMaps",
}


def config_map(name: str, **data: str) -> bytes:
    """About 1 KiB."""
    text = {"text": "x" * 850, **data}
    return orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": text})


def create(number: int, prefix: str = "c") -> bytes:
    return request("POST", COLLECTION, config_map(f"{prefix}-{number}"))


def write(number: int) -> bytes:
    """A create whose event says when it was sent."""
    return request("POST", COLLECTION, config_map(f"w-{number}", sent=str(time.perf_counter_ns())))


def get(_number: int) -> bytes:
    return request("GET", f"{COLLECTION}/l-0")


def run() -> dict[str, Any]:
    figures: dict[str, Any] = {"kube-apiserver with etcd": KUBERNETES}
    for stores in STORES:
        with fresh_home() as home:
            start(home, stores=stores, nodes=0, schedulers=0, controller_managers=0)
            figures[f"{stores} store member{'s' * (stores > 1)}"] = uvloop.run(_measure(home))
    figures["etcd beside it, put, 64 clients"] = uvloop.run(_etcd())
    return figures


class Target:
    def __init__(self, home: Home) -> None:
        self.home = home
        config = KubeConfig.load(home.kubeconfig)
        self.url = config.server
        parts = urlsplit(self.url)
        self.host, self.port, self.tls = str(parts.hostname), int(parts.port or 443), config.ssl_context()
        self._first = 0

    async def run(
        self, make: Callable[[int], bytes], clients: int, duration_s: float = DURATION_S
    ) -> dict[str, Any]:
        self._first += 1_000_000  # names do not come twice
        spent: dict[str, float] = {}
        with cpu(self.home, spent):
            load = Load(make, count(self._first))
            result = await run_load(DOOR, load, [self.url], self.tls, clients, duration_s)
        return {**_shown(result), "processor seconds by process": spent}

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            self.host, self.port, ssl=self.tls, server_hostname="127.0.0.1", limit=2**24
        )

    async def once(self, data: bytes) -> tuple[float, bytes]:
        """Seconds to the whole answer, on a connection of its own that is open already; and its body."""
        reader, writer = await self.connect()
        began = time.perf_counter()
        body = await exchange(reader, writer, data)
        took_s = time.perf_counter() - began
        writer.transport.abort()
        return took_s, body


async def _measure(home: Home) -> dict[str, Any]:
    target = Target(home)
    figures: dict[str, Any] = {"memory of the apiservers, idle (PSS, MiB)": _memory(home)}
    await _fill(target)
    figures[f"memory of the apiservers with {LISTED} ConfigMaps (PSS, MiB)"] = _memory(home)
    figures[f"list of {LISTED} (ms)"] = spread(
        [(await target.once(request("GET", COLLECTION)))[0] * 1e3 for _ in range(LISTS)]
    )
    for clients in GET_CLIENTS:
        figures[f"get, {clients} clients"] = await target.run(get, clients)
    for clients in CREATE_CLIENTS:
        figures[f"create, {clients} clients"] = await target.run(create, clients)
    for writers in (1, 8):
        figures[f"watch, {WATCHERS} watchers, {writers} writers"] = await _watch(target, writers)
    return figures


async def _fill(target: Target) -> None:
    numbers = iter(range(LISTED))

    async def worker() -> None:
        reader, writer = await target.connect()
        for number in numbers:
            await exchange(reader, writer, create(number, "l"))
        writer.transport.abort()

    await asyncio.gather(*(worker() for _ in range(16)))


async def _watch(target: Target, writers: int) -> dict[str, Any]:
    path = f"{COLLECTION}?watch=true&resourceVersion={await _version(target)}"
    seen, watchers = await watch_load.start(target.host, target.port, target.tls, path, WATCHERS)
    began, cpu_began = time.perf_counter(), time.process_time()
    written = await target.run(write, writers, WATCH_S)
    await watch_load.drained(seen)
    elapsed_s = seen.last_at - began
    watch_load.stop(watchers)
    return {
        "events/s": round(len(seen.delays_s) / elapsed_s),
        "delay (ms)": spread([delay_s * 1e3 for delay_s in seen.delays_s]),
        "generator share": round((time.process_time() - cpu_began) / elapsed_s, 2),
        "writes": written,
    }


async def _version(target: Target) -> str:
    _, body = await target.once(request("GET", f"{COLLECTION}?limit=1"))
    version: str = orjson.loads(body)["metadata"]["resourceVersion"]
    return version


async def _etcd() -> dict[str, Any]:
    async with both(DISK, ("etcd",)) as clusters:
        etcd = clusters["etcd"]
        puts = Load(lambda number: grpc_load.put(b"/bench/%08d" % number, b"v" * 256))
        door = grpc_load.door("/etcdserverpb.KV/Put")
        result = await run_load(door, puts, etcd.urls, etcd.client_context(), 64, DURATION_S)
    return {
        "per second": round(result.per_s),
        "to what it did beside kube-apiserver": round(result.per_s / ETCD_PUTS_PER_S, 2),
    }


def _shown(result: Result) -> dict[str, Any]:
    return {
        "per second": round(result.per_s),
        "p50 ms": round(result.p50_ms, 2),
        "p99 ms": round(result.p99_ms, 2),
        "failures": result.failures,
        "generator share": round(result.generator_cores, 2),
    }


def _memory(home: Home) -> float:
    rows = control.call(home, {"op": "status"})["processes"]
    pids = [row["pid"] for row in rows if row["component"] == "apiserver"]
    return round(sum(process_table.pss_bytes(pid) for pid in pids) / 2**20, 1)

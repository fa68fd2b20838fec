"""What the drivers of whole clusters share: pods made as fast as the API takes them, a cheap count of those that
are bound, and the processor time that each process of the cluster spent meanwhile."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from cluster import control
from cluster.home import Home
from control_plane.client.client import Client, target
from control_plane.client.gvr import GVR, NODES, PODS
from node.agent import node_object
from node.agent.node_object import Disk, Health, Machine, Settings

NAMESPACE = "default"
CREATORS = 16
TIMEOUT_S = 240.0
IDLE_S = 300.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def pod(name: str) -> dict[str, Any]:
    requests = {"cpu": "100m", "memory": "128Mi"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": "bench"}},
        "spec": {"containers": [{"name": "c", "image": "pause", "resources": {"requests": requests}}]},
    }


def template(command: Sequence[str] = (), policy: str = "Always") -> dict[str, Any]:
    container = {**pod("")["spec"]["containers"][0], **({"command": list(command)} if command else {})}
    return {
        "metadata": {"labels": {"app": "bench"}},
        "spec": {"containers": [container], "restartPolicy": policy},
    }


async def create_all(client: Client, gvr: GVR, objects: Sequence[dict[str, Any]]) -> float:
    """Several at a time, in order; the seconds it took."""
    began, waiting = time.monotonic(), iter(objects)

    async def create() -> None:
        for each in waiting:
            await client.create(gvr, each)

    await asyncio.gather(*(create() for _ in range(CREATORS)))
    return time.monotonic() - began


async def fake_nodes(client: Client, count: int) -> None:
    """Node objects without an agent behind them, as scheduler benchmarks have them."""
    disk = Disk(2**40, 2**40)
    machine = Machine(32, 2**38, 2**38, disk, 2**22, 0, "amd64", "", "", "", "", "")
    now_s = time.time()
    await create_all(
        client,
        NODES,
        [
            node_object.make(Settings(f"fake-{number:04}", "172.31.0.1"), machine, Health(), now_s)
            for number in range(count)
        ],
    )


class Matching:
    """Counts the objects that came to match a selection, from a watch that is not even decoded."""

    def __init__(self) -> None:
        self.count = 0
        self.first_s = self.last_s = 0.0
        self._more = asyncio.Event()

    def seen(self, chunk: bytes) -> None:
        new = chunk.count(b'"type":"ADDED"')
        if new:
            self.last_s = time.monotonic()
            self.first_s = self.first_s or self.last_s
            self.count += new
            self._more.set()

    async def reach(self, wanted: int, timeout_s: float = TIMEOUT_S) -> float:
        """When the last of them was seen."""
        async with asyncio.timeout(timeout_s):
            while self.count < wanted:
                self._more.clear()
                await self._more.wait()
        return self.last_s


@asynccontextmanager
async def matching(client: Client, gvr: GVR, selector: str) -> AsyncIterator[Matching]:
    """Of the objects that match the field selector from now on."""
    version = (await client.list(gvr, NAMESPACE, limit=1)).resource_version
    query = {"watch": "true", "fieldSelector": selector, "resourceVersion": version}
    found, began = Matching(), asyncio.Event()
    headers = {"Accept": "application/json", "User-Agent": "bench"}

    async def read() -> None:
        where, kept = target(gvr.path(NAMESPACE), query), b""
        async with client.transport.stream("GET", where, headers, IDLE_S) as stream:
            began.set()
            async for chunk in stream.chunks():
                lines, _, kept = (kept + chunk).rpartition(b"\n")
                found.seen(lines)

    reading = asyncio.create_task(read())
    try:
        await began.wait()
        yield found
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def delete_all(client: Client, gvr: GVR) -> None:
    await client.delete_collection(gvr, NAMESPACE, grace_period_s=0, propagation="Background")
    async with asyncio.timeout(TIMEOUT_S):
        while (await client.list(PODS, NAMESPACE, limit=1)).items:  # noqa: ASYNC110 - asked from outside
            await asyncio.sleep(0.2)


@contextmanager
def cpu(home: Home, into: dict[str, float], extra: Sequence[tuple[str, int]] = ()) -> Iterator[None]:
    """Fills in the processor seconds that each process, this one and those that are added to `extra` spent in the
    block."""
    before = _cpu_s(home, extra)
    yield
    after = _cpu_s(home, extra)
    into.update({name: round(after[name] - before.get(name, 0.0), 2) for name in after})


def _cpu_s(home: Home, extra: Sequence[tuple[str, int]]) -> dict[str, float]:
    rows = control.call(home, {"op": "status"})["processes"]
    pids = [(row["name"], row["pid"]) for row in rows if row["pid"]]
    return {name: _spent_s(pid) for name, pid in [*pids, *extra, ("bench", os.getpid())]}


def _spent_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

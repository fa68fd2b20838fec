"""From the API's POST of a pod to the watch event that says Running: one after another, then many at once on one
node."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

from bench.cluster.home import running
from bench.report import spread
from certs.kubeconfig import KubeConfig
from control_plane.client.client import Client
from control_plane.client.gvr import PODS

ONE_BY_ONE = 30
AT_ONCE = 50
NAMESPACE = "default"
TIMEOUT_S = 60.0


def run() -> dict[str, Any]:
    with running() as home:
        return asyncio.run(_measure(KubeConfig.load(home.kubeconfig)))


async def _measure(config: KubeConfig) -> dict[str, Any]:
    async with Client(config, user_agent="bench") as client:
        watcher = Watcher(client)
        await watcher.start()
        single = [await _one(client, watcher, f"one-{number}") for number in range(ONE_BY_ONE)]
        burst_s = await _burst(client, watcher)
        await watcher.stop()
    return {
        "one after another, POST to Running (s)": spread(single),
        f"{AT_ONCE} at once on one node, first POST to all Running (s)": round(burst_s, 3),
    }


class Watcher:
    """One watch on all pods; remembers when each was first seen Running."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._running: dict[str, asyncio.Future[float]] = {}

    async def start(self) -> None:
        version = (await self._client.list(PODS, NAMESPACE)).resource_version
        self._task = asyncio.create_task(self._watch(version))

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def running(self, name: str) -> asyncio.Future[float]:
        return self._running.setdefault(name, asyncio.get_running_loop().create_future())

    async def _watch(self, version: str) -> None:
        async with aclosing(self._client.watch(PODS, NAMESPACE, resource_version=version)) as events:
            async for event in events:
                if event.object.get("status", {}).get("phase") == "Running":
                    future = self.running(event.object["metadata"]["name"])
                    if not future.done():
                        future.set_result(time.monotonic())


async def _one(client: Client, watcher: Watcher, name: str) -> float:
    began = time.monotonic()
    await client.create(PODS, _pod(name))
    ran = await asyncio.wait_for(watcher.running(name), TIMEOUT_S)
    await client.delete(PODS, name, NAMESPACE, grace_period_s=0)
    return ran - began


async def _burst(client: Client, watcher: Watcher) -> float:
    names = [f"burst-{number}" for number in range(AT_ONCE)]
    began = time.monotonic()
    await asyncio.gather(*(client.create(PODS, _pod(name, node="node-1")) for name in names))
    ran = await asyncio.wait_for(asyncio.gather(*(watcher.running(name) for name in names)), TIMEOUT_S)
    return max(ran) - began


def _pod(name: str, node: str = "") -> dict[str, Any]:
    spec: dict[str, Any] = {
        "containers": [{"name": "c", "image": "busybox", "command": ["sleep", "1000"]}],
        "terminationGracePeriodSeconds": 0,
    }
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }

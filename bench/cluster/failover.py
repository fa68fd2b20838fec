"""kill -9 of the store's leader under writers: the longest time without an acknowledged write around each kill."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

from bench.cluster.home import running
from bench.report import spread
from certs.kubeconfig import KubeConfig
from cluster import control, spec, targets
from cluster.home import Home
from control_plane.api.errors import StatusError
from control_plane.client.client import Client
from control_plane.client.errors import ClientError
from control_plane.client.gvr import CONFIGMAPS

KILLS = 10
WRITERS = 4
REST_S = 2.0


def run() -> dict[str, Any]:
    with running() as home:
        return asyncio.run(_measure(home))


async def _measure(home: Home) -> dict[str, Any]:
    acknowledged: dict[str, float] = {}
    gaps: list[float] = []
    async with Client(KubeConfig.load(home.kubeconfig), user_agent="bench") as client:
        writers = [asyncio.create_task(_write(client, number, acknowledged)) for number in range(WRITERS)]
        for _ in range(KILLS):
            await asyncio.sleep(REST_S)
            killed_at = time.monotonic()
            await asyncio.to_thread(_kill_leader, home)
            await asyncio.sleep(REST_S)
            gaps.append(_longest_gap(acknowledged, killed_at, killed_at + REST_S))
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        missing = await _missing(client, acknowledged)
    return {
        "longest time without an acknowledged write, per kill (s)": spread(gaps),
        "acknowledged": len(acknowledged),
        "acknowledged and missing": missing,
    }


def _kill_leader(home: Home) -> None:
    cluster = spec.load(home)
    assert cluster is not None
    leader = targets.leaders(home, cluster)["store"]
    control.call(home, {"op": "signal", "process": leader, "signal": "SIGKILL"})


async def _write(client: Client, number: int, acknowledged: dict[str, float]) -> None:
    count = 0
    while True:
        count += 1
        name = f"w{number}-{count}"
        config_map = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default"},
        }
        try:
            await client.create(CONFIGMAPS, config_map)
        except (StatusError, ClientError):
            continue
        acknowledged[name] = time.monotonic()


def _longest_gap(acknowledged: dict[str, float], start: float, end: float) -> float:
    times = [start, *sorted(at for at in acknowledged.values() if start <= at <= end), end]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


async def _missing(client: Client, acknowledged: dict[str, float]) -> int:
    items = (await client.list(CONFIGMAPS, "default")).items
    return len(set(acknowledged) - {each["metadata"]["name"] for each in items})

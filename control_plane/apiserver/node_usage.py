"""What nodes and their pods use, asked of the node agents (/stats/summary) and kept for a while.

CPU is the difference of two readings of the time used so far: a node that is asked for the first time is read
twice, a container that was not there the last time has no usage yet, and its pod is left out until it has (as
metrics-server does). A node that does not answer is left out, its last usage with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from control_plane.api.errors import StatusError
from control_plane.apiserver.kubelet import KubeletClient

MAX_AGE_S = 15.0
FIRST_INTERVAL_S = 1.0
ANSWER_TIMEOUT_S = 5.0
CONCURRENT_NODES = 32
NS_PER_S = 1_000_000_000

Object = dict[str, Any]
Key = tuple[str, ...]  # () the node; (uid, container)


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of a node: CPU time so far in ns and memory in bytes."""

    at_s: float
    used: Mapping[Key, tuple[int, int]]
    pods: Mapping[str, tuple[str, str]]  # uid -> namespace, name


@dataclass(frozen=True, slots=True)
class Usage:
    nano_cores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class PodUsage:
    namespace: str
    name: str
    containers: Mapping[str, Usage]


@dataclass(frozen=True, slots=True)
class NodeUsage:
    at_s: float
    window_s: float
    node: Usage
    pods: Sequence[PodUsage]


def read(summary: Object, at_s: float) -> Reading:
    """From the agent's answer. Raises KeyError, TypeError for one that is none."""
    used: dict[Key, tuple[int, int]] = {(): _numbers(summary["node"])}
    pods = {}
    for pod in summary.get("pods") or ():
        reference = pod["podRef"]
        pods[reference["uid"]] = (reference["namespace"], reference["name"])
        for container in pod.get("containers") or ():
            used[reference["uid"], container["name"]] = _numbers(container)
    return Reading(at_s, used, pods)


def _numbers(source: Object) -> tuple[int, int]:
    return int(source["cpu"]["usageCoreNanoSeconds"]), int(source["memory"]["workingSetBytes"])


def usage(before: Reading, after: Reading) -> NodeUsage:
    window_s = after.at_s - before.at_s
    rates = {
        key: Usage(max(int((cpu_ns - before.used[key][0]) / window_s), 0), memory)
        for key, (cpu_ns, memory) in after.used.items()
        if key in before.used
    }
    pods = []
    for uid, (namespace, name) in after.pods.items():
        known = {key[1]: rates.get(key) for key in after.used if key and key[0] == uid}
        complete = {name: rate for name, rate in known.items() if rate is not None}
        if complete and len(complete) == len(known):
            pods.append(PodUsage(namespace, name, complete))
    return NodeUsage(after.at_s, window_s, rates[()], pods)


@dataclass(slots=True)
class _Known:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    reading: Reading | None = None
    usage: NodeUsage | None = None


class NodeUsages:
    """Of all nodes that somebody has asked for lately; what is older than MAX_AGE_S is asked for again."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._slots = asyncio.Semaphore(CONCURRENT_NODES)

    async def of(self, nodes: Sequence[Object], kubelet: KubeletClient) -> dict[str, NodeUsage]:
        names = [node["metadata"]["name"] for node in nodes]
        found = await asyncio.gather(*(self._of_one(node, kubelet) for node in nodes))
        return {name: each for name, each in zip(names, found, strict=True) if each is not None}

    def keep(self, names: set[str]) -> None:
        """Forget nodes that are gone."""
        for gone in self._known.keys() - names:
            del self._known[gone]

    async def _of_one(self, node: Object, kubelet: KubeletClient) -> NodeUsage | None:
        known = self._known.setdefault(node["metadata"]["name"], _Known())
        async with known.lock, self._slots:
            now_s = asyncio.get_running_loop().time()
            if known.usage is None or now_s - known.usage.at_s > MAX_AGE_S:
                await self._look(known, node, kubelet)
        return known.usage

    async def _look(self, known: _Known, node: Object, kubelet: KubeletClient) -> None:
        known.usage = None
        try:
            if known.reading is None:
                known.reading = await _ask(node, kubelet)
                await asyncio.sleep(FIRST_INTERVAL_S)
            before, known.reading = known.reading, await _ask(node, kubelet)
        except (StatusError, aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
            known.reading = None  # it is asked anew the next time
            return
        known.usage = usage(before, known.reading)


async def _ask(node: Object, kubelet: KubeletClient) -> Reading:
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        answer = await kubelet.open(node, ("stats", "summary"), {})
        async with answer:
            answer.raise_for_status()
            return read(orjson.loads(await answer.read()), asyncio.get_running_loop().time())

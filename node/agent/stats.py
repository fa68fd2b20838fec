"""/stats/summary: what the node and its pods use, from /proc. The shape is kubelet's stats/v1alpha1.

A container's usage is that of its process and all below it. CPU time of children that have ended counts for as
long as their parent runs; usage per second is the difference between two looks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from node.agent.pod_spec import Obj, name, namespace, uid
from node.agent.times import rfc3339
from node.runtime.interface import ContainerState, ContainerStatus

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
NS = 1_000_000_000
MIN_INTERVAL_S = 0.5  # two looks closer than this say nothing about a rate


@dataclass(frozen=True, slots=True)
class Process:
    parent: int
    cpu_ns: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_ns: int
    memory_bytes: int
    processes: int = 0


def read_processes() -> dict[int, Process]:
    found: dict[int, Process] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (process := _read(entry.name)):
            found[int(entry.name)] = process
    return found


def _read(pid: str) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    ticks = sum(int(fields[index]) for index in (11, 12, 13, 14))
    return Process(int(fields[1]), ticks * NS // TICKS_PER_S, int(fields[21]) * PAGE_BYTES)


def usage_of(root: int, processes: Mapping[int, Process]) -> Usage:
    """Of `root` and everything below it."""
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    cpu_ns = memory_bytes = count = 0
    pending = [root]
    while pending:
        pid = pending.pop()
        if (found := processes.get(pid)) is not None:
            cpu_ns += found.cpu_ns
            memory_bytes += found.memory_bytes
            count += 1
            pending += children.get(pid, [])
    return Usage(cpu_ns, memory_bytes, count)


class Rates:
    """CPU used per second, from one look to the next."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int, int]] = {}  # key -> when, cpu_ns, rate then

    def nano_cores(self, key: str, cpu_ns: int, now_s: float) -> int:
        at_s, before_ns, rate = self._last.get(key, (now_s, cpu_ns, 0))
        if now_s - at_s >= MIN_INTERVAL_S:
            rate = max(0, int((cpu_ns - before_ns) / (now_s - at_s)))
        elif key in self._last:
            return rate
        self._last[key] = (now_s, cpu_ns, rate)
        return rate

    def keep(self, keys: set[str]) -> None:
        for gone in self._last.keys() - keys:
            del self._last[gone]


def summary(
    node_name: str, pods: Iterable[tuple[Obj, list[ContainerStatus]]], rates: Rates, now_s: float
) -> Obj:
    processes = read_processes()
    time = rfc3339(now_s)
    shown = [_pod(pod, containers, processes, rates, now_s) for pod, containers in pods]
    whole = _node_usage()
    rates.keep(
        {"node"} | {f"{each['podRef']['uid']}/{c['name']}" for each in shown for c in each["containers"]}
    )
    return {
        "node": {
            "nodeName": node_name,
            "startTime": time,
            "cpu": _cpu(time, whole.cpu_ns, rates.nano_cores("node", whole.cpu_ns, now_s)),
            "memory": _memory(time, whole.memory_bytes),
        },
        "pods": shown,
    }


def _pod(
    pod: Obj, containers: list[ContainerStatus], processes: Mapping[int, Process], rates: Rates, now_s: float
) -> Obj:
    time = rfc3339(now_s)
    shown: list[Obj] = []
    cpu_ns = memory_bytes = nano_cores = 0
    for status in containers:
        if status.state is not ContainerState.RUNNING or not status.pid:
            continue
        used = usage_of(status.pid, processes)
        rate = rates.nano_cores(f"{uid(pod)}/{status.config.name}", used.cpu_ns, now_s)
        cpu_ns, memory_bytes, nano_cores = (
            cpu_ns + used.cpu_ns,
            memory_bytes + used.memory_bytes,
            nano_cores + rate,
        )
        shown.append(
            {
                "name": status.config.name,
                "startTime": rfc3339(status.started_at_ns / NS),
                "cpu": _cpu(time, used.cpu_ns, rate),
                "memory": _memory(time, used.memory_bytes),
            }
        )
    return {
        "podRef": {"name": name(pod), "namespace": namespace(pod), "uid": uid(pod)},
        "startTime": (pod.get("status") or {}).get("startTime"),
        "containers": shown,
        "cpu": _cpu(time, cpu_ns, nano_cores),
        "memory": _memory(time, memory_bytes),
    }


def _cpu(time: str, cpu_ns: int, nano_cores: int) -> Obj:
    return {"time": time, "usageNanoCores": nano_cores, "usageCoreNanoSeconds": cpu_ns}


def _memory(time: str, used: int) -> Obj:
    return {"time": time, "usageBytes": used, "workingSetBytes": used, "rssBytes": used}


def _node_usage() -> Usage:
    first = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = (int(each) for each in first[:7])
    cpu_ns = (user + nice + system + irq + softirq) * NS // TICKS_PER_S
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    memory = {each[0]: int(each[1]) * 1024 for each in lines}
    return Usage(cpu_ns, memory.get("MemTotal:", 0) - memory.get("MemAvailable:", 0))

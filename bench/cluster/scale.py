"""Many nodes: how long they take to register, how fast pods find theirs, and what it costs when nothing happens.

    python -m bench.cluster.scale --nodes 5000 --pods 10000 --steady 60

The nodes are hollow: one process plays them, with Leases, status and pods that run in memory. Through the real
apiserver and store, all on this machine. Kubernetes' scheduler_perf binds 240 pods/s with 5,000 nodes, everything
in one process with one etcd, and no node that does anything; its SLO for single objects is p99 <= 1 s. So there is
one of each process; with --replicated there are as many as `balsa up` starts.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench.cluster.home import ONE_OF_EACH, fresh_home, start
from bench.cluster.load import NAMESPACE, cpu, create_all, matching, pod
from bench.report import spread, write
from certs.kubeconfig import KubeConfig
from cluster import control
from cluster.home import Home
from control_plane.client.client import Client
from control_plane.client.gvr import CONFIGMAPS, PODS

NODES, PODS_AT_ONCE, STEADY_S = 5000, 10000, 30.0
PROBE_INTERVAL_S = 0.1
BOUND, RUNNING = "spec.nodeName!=", "status.phase=Running"
TIMEOUT_S = 900.0


def run(
    nodes: int = NODES, pods: int = PODS_AT_ONCE, steady_s: float = STEADY_S, replicated: bool = False
) -> dict[str, Any]:
    with fresh_home() as home:
        began_s = time.monotonic()
        start(home, nodes=0, hollow_nodes=nodes, **({} if replicated else ONE_OF_EACH))
        up = {"balsa up, to all Ready (s)": round(time.monotonic() - began_s, 1), **_sizes(home)}
        return {f"{nodes} hollow nodes": up, **uvloop.run(_measure(home, pods, steady_s))}


async def _measure(home: Home, pods: int, steady_s: float) -> dict[str, Any]:
    async with Client(KubeConfig.load(home.kubeconfig), user_agent="bench") as client:
        figures: dict[str, Any] = {"idle, before": await _steady(home, client, min(steady_s, 30.0))}
        if pods:
            figures[f"{pods} pods as they come"] = await _pods(home, client, pods)
        figures[f"steady for {steady_s:.0f} s"] = await _steady(home, client, steady_s) | _sizes(home)
    return figures


async def _pods(home: Home, client: Client, count: int) -> dict[str, Any]:
    spent: dict[str, float] = {}
    async with matching(client, PODS, BOUND) as bound, matching(client, PODS, RUNNING) as running:
        with cpu(home, spent):
            began_s = time.monotonic()
            created_s = await create_all(client, PODS, [pod(f"pod-{number:05}") for number in range(count)])
            bound_s = await bound.reach(count, TIMEOUT_S) - began_s
        running_s = await running.reach(count, TIMEOUT_S) - began_s
    return {
        "bound (pods/s)": round(count / bound_s, 1),
        "created (pods/s)": round(count / created_s, 1),
        "running (pods/s)": round(count / running_s, 1),
        "processor time of all (ms per pod)": round(sum(spent.values()) / count * 1000, 2),
        "processor time (s)": spent,
    }


async def _steady(home: Home, client: Client, seconds: float) -> dict[str, Any]:
    """Somebody reads and writes one object meanwhile, ten times a second."""
    probe = {"metadata": {"name": f"probe-{time.monotonic_ns()}", "namespace": NAMESPACE}, "data": {}}
    await client.create(CONFIGMAPS, probe)
    name, reads, writes = probe["metadata"]["name"], [], []
    spent: dict[str, float] = {}
    end_s = time.monotonic() + seconds
    with cpu(home, spent):
        while time.monotonic() < end_s:
            began_s = time.monotonic()
            await client.get(CONFIGMAPS, name, NAMESPACE)
            read_s = time.monotonic()
            await client.patch(CONFIGMAPS, name, {"data": {"at": str(began_s)}}, NAMESPACE)
            reads.append(read_s - began_s)
            writes.append(time.monotonic() - read_s)
            await asyncio.sleep(PROBE_INTERVAL_S)
    await client.delete(CONFIGMAPS, name, NAMESPACE)
    return {
        "GET (s)": spread(reads),
        "PATCH (s)": spread(writes),
        "processor of all (cores)": round(sum(spent.values()) / seconds, 2),
        "processor (cores)": {each: round(used / seconds, 3) for each, used in spent.items()},
    }


def _sizes(home: Home) -> dict[str, Any]:
    rows = control.call(home, {"op": "status"})["processes"]
    sizes = {row["name"]: _pss_mib(row["pid"]) for row in rows if row["pid"]}
    return {"memory (MiB, PSS)": sizes, "memory of all (MiB)": sum(sizes.values())}


def _pss_mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--pods", type=int, default=PODS_AT_ONCE)
    parser.add_argument("--steady", type=float, default=STEADY_S, metavar="SECONDS")
    parser.add_argument("--replicated", action="store_true", help="three stores, two of each other process")
    args = parser.parse_args()
    figures = run(args.nodes, args.pods, args.steady, args.replicated)
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    shape = "-replicated" if args.replicated else ""
    print(f"written to {write(f'scale-{args.nodes}-{args.pods}{shape}', figures)}")


if __name__ == "__main__":
    main()

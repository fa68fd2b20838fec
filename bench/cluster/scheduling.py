"""From the API's POST to the binding, through apiserver, store and scheduler: pods, a Deployment, a Job; and how
long nobody decides when the active loop is killed. Beside each figure what Kubernetes 1.36 does on two shared
cores (its own processes, one etcd, TLS; medians; ±20 % from machine to machine), for which there is one of each
process here as well; fail-over is that of the cluster that `balsa up` makes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

import uvloop

from bench.cluster.home import ONE_OF_EACH, fresh_home, start
from bench.cluster.load import (
    NAMESPACE,
    cpu,
    create_all,
    delete_all,
    fake_nodes,
    matching,
    pod,
    template,
)
from bench.report import spread
from certs.kubeconfig import KubeConfig
from cluster import control, targets
from cluster import spec as specs
from cluster.home import Home
from control_plane.client.client import Client
from control_plane.client.gvr import DEPLOYMENTS, JOBS, PODS, REPLICA_SETS

NODES = 100
PODS_AT_ONCE = 1000
DEPLOYMENT = 500
JOB = 500
KILLS = 5
SETTLE_S = 3.0
BOUND = "spec.nodeName!="

KUBERNETES = {
    "pods as they come (pods/s)": "295 with client limits lifted, 55 by default",
    "pods created before the scheduler runs (pods/s)": 666,
    "Deployment of 500 to 500 bound (s)": "1.58 with client limits lifted, 24 by default",
    "fail-over of a loop (s)": "up to 15 by default",
}


def run() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with fresh_home() as home:
        start(home, nodes=0, **ONE_OF_EACH)
        figures |= uvloop.run(_fake(home))
    with fresh_home() as home:
        start(home, nodes=0, **{**ONE_OF_EACH, "schedulers": 0})
        figures |= uvloop.run(_ahead(home))
    with fresh_home() as home:
        start(home, nodes=0, hollow_nodes=NODES, **ONE_OF_EACH)
        figures |= uvloop.run(_hollow(home))
    with fresh_home() as home:
        start(home, nodes=0, hollow_nodes=NODES)
        figures |= uvloop.run(_fail_overs(home))
    return {"balsa": figures, "Kubernetes 1.36, for comparison": KUBERNETES}


def _client(home: Home) -> Client:
    return Client(KubeConfig.load(home.kubeconfig), user_agent="bench")


# ---- pods


async def _fake(home: Home) -> dict[str, Any]:
    async with _client(home) as client:
        await fake_nodes(client, NODES)
        await asyncio.sleep(SETTLE_S)
        figures = {
            f"{PODS_AT_ONCE} pods as they come, {NODES} nodes without agents": await _come(home, client)
        }
        await delete_all(client, PODS)
        figures[f"Deployment of {DEPLOYMENT}, nodes without agents"] = await _deployment(home, client)
    return figures


async def _come(home: Home, client: Client) -> dict[str, Any]:
    spent: dict[str, float] = {}
    async with matching(client, PODS, BOUND) as bound:
        with cpu(home, spent):
            began = time.monotonic()
            created_s = await create_all(client, PODS, _pods())
            took_s = await bound.reach(PODS_AT_ONCE) - began
    return {
        "pods/s": round(PODS_AT_ONCE / took_s, 1),
        "created (pods/s)": round(PODS_AT_ONCE / created_s, 1),
        "processor time (s)": spent,
    }


async def _ahead(home: Home) -> dict[str, Any]:
    spent: dict[str, float] = {}
    started: list[tuple[str, int]] = []
    async with _client(home) as client:
        await fake_nodes(client, NODES)
        await asyncio.sleep(SETTLE_S)
        await create_all(client, PODS, _pods())
        await asyncio.sleep(SETTLE_S)
        async with matching(client, PODS, BOUND) as bound:
            with cpu(home, spent, started):
                began = time.monotonic()
                scheduler = _start_scheduler(home)
                started.append(("scheduler", scheduler.pid))
                ended = await bound.reach(PODS_AT_ONCE)
            scheduler.terminate()
            scheduler.wait()
    figures = {
        "pods/s, first to last binding": round(PODS_AT_ONCE / (ended - bound.first_s), 1),
        "pods/s, from the start of the scheduler's program": round(PODS_AT_ONCE / (ended - began), 1),
        "processor time (s)": spent,
    }
    return {f"{PODS_AT_ONCE} pods created before the scheduler runs, {NODES} nodes without agents": figures}


def _start_scheduler(home: Home) -> subprocess.Popen[bytes]:
    config = f"--kubeconfig={home.pki}/scheduler.kubeconfig"
    command = [
        sys.executable,
        "-m",
        "cluster.cli",
        "scheduler",
        config,
        "--leader-elect=false",
        "--secure-port=0",
    ]
    with home.log_of("bench-scheduler").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def _pods() -> list[dict[str, Any]]:
    return [pod(f"pod-{number:05}") for number in range(PODS_AT_ONCE)]


# ---- workloads on nodes that play


async def _hollow(home: Home) -> dict[str, Any]:
    async with _client(home) as client:
        await asyncio.sleep(SETTLE_S)
        figures = {f"{PODS_AT_ONCE} pods as they come, {NODES} hollow nodes": await _come(home, client)}
        await delete_all(client, PODS)
        figures[f"Deployment of {DEPLOYMENT}, hollow nodes"] = await _deployment(home, client)
        await delete_all(client, DEPLOYMENTS)
        figures[f"Job of {JOB} one-shot pods"] = await _job(home, client)
    return figures


async def _deployment(home: Home, client: Client) -> dict[str, Any]:
    spent: dict[str, float] = {}
    async with matching(client, PODS, BOUND) as bound:
        with cpu(home, spent):
            began = time.monotonic()
            await client.create(DEPLOYMENTS, deployment("web", DEPLOYMENT))
            took_s = await bound.reach(DEPLOYMENT) - began
    return {"to all bound (s)": round(took_s, 2), "processor time (s)": spent}


async def _job(home: Home, client: Client) -> dict[str, Any]:
    spent: dict[str, float] = {}
    spec = {"parallelism": JOB, "completions": JOB, "template": template(["true"], "Never")}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": NAMESPACE},
        "spec": spec,
    }
    async with matching(client, JOBS, f"status.successful={JOB}") as complete:
        with cpu(home, spent):
            began = time.monotonic()
            await client.create(JOBS, job)
            took_s = await complete.reach(1) - began
    return {"to all succeeded (s)": round(took_s, 2), "processor time (s)": spent}


def deployment(name: str, replicas: int) -> dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "bench"}}, "template": template()}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


# ---- fail-over


async def _fail_overs(home: Home) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    async with _client(home) as client:
        for component in ("scheduler", "controller-manager"):
            gaps = [await _fail_over(home, client, component, number) for number in range(KILLS)]
            figures[f"kill -9 of the active {component} to its successor's next write (s)"] = spread(gaps)
    return figures


async def _fail_over(home: Home, client: Client, component: str, number: int) -> float:
    """From the kill to the first thing that only the active one does, of work that waits for it."""
    cluster = specs.load(home)
    assert cluster is not None
    await asyncio.sleep(SETTLE_S)
    leader = (await asyncio.to_thread(targets.leaders, home, cluster))[component]
    selector = BOUND if component == "scheduler" else ""
    gvr = PODS if component == "scheduler" else REPLICA_SETS
    async with matching(client, gvr, selector) as done:
        await asyncio.to_thread(control.call, home, {"op": "signal", "process": leader, "signal": "SIGKILL"})
        killed = time.monotonic()
        if component == "scheduler":
            await client.create(PODS, pod(f"after-{number}"))
        else:
            await client.create(DEPLOYMENTS, deployment(f"after-{number}", 0))
        return await done.reach(1) - killed

"""The scheduler alone on a simulated API: nodes, pods, and how many it binds per second.

    python -m bench.scheduler.pods_per_second --nodes 5000 --pods 10000

The API is the tests' double in the same process: requests are real bytes (encoded, decoded), but there is
no network, no store and no apiserver; both share one core. Informers, queue, cycles, bindings and events
are the real ones.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import time

import uvloop

from control_plane.client.gvr import NODES, PODS, REPLICA_SETS
from control_plane.client.types import Obj
from control_plane.scheduler import config
from control_plane.scheduler.config import ProfileConfig
from control_plane.scheduler.scheduler import Scheduler
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.scheduler.build import ZONE, node, pod

APP = {"app": "web"}
TIMEOUT_S = 300.0


async def measure(nodes: int, pods: int, spread: bool, ahead: bool) -> tuple[float, float]:
    """Pods per second, and per second of CPU, from the first pod's creation (or the scheduler's start) to
    the last binding."""
    api = FakeApi()
    for index in range(nodes):
        api.create(NODES, node(f"n{index:05}", cpu="32", memory="64Gi", labels={ZONE: f"z{index % 3}"}))
    owners = _owner(api) if spread else []
    scheduler = Scheduler(
        api.client("scheduler"), lambda handle: {"default-scheduler": config.build(ProfileConfig(), handle)}
    )
    if ahead:
        _create(api, pods, owners)
    else:
        await scheduler.sync()
    gc.collect()
    gc.freeze()
    started_s, cpu_s = time.perf_counter(), time.process_time()
    task = asyncio.create_task(scheduler.run())
    if not ahead:
        for start in range(0, pods, 200):
            _create(api, min(200, pods - start), owners)
            await asyncio.sleep(0)
    while api.bindings < pods and time.perf_counter() - started_s < TIMEOUT_S:  # noqa: ASYNC110 - from outside
        await asyncio.sleep(0.01)
    took_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    bound = sum(bool(each["spec"].get("nodeName")) for each in api.list(PODS))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await scheduler.informers.stop()
    assert bound == pods, f"{bound} of {pods} bound"
    return pods / took_s, pods / cpu_s


def _owner(api: FakeApi) -> list[Obj]:
    spec = {"selector": {"matchLabels": APP}}
    owner = api.create(REPLICA_SETS, {"metadata": {"name": "rs", "namespace": "default"}, "spec": spec})
    uid = owner["metadata"]["uid"]
    return [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": uid, "controller": True}]


def _create(api: FakeApi, count: int, owners: list[Obj]) -> None:
    for _ in range(count):
        made = pod(cpu="100m", memory="500Mi", labels=APP, metadata={"ownerReferences": owners})
        made["metadata"]["name"] = f"web-{made['metadata']['uid']}"
        api.create(PODS, made)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=10000)
    parser.add_argument("--spread", action="store_true", help="replicas of one owner: default spreading")
    parser.add_argument("--ahead", action="store_true", help="pods are there before the scheduler starts")
    args = parser.parse_args()
    rate, cpu_rate = uvloop.run(measure(args.nodes, args.pods, args.spread, args.ahead))
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rates = f"{rate:.0f} pods/s ({cpu_rate:.0f} per CPU second)"
    print(f"{args.nodes} nodes, {args.pods} pods: {rates}, {memory_mib:.0f} MiB (with the API double)")


if __name__ == "__main__":
    main()

"""Killing the active controller-manager or scheduler at any write of a workload's life changes nothing in the end.

A deployment, a stateful set, a job and a deployment with devices come up, and are then scaled and changed; in
calm weather, with one process killed at one of its writes: just before it is applied, or just after, so that nobody
has heard of it. Another takes its place two seconds later. In the end everything is as in the run without a kill.

    python -m tests.sim.loops --kills            at every write of both processes
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from functools import partial

from control_plane.api import meta
from control_plane.client.gvr import DEPLOYMENTS, JOBS, PODS, RESOURCE_CLAIMS, STATEFUL_SETS
from tests.sim.loops import workloads
from tests.sim.loops.transport import Fuse
from tests.sim.loops.workloads import Obj
from tests.sim.loops.world import World, Wrong

TAKEOVER_S = 2.0
SETTLING_TURNS = 5  # the successor must not undo what was done
SEED = 7  # of backoffs and ties, nothing else
PROCESSES = ("controllers", "scheduler")
NEVER = 1_000_000_000

Outcome = list[tuple[str, ...]]


def _workloads() -> Iterator[tuple[workloads.GVR, Obj]]:
    chance = random.Random(SEED)
    sizes = {"replicas": 3}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    web, gpu = workloads.deployment("web", chance), workloads.with_devices("gpu", chance)
    web["spec"].update(sizes, strategy=rolling)
    gpu["spec"].update(replicas=2, strategy={"type": "Recreate"})
    database, batch = workloads.stateful_set("db", chance), workloads.job("batch", chance)
    database["spec"].update(sizes, podManagementPolicy="OrderedReady")
    batch["spec"].update(parallelism=2, completions=3, completionMode="Indexed")
    yield DEPLOYMENTS, web
    yield DEPLOYMENTS, gpu
    yield STATEFUL_SETS, database
    yield JOBS, batch


async def _play(fuses: dict[str, Fuse]) -> Outcome:
    world = World(SEED, fuses)
    takeovers: list[asyncio.Task[None]] = []
    for name, fuse in fuses.items():
        fuse.blown = partial(_take_over, world, name, takeovers)
    async with world.started():
        for which, obj in _workloads():
            world.api.create(which, obj)
        await world.turn()
        await world.until_done()
        for which, name in ((DEPLOYMENTS, "web"), (STATEFUL_SETS, "db")):
            _change(world, which, name)
        await world.turn()
        await world.until_done()
        while not all(task.done() for task in takeovers):
            await world.turn()
        for task in takeovers:
            task.result()
        for _ in range(SETTLING_TURNS):
            await world.turn()
        await world.until_done()
        return _outcome(world)


def _take_over(world: World, name: str, takeovers: list[asyncio.Task[None]]) -> None:
    async def take_over() -> None:
        await world.processes[name].kill()
        await world.clock.sleep(TAKEOVER_S)
        await world.processes[name].start()

    takeovers.append(asyncio.ensure_future(take_over()))


def _change(world: World, which: workloads.GVR, name: str) -> None:
    found = world.api.get(which, name, workloads.SPACE)
    assert found is not None
    generation = found["metadata"].get("generation", 1) + 1
    spec = {**found["spec"], "replicas": 2, "template": workloads.template(name, "i:1")}
    metadata = {**found["metadata"], "generation": generation}
    world.api.update(which, {**found, "metadata": metadata, "spec": spec})


def _outcome(world: World) -> Outcome:
    """Every pod by its workload (a stateful one by its name), and how many devices are out."""
    pods: Outcome = []
    for pod in world.api.list(PODS):
        app = meta.labels(pod)["app"]
        name = meta.name_of(pod) if app == "db" else app
        pods.append((name, pod["spec"]["containers"][0]["image"], meta.nested(pod, "status", "phase")))
    claims = [
        ("claim", str(len(workloads.devices(world.api)))),
        ("claims", str(len(world.api.list(RESOURCE_CLAIMS)))),
    ]
    return sorted(pods) + claims


def writes() -> dict[str, int]:
    """Of each process, when nothing is killed; and the outcome is that of the specifications."""
    fuses = {name: Fuse(NEVER, False) for name in PROCESSES}
    asyncio.run(_play(fuses))
    return {name: fuse.writes for name, fuse in fuses.items()}


def undisturbed() -> Outcome:
    return asyncio.run(_play({}))


def kill_at(process: str, number: int, after: bool, expected: Outcome) -> None:
    """Raises Wrong."""
    fuse = Fuse(number, after)
    try:
        outcome = asyncio.run(_play({process: fuse}))
    except Wrong as error:
        raise Wrong(f"{_named(process, number, after)}: {error}") from error
    if outcome != expected:
        raise Wrong(f"{_named(process, number, after)}: {outcome} and not {expected}")


def _named(process: str, number: int, after: bool) -> str:
    return f"{process} killed {'after' if after else 'before'} its write {number}"

"""A cluster in one event loop: control loops, scheduler and hollow nodes, each as its own process, on an API in
memory and under virtual time. Processes are killed and started again, users change their minds, the network
does what the seed's weather says; then it is calm, and the world must become what the specifications say.

    python -m tests.sim.loops --seed 42         one seed again
    python -m tests.sim.loops --seeds 0:5000    many

The same seed is the same run (with PYTHONHASHSEED set: sets of strings are iterated over).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_conflict, is_not_found
from control_plane.api.quantity import parse_or_zero
from control_plane.client.client import Client
from control_plane.client.gvr import NODES, PODS, RESOURCE_CLAIMS
from control_plane.client.informer import InformerFactory
from control_plane.controllers.context import Options
from control_plane.controllers.daemonset import DaemonSetController
from control_plane.controllers.deployment import DeploymentController
from control_plane.controllers.job import JobController
from control_plane.controllers.main import Manager
from control_plane.controllers.node_lifecycle import NodeLifecycleController
from control_plane.controllers.pod_gc import PodGarbageCollector
from control_plane.controllers.replicaset import ReplicaSetController
from control_plane.controllers.resourceclaim import ResourceClaimController
from control_plane.controllers.statefulset import StatefulSetController
from control_plane.controllers.taint_eviction import TaintEvictionController
from control_plane.scheduler import config
from control_plane.scheduler.config import ProfileConfig
from control_plane.scheduler.framework.profile import Profile
from control_plane.scheduler.scheduler import Scheduler
from node.hollow.behaviour import Defaults
from node.hollow.main import names
from node.hollow.nodes import HollowNodes, Shape
from node.hollow.pods import HollowPods
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle
from tests.sim.loops import workloads
from tests.sim.loops.transport import Fuse, SimTransport, Weather

TROUBLED_TURNS = 30
CALM_TURNS = 600
TURN_S = 1.0
NODE_COUNT = 3
LOOPS = [
    DeploymentController,
    ReplicaSetController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    ResourceClaimController,
    NodeLifecycleController,
    TaintEvictionController,
    PodGarbageCollector,
]


class Wrong(AssertionError):
    """A seed has shown something that must not be."""


class Process:
    """One program: its work, and its own connection, which is cut when it is killed."""

    def __init__(
        self, world: World, work: Callable[[Client], Coroutine[Any, Any, None]], fuse: Fuse | None = None
    ) -> None:
        """`fuse`: of its first life."""
        self._world = world
        self._work = work
        self._fuse = fuse
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        world = self._world
        fuse, self._fuse = self._fuse, None
        self._transport = SimTransport(world.api, world.clock, world.chance, world.weather, fuse)
        client = Client(
            user_agent="sim", transport=self._transport, clock=world.clock, rng=world.chance.random
        )
        self._task = asyncio.create_task(self._work(client))

    async def kill(self) -> None:
        """What is under way may have been applied, or not; nothing more is written."""
        assert self._task is not None
        self._transport.dead = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def failure(self) -> BaseException | None:
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()


class World:
    def __init__(self, seed: int, fuses: Mapping[str, Fuse] | None = None) -> None:
        """`fuses`: by the name of a process."""
        self.chance = random.Random(seed)
        self.clock = VirtualClock()
        self.api = FakeApi(self.clock.wall)
        self.weather = Weather()
        self._bound: dict[str, str] = {}  # uid: node
        self._collector = self.api.client("collector", self.clock)
        works = {"controllers": _controllers, "scheduler": _scheduler, "nodes": _nodes}
        made = fuses or {}
        self.processes = {name: Process(self, work, made.get(name)) for name, work in works.items()}

    async def run(self) -> None:
        """Raises Wrong."""
        async with self.started():
            workloads.create(self.api, self.chance)
            await self._troubled()
            self._calm_down()
            await self.until_done()

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """All processes run, and nodes have devices."""
        for process in self.processes.values():
            await process.start()
        await self.clock.advance(2)
        workloads.create_devices(self.api, names("node-", NODE_COUNT))
        try:
            yield
        finally:
            for process in self.processes.values():
                await process.kill()

    async def _troubled(self) -> None:
        drawn = Weather.drawn(self.chance)
        for field_name in Weather.__slots__:
            setattr(self.weather, field_name, getattr(drawn, field_name))
        for _ in range(TROUBLED_TURNS):
            if self.chance.random() < 0.7:
                workloads.meddle(self.api, self.chance)
            if self.chance.random() < 0.15:
                process = self.chance.choice(list(self.processes.values()))
                await process.kill()
                await process.start()
            await self.turn()

    def _calm_down(self) -> None:
        for field_name in Weather.__slots__:
            setattr(self.weather, field_name, 0.0)

    async def until_done(self) -> None:
        problems: list[str] = []
        for _ in range(CALM_TURNS):
            problems = workloads.unfinished(self.api)
            if not problems:
                return
            await self.turn()
        raise Wrong(f"not after {CALM_TURNS} s of calm: {'; '.join(problems)}")

    async def turn(self) -> None:
        await self.clock.advance(TURN_S)
        await self._collect()
        await settle()
        self._check()

    async def _collect(self) -> None:
        """As the garbage collector does: claims go with their pods."""
        alive = {meta.uid_of(pod) for pod in self.api.list(PODS)}
        for each in self.api.list(RESOURCE_CLAIMS):
            if (meta.controller_of(each) or {}).get("uid") in alive or meta.is_deleting(each):
                continue
            try:
                name, namespace = meta.name_of(each), meta.namespace_of(each)
                await self._collector.delete(RESOURCE_CLAIMS, name, namespace, uid=meta.uid_of(each))
            except StatusError as error:
                if not (is_not_found(error) or is_conflict(error)):
                    raise

    def _check(self) -> None:
        """What must hold at any moment."""
        given = workloads.devices(self.api)
        if len(set(given)) != len(given):
            raise Wrong(f"a device is given out twice: {sorted(given)}")
        used = {meta.name_of(node): parse_or_zero(0) for node in self.api.list(NODES)}
        for pod in self.api.list(PODS):
            on = pod["spec"].get("nodeName")
            if not on:
                continue
            if self._bound.setdefault(meta.uid_of(pod), on) != on:
                raise Wrong(f"pod {meta.name_of(pod)} moved from {self._bound[meta.uid_of(pod)]} to {on}")
            if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                asked = pod["spec"]["containers"][0]["resources"]["requests"]["cpu"]
                used[on] = used[on] + parse_or_zero(asked)
        for node in self.api.list(NODES):
            has = parse_or_zero(node["status"]["allocatable"]["cpu"])
            if used[meta.name_of(node)].nanos > has.nanos:
                raise Wrong(
                    f"node {meta.name_of(node)} has {has} cpu, and pods for {used[meta.name_of(node)]}"
                )
        for process in self.processes.values():
            if (failure := process.failure()) is not None:
                raise Wrong("a process ended") from failure


async def _controllers(client: Client) -> None:
    manager = Manager(client, Options(), list(LOOPS))
    try:
        await manager.run()
    finally:
        await manager.stop()


async def _scheduler(client: Client) -> None:
    def profiles(handle: Scheduler) -> Mapping[str, Profile]:
        return {"default-scheduler": config.build(ProfileConfig(), handle)}

    scheduler = Scheduler(client, profiles)
    try:
        await scheduler.run()
    finally:
        await scheduler.informers.stop()


async def _nodes(client: Client) -> None:
    informers = InformerFactory(client)
    shape = Shape(cpus=6)
    nodes = HollowNodes(client, informers, names("node-", NODE_COUNT), shape, "sim")
    pods = HollowPods(client, informers, nodes.address_of, nodes.is_silent, Defaults(start_delay_s=0.5))
    await informers.start()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(nodes.run())
            group.create_task(pods.run())
    finally:
        await informers.stop()


def simulate(seed: int) -> None:
    """Raises Wrong, with the command that shows it again."""
    try:
        asyncio.run(World(seed).run())
    except Wrong as error:
        again = f"PYTHONHASHSEED=0 python -m tests.sim.loops --seed {seed}"
        raise Wrong(f"seed {seed}: {error}\nagain: {again}") from error

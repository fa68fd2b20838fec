"""Runs the probes of one pod's containers and keeps their verdicts.

One task per probe of a running container. Liveness and readiness begin once the container has started; a
verdict that changes wakes the pod's worker. Containers are probed until they end; when the pod is being
stopped only readiness goes on, so that a server is taken out of rotation as soon as it refuses.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from control_plane.client.clock import Clock
from node.agent import probe_state
from node.agent.handlers import Result, Target
from node.agent.pod_spec import Obj, Role, containers_by_role
from node.agent.probe_state import Count, Kind, Timing
from node.agent.times import NS_PER_S
from node.agent.view import Probes, View
from node.runtime.interface import ContainerStatus


class Prober(Protocol):
    async def run(self, action: Obj, target: Target, timeout_s: float) -> Result: ...


OnChange = Callable[[], None]
OnFailure = Callable[[str, Kind, str], None]  # container name, which probe, what it said


class PodProbes:
    """`sync` after every look at the pod; `results` are the View's probes."""

    def __init__(self, prober: Prober, clock: Clock, on_change: OnChange, on_failure: OnFailure) -> None:
        self._prober = prober
        self._clock = clock
        self._on_change = on_change
        self._on_failure = on_failure
        self._tasks: dict[tuple[str, Kind], asyncio.Task[None]] = {}
        self.results: dict[str, Probes] = {}

    def remember(self, status: Obj) -> None:
        """After a restart of the agent, containers stay as ready as the API says they are."""
        lists = [status.get("containerStatuses") or [], status.get("initContainerStatuses") or []]
        for each in (entry for entries in lists for entry in entries):
            container_id = str(each.get("containerID") or "").partition("://")[2]
            if container_id and each.get("started"):
                ready = True if each.get("ready") else None
                self.results[container_id] = Probes(startup=True, readiness=ready)

    def sync(self, view: View, address: str, stopping: bool) -> None:
        wanted: dict[tuple[str, Kind], tuple[Obj, ContainerStatus]] = {}
        for role, container in containers_by_role(view.pod):
            status = view.latest(container["name"])
            if role in (Role.INIT, Role.EPHEMERAL) or status is None or status not in view.running:
                continue
            for kind in self._due(view, container, status, stopping):
                wanted[status.id, kind] = (container, status)
        for key in [each for each in self._tasks if each not in wanted]:
            self._tasks.pop(key).cancel()
        for key, (container, status) in wanted.items():
            if key not in self._tasks:
                target = Target(status.id, container, address)
                self._tasks[key] = asyncio.create_task(self._probe(key[1], status, target))
        self._forget(view)

    def _due(self, view: View, container: Obj, status: ContainerStatus, stopping: bool) -> list[Kind]:
        if container["name"] in view.starting:
            return []
        if container.get("startupProbe") and self.results.get(status.id, Probes()).startup is None:
            return [] if stopping else [Kind.STARTUP]
        if not view.is_started(container, status):
            return []
        kinds = (
            [Kind.READINESS] if stopping or status.id in view.stopping else [Kind.LIVENESS, Kind.READINESS]
        )
        return [each for each in kinds if container.get(each.field)]

    def _forget(self, view: View) -> None:
        known = {each.id for each in view.containers}
        for container_id in [each for each in self.results if each not in known]:
            del self.results[container_id]

    async def _probe(self, kind: Kind, status: ContainerStatus, target: Target) -> None:
        probe = target.container[kind.field]
        timing = Timing.of(probe)
        now_s = self._clock.wall()
        await self._clock.sleep(
            probe_state.first_at_s(timing, status.started_at_ns / NS_PER_S, now_s) - now_s
        )
        state = Count(verdict=_verdict(self.results.get(status.id, Probes()), kind))
        while True:
            began_s = self._clock.monotonic()
            result = await self._prober.run(probe, target, timing.timeout_s)
            if not result.ok:
                self._on_failure(target.container["name"], kind, result.output)
            before, state = state, probe_state.count(timing, state, result.ok)
            if state.verdict is not before.verdict:
                self._tell(status.id, kind, state.verdict)
            if probe_state.is_final(kind, state):
                return
            spent_s = self._clock.monotonic() - began_s
            await self._clock.sleep(max(0.0, timing.period_s - spent_s) + random.uniform(0, 0.01))  # noqa: S311

    def _tell(self, container_id: str, kind: Kind, verdict: bool | None) -> None:
        before = self.results.get(container_id, Probes())
        self.results[container_id] = replace(before, **{kind.value: verdict})
        self._on_change()

    def snapshot(self) -> Mapping[str, Probes]:
        return dict(self.results)

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()


def _verdict(probes: Probes, kind: Kind) -> bool | None:
    found: bool | None = getattr(probes, kind.value)
    return found

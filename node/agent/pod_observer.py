"""What the runtime says of one pod: its sandboxes and containers, with their last words read once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from node.agent import container_files
from node.agent.parts import Parts
from node.agent.pod_spec import Obj, find_container, uid
from node.runtime.interface import (
    ContainerState,
    ContainerStatus,
    NotFound,
    SandboxState,
    SandboxStatus,
)

DEAD_KEPT = 1  # per container, besides the newest of all


class PodObserver:
    def __init__(self, parts: Parts, sandbox_ids: tuple[str, ...]) -> None:
        self._parts = parts
        self._sandbox_ids = list(sandbox_ids)
        self._messages: dict[str, str] = {}  # container id -> its last words
        self._sandboxes: tuple[SandboxStatus, ...] = ()
        self._containers: tuple[ContainerStatus, ...] = ()

    def add(self, sandbox_id: str) -> None:
        self._sandbox_ids.append(sandbox_id)

    @property
    def sandbox(self) -> SandboxStatus | None:
        """The live one, as last seen."""
        newest = self._sandboxes[0] if self._sandboxes else None
        return newest if newest and newest.state is SandboxState.READY else None

    @property
    def containers(self) -> list[ContainerStatus]:
        return list(self._containers)

    def latest(self, container: str) -> ContainerStatus | None:
        mine = [each for each in self._containers if each.config.name == container]
        return max(mine, key=lambda each: each.config.attempt, default=None)

    async def look(self, pod: Obj) -> tuple[tuple[SandboxStatus, ...], tuple[ContainerStatus, ...]]:
        sandboxes: list[SandboxStatus] = []
        containers: list[ContainerStatus] = []
        for sandbox_id in list(self._sandbox_ids):
            try:
                sandboxes.append(await self._parts.runtime.pod_sandbox_status(sandbox_id))
                containers += await self._parts.runtime.list_containers(sandbox_id)
            except NotFound:
                self._sandbox_ids.remove(sandbox_id)
        sandboxes.sort(key=lambda each: (each.config.attempt, each.created_at_ns), reverse=True)
        self._sandboxes = tuple(sandboxes)
        self._containers = tuple(self._with_last_words(pod, each) for each in containers)
        await self._collect(pod)
        return self._sandboxes, self._containers

    def _with_last_words(self, pod: Obj, status: ContainerStatus) -> ContainerStatus:
        if status.state is not ContainerState.EXITED:
            return status
        if status.id not in self._messages:
            found = find_container(pod, status.config.name)
            directory = self._parts.volumes.pod_directory(uid(pod))
            words = container_files.last_words(directory, found[1], status) if found else ""
            self._messages[status.id] = words or status.message
        return replace(status, message=self._messages[status.id])

    async def _collect(self, pod: Obj) -> None:
        """Remove dead containers beyond the last of each name and one before it, and dead empty sandboxes."""
        names = {each.config.name for each in self._containers}
        keep: list[ContainerStatus] = []
        for name in names:
            mine = [each for each in self._containers if each.config.name == name]
            mine.sort(key=lambda each: (each.config.attempt, each.created_at_ns), reverse=True)
            keep += mine[: DEAD_KEPT + 1]
            for dead in mine[DEAD_KEPT + 1 :]:
                if dead.state is ContainerState.EXITED:
                    await self._parts.runtime.remove_container(dead.id)
                    container_files.remove_attempt(self._parts.volumes.pod_directory(uid(pod)), dead)
                    self._messages.pop(dead.id, None)
                else:
                    keep.append(dead)
        self._containers = tuple(keep)
        await self._collect_sandboxes()

    async def _collect_sandboxes(self) -> None:
        used = {each.sandbox_id for each in self._containers}
        for old in self._sandboxes[1:]:
            if old.id not in used and old.state is SandboxState.NOT_READY:
                await self._parts.runtime.remove_pod_sandbox(old.id)
                self._sandbox_ids.remove(old.id)
        left = set(self._sandbox_ids)
        self._sandboxes = tuple(each for each in self._sandboxes if each.id in left)

    async def remove_all(self) -> None:
        for sandbox_id in list(self._sandbox_ids):
            with suppress(NotFound):
                await self._parts.runtime.remove_pod_sandbox(sandbox_id)
            self._sandbox_ids.remove(sandbox_id)

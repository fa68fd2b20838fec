"""Pods that a Permit plugin holds back: until every such plugin allows them, one rejects them, or their
time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from control_plane.client.clock import Clock
from control_plane.scheduler.framework.status import Status, unschedulable

MAX_WAIT_S = 15 * 60.0


class Waiting:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pods: dict[str, tuple[set[str], asyncio.Future[Status | None]]] = {}

    def add(self, uid: str, waits: Mapping[str, float]) -> None:
        """`waits`: plugins and how long each is willing to wait, in seconds."""
        if not waits:
            return
        decided: asyncio.Future[Status | None] = asyncio.get_running_loop().create_future()
        self._pods[uid] = (set(waits), decided)
        for plugin, timeout_s in waits.items():
            self._clock.call_later(min(timeout_s, MAX_WAIT_S), partial(self._expire, uid, plugin, decided))

    def holds(self, uid: str) -> bool:
        return uid in self._pods

    async def wait(self, uid: str) -> Status | None:
        """None when allowed."""
        entry = self._pods.get(uid)
        if entry is None:
            return None
        try:
            return await entry[1]
        finally:
            self._pods.pop(uid, None)

    def allow(self, uid: str, plugin: str) -> None:
        entry = self._pods.get(uid)
        if entry is None:
            return
        pending, decided = entry
        pending.discard(plugin)
        if not pending and not decided.done():
            decided.set_result(None)

    def reject(self, uid: str, plugin: str, reason: str) -> None:
        entry = self._pods.get(uid)
        if entry is not None and not entry[1].done():
            entry[1].set_result(unschedulable(reason).by(plugin))

    def abandon(self, uid: str) -> None:
        """The pod is gone."""
        self.reject(uid, "", "pod was deleted")

    def _expire(self, uid: str, plugin: str, decided: asyncio.Future[Status | None]) -> None:
        entry = self._pods.get(uid)
        if entry is not None and entry[1] is decided and plugin in entry[0]:
            self.reject(uid, plugin, f"rejected due to timeout after waiting at plugin {plugin}")

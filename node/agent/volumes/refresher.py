"""Keeps what volumes show up to date: when an object or the pod itself changed, and before a token expires."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from control_plane.client.clock import Clock
from node.agent.pod_spec import Obj, uid
from node.agent.volumes.manager import VolumeManager

TOKEN_CHECK_S = 20.0
SETTLE_S = 0.05  # changes that come together are written together


class Refresher:
    def __init__(self, volumes: VolumeManager, pods: Callable[[], list[Obj]], clock: Clock) -> None:
        self._volumes = volumes
        self._pods = pods
        self._clock = clock
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()

    def mark(self, pod_uid: str) -> None:
        self._dirty.add(pod_uid)
        self._wake.set()

    def pod_updated(self, old: Obj, new: Obj) -> None:
        """Labels and annotations are what a pod may read of itself and can change."""
        before, after = old["metadata"], new["metadata"]
        if any((before.get(key) or {}) != (after.get(key) or {}) for key in ("labels", "annotations")):
            self.mark(uid(new))

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TOKEN_CHECK_S):
                    await self._wake.wait()
                await self._clock.sleep(SETTLE_S)
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            now_s = self._clock.wall()
            for pod in self._pods():
                due_s = self._volumes.renew_at_s(uid(pod))
                if uid(pod) in dirty or (due_s is not None and now_s >= due_s):
                    await self._volumes.refresh(pod)

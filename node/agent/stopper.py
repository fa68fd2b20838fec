"""Stopping one container: the Killing event, preStop within the grace, SIGTERM, and SIGKILL at the deadline."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from node.agent.handlers import Target
from node.agent.parts import Parts
from node.agent.pod_spec import Obj, find_container
from node.agent.termination import MIN_GRACE_S
from node.agent.view import StopContainer
from node.runtime.interface import NotFound


@dataclass(frozen=True, slots=True)
class Stopper:
    parts: Parts

    async def stop(self, pod: Obj, action: StopContainer, address: str) -> None:
        """Returns when the container has ended. `run_pre_stop` is False for a stop that only got shorter."""
        if action.run_pre_stop:
            self.parts.tell(pod, "Killing", action.message, action.name)
            await self._pre_stop(pod, action, address)
        left_s = max(action.deadline_s - self.parts.clock.wall(), MIN_GRACE_S)
        try:
            await self.parts.runtime.stop_container(action.container_id, left_s)
        except NotFound:
            return

    async def _pre_stop(self, pod: Obj, action: StopContainer, address: str) -> None:
        found = find_container(pod, action.name)
        hook = ((found[1].get("lifecycle") or {}).get("preStop")) if found else None
        if found is None or not hook:
            return
        left_s = action.deadline_s - self.parts.clock.wall()
        target = Target(action.container_id, found[1], address)
        try:
            async with asyncio.timeout(left_s):
                result = await self.parts.prober.run(hook, target, left_s)
        except TimeoutError:
            return
        if not result.ok:
            self.parts.warn(pod, "FailedPreStopHook", f"PreStopHook failed: {result.output}", action.name)

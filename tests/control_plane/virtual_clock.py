"""A clock that tests turn by hand: timers fire in order, and the tasks they wake run before the next one."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

SETTLE_TURNS = 50


class _Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    def __init__(self, wall_s: float = 1_700_000_000.0) -> None:
        self._now_s = 0.0
        self._epoch_s = wall_s
        self._timers: list[tuple[float, int, _Timer, Callable[[], None]]] = []
        self._sequence = itertools.count()

    def monotonic(self) -> float:
        return self._now_s

    def wall(self) -> float:
        return self._epoch_s + self._now_s

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer()
        heapq.heappush(self._timers, (self._now_s + delay_s, next(self._sequence), timer, callback))
        return timer

    async def sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.call_later(delay_s, lambda: woken.done() or woken.set_result(None))
        await woken

    async def advance(self, seconds: float) -> None:
        """Turn it on by so much; everything due on the way happens at its own moment."""
        end_s = self._now_s + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end_s:
            at_s, _, timer, callback = heapq.heappop(self._timers)
            self._now_s = max(self._now_s, at_s)
            if not timer.cancelled:
                callback()
                await settle()
        self._now_s = end_s
        await settle()


async def settle() -> None:
    """Let every task that can run do so, without time passing."""
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)

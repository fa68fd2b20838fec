"""Events in batches, in the background: a bounded buffer, emptied in pieces neither too large nor too late.

When the buffer is full an event is dropped and counted: a server that is slow to take events must not be what slows
this one down.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from store.component import logs

log = logs.get("apiserver.audit")

Send = Callable[[Sequence[bytes]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """The fields are kube-apiserver's `--audit-<sink>-batch-` flags."""

    buffer_size: int = 10_000
    max_size: int = 1
    max_wait_s: float = 0.0
    throttle_enable: bool = False
    throttle_qps: float = 0.0
    throttle_burst: int = 0


class Throttle:
    """A token bucket: how long to wait before the next batch."""

    def __init__(self, qps: float, burst: int, now_s: float) -> None:
        self._qps, self._burst = qps, burst
        self._tokens, self._since_s = float(burst), now_s

    def take(self, now_s: float) -> float:
        """Take a token; seconds until it is there."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._since_s) * self._qps) - 1
        self._since_s = now_s
        return max(0.0, -self._tokens / self._qps)


class Buffer:
    """`add` from anywhere on the loop; `await run()` for the life of the process, `await drain()` at its end."""

    def __init__(self, send: Send, options: BatchOptions, failed: Callable[[int, str], None]) -> None:
        self._send = send
        self._options = options
        self._failed = failed
        self._events: deque[bytes] = deque()
        self._arrived = asyncio.Event()

    def add(self, event: bytes) -> None:
        if len(self._events) >= self._options.buffer_size:
            self._failed(1, "audit buffer queue blocked")
            return
        self._events.append(event)
        self._arrived.set()

    async def run(self) -> None:
        options, loop = self._options, asyncio.get_running_loop()
        throttle = Throttle(options.throttle_qps, options.throttle_burst, loop.time())
        while True:
            await self._fill()
            batch = self._take()
            if not batch:
                continue
            if options.throttle_enable:
                await asyncio.sleep(throttle.take(loop.time()))
            await self._deliver(batch)

    async def drain(self, timeout_s: float) -> None:
        """Send what is left, as far as the time goes."""
        try:
            async with asyncio.timeout(timeout_s):
                while batch := self._take():
                    await self._deliver(batch)
        except TimeoutError:
            log.warning("audit events are lost at the end", events=len(self._events))

    async def _fill(self) -> None:
        """Until a batch is full, or the first of it has waited long enough."""
        if not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        ends_s = asyncio.get_running_loop().time() + self._options.max_wait_s
        while len(self._events) < self._options.max_size:
            left_s = ends_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                return
            self._arrived.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._arrived.wait()
            except TimeoutError:
                return

    def _take(self) -> list[bytes]:
        size = min(len(self._events), self._options.max_size)
        return [self._events.popleft() for _ in range(size)]

    async def _deliver(self, batch: Sequence[bytes]) -> None:
        """A batch that fails in the middle of a stop goes back, for `drain`."""
        try:
            await self._send(batch)
        except asyncio.CancelledError:
            self._events.extendleft(reversed(batch))
            raise
        except Exception as error:
            self._failed(len(batch), str(error))

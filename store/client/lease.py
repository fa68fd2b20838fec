"""Keeping a lease alive from a task.

The keeper renews at a third of the TTL and tries again quickly after a failure. It never claims more than
it knows: `lost` is set as soon as the store says that the lease is gone, or when a whole TTL has passed
without a renewal that was answered (counted from before the request was sent, so the holder stops no later
than the store does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from store.client.errors import LeaseNotFound, StoreError

RETRY_S = 0.2


class LeaseKeeper:
    def __init__(self, keep_alive: Callable[[int], Awaitable[int]], id: int, ttl_s: int) -> None:
        self._keep_alive = keep_alive
        self.id = id
        self._ttl_s = float(ttl_s)
        self.lost = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop renewing; the lease then runs out, or the owner revokes it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        valid_until = loop.time() + self._ttl_s
        while True:
            asked = loop.time()
            try:
                async with asyncio.timeout_at(valid_until):
                    self._ttl_s = float(await self._keep_alive(self.id))
                valid_until = asked + self._ttl_s
                await asyncio.sleep(self._ttl_s / 3)
            except LeaseNotFound:
                break
            except (StoreError, TimeoutError):
                if loop.time() >= valid_until:
                    break
                await asyncio.sleep(min(RETRY_S, self._ttl_s / 10))
        self.lost.set()

"""Leases that make events expire. One lease serves the events of a minute, so that a burst costs one grant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from store.client.client import StoreClient

EVENT_TTL_S = 3600
REUSE_S = 60.0
MAX_KEYS_PER_LEASE = 1000


class EventLeases:
    def __init__(
        self, client: StoreClient, ttl_s: int = EVENT_TTL_S, clock: Callable[[], float] = monotonic
    ) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = asyncio.Lock()
        self._id = 0
        self._granted_at = 0.0
        self._keys = 0

    async def lease(self) -> int:
        """A lease for one more key. Raises StoreError."""
        if self._ttl_s <= 0:
            return 0
        async with self._lock:
            if not self._usable():
                granted = await self._client.lease_grant(self._ttl_s + int(REUSE_S))
                self._id, self._granted_at, self._keys = granted.id, self._clock(), 0
            self._keys += 1
            return self._id

    def _usable(self) -> bool:
        young = self._clock() - self._granted_at < REUSE_S
        return self._id != 0 and young and self._keys < MAX_KEYS_PER_LEASE

"""How new a read must be: the store's current revision, asked once for all requests that wait for it.

A linearizable read of no keys says the revision that the store had at some moment after it was sent. A request may
share the answer of a read that was *sent* after the request arrived, never of one that was already under way.
"""

from __future__ import annotations

import asyncio

from control_plane.api.errors import StatusError, resource_version_too_large
from control_plane.apiserver.watch_cache.feed import Feed
from store.client.client import StoreClient
from store.client.errors import StoreError

_PROBE_KEY = b"/registry/health"
FRESH_TIMEOUT_S = 1.0  # how long a consistent read waits for the cache before it goes to the store
NOT_OLDER_TIMEOUT_S = 3.0


class Freshness:
    def __init__(self, client: StoreClient, feed: Feed) -> None:
        self._client = client
        self._feed = feed
        self.failure: str | None = None  # why the store's last answer was none
        self._running: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None

    async def store_revision(self) -> int:
        """The store's revision now. Raises StoreError."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        return await asyncio.shield(self._next)

    async def caught_up(self) -> bool:
        """Whether the cache holds all that was written before the call. Raises StoreError."""
        return await self._feed.wait_for(await self.store_revision(), FRESH_TIMEOUT_S)

    async def not_older_than(self, revision: int) -> None:
        """Wait until the cache has `revision`. Raises StatusError (504, "Too large resource version")."""
        if not await self._feed.wait_for(revision, NOT_OLDER_TIMEOUT_S):
            raise self.too_large(revision)

    def too_large(self, revision: int) -> StatusError:
        return resource_version_too_large(revision, self._feed.revision)

    async def _after(self, running: asyncio.Task[int] | None) -> int:
        if running is not None:
            await asyncio.wait([running])
        self._running, self._next = self._next, None
        try:
            response = await self._client.range(_PROBE_KEY, count_only=True)
        except StoreError as error:
            self.failure = str(error)
            raise
        self.failure = None
        return response.revision

"""Forgetting old revisions: every interval the store is compacted to where it stood one interval before, so that
lists can be continued and watches resumed for that long.

All apiservers of a store share the work as kube-apiserver's do (they may be mixed): whoever first moves the key
`compact_rev_key` on from the version that it saw last compacts to the revision that it saw then; the others find
the key moved, and only remember where things stand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from store.client.client import StoreClient
from store.client.errors import Compacted, StoreError
from store.client.types import Compare, Op, RangeResponse
from store.component import logs

KEY = b"compact_rev_key"

log = logs.get("apiserver.compactor")


@dataclass(frozen=True, slots=True)
class Seen:
    """How often the key was written, and the store's revision, at the last look."""

    version: int = 0
    revision: int = 0


class Compactor:
    def __init__(
        self,
        client: StoreClient,
        interval_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._interval_s = interval_s
        self._sleep = sleep

    async def run(self) -> None:
        """Until it is cancelled."""
        seen = Seen()
        while True:
            await self._sleep(self._interval_s)
            try:
                seen = await self.compact(seen)
            except StoreError as error:
                log.warning("cannot compact the store", reason=error)

    async def compact(self, seen: Seen) -> Seen:
        """Raises StoreError."""
        answer = await self._client.txn(
            [Compare.version(KEY, "=", seen.version)],
            [Op.put(KEY, str(seen.revision).encode())],
            [Op.range(KEY)],
        )
        if not answer.succeeded:
            [found] = answer.responses
            assert isinstance(found, RangeResponse)
            return Seen(found.kvs[0].version if found.kvs else 0, answer.revision)
        if seen.revision:
            try:
                await self._client.compact(seen.revision)
            except Compacted:
                pass
            else:
                log.info("compacted the store", revision=seen.revision)
        return Seen(seen.version + 1, answer.revision)

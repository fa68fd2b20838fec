"""Fills the caches: one consistent read of `/registry/`, then one watch from the revision after it.

The first read is of some revisions ago, where the store still has them: so a server that was just started has a
history, and clients whose watches a restart has ended go on where they were instead of listing all anew.

`revision` says how far *every* cache is, because all of them are fed by the same watch; a list that must be
consistent asks the store for its revision and waits here until the feed has it. When the store has compacted what
the watch still needs, all is read again and the watchers are cut.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Callable
from itertools import count

from control_plane.apiserver.storage import codec, keys
from control_plane.apiserver.watch_cache.cache import ResourceCache
from control_plane.apiserver.watch_cache.entry import Entry, Normal, NormalizedEntry, Object
from store.client.client import StoreClient
from store.client.errors import Compacted, StoreError
from store.client.types import Event, WatchResponse, prefix_end
from store.client.watch import Watch
from store.component import logs

LOAD_PAGE_OBJECTS = 1000
BACKLOG_REVISIONS = (1000, 250, 60, 15)  # of history that a new server begins with: what is not compacted
RETRY_DELAY_S = 0.2
RETRY_MAX_DELAY_S = 2.0

log = logs.get("apiserver.cache")


class Feed:
    """`await run()` for the life of the process; `synced` is set once the caches are filled."""

    def __init__(
        self,
        client: StoreClient,
        decode_foreign: Callable[[bytes], Object] | None = None,
    ) -> None:
        self.revision = 0
        self.synced = asyncio.Event()
        self._client = client
        self._trust_progress = False
        self._decode_foreign = decode_foreign
        self._caches: dict[bytes, ResourceCache] = {}
        self._normals: dict[bytes, Normal] = {}
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = count()
        self._floor = 0
        self._present = 0  # what must have been seen before the caches are filled
        self._stream: Watch | None = None
        self._refill = False

    def cache(self, group: str, resource: str) -> ResourceCache:
        return self._cache(keys.collection(group, resource))

    def _cache(self, prefix: bytes) -> ResourceCache:
        found = self._caches.get(prefix)
        if found is None:
            found = self._caches[prefix] = ResourceCache(self._floor)
        return found

    def set_normal(self, group: str, resource: str, normalize: Callable[[bytes], bytes]) -> None:
        """From now on the objects of this resource are shown as `normalize` makes them."""
        prefix = keys.collection(group, resource)
        known = self._normals.get(prefix)
        if known is None:
            known = self._normals[prefix] = Normal(normalize)
        known.normalize = normalize
        self._cache(prefix).wrap(known)

    def normal(self, group: str, resource: str, stored: bytes) -> bytes:
        """Bytes that did not come from the cache, as they are shown."""
        known = self._normals.get(keys.collection(group, resource))
        return known.normalize(stored) if known is not None else stored

    def forget_normal(self, group: str, resource: str) -> None:
        self._normals.pop(keys.collection(group, resource), None)

    def sizes(self) -> dict[str, int]:
        """Objects per resource, for the metrics."""
        return {prefix.decode(): len(cache) for prefix, cache in self._caches.items()}

    def wake_watchers(self) -> None:
        """Let every watch look whether it should end."""
        for cache in self._caches.values():
            cache.notify()

    async def refill(self) -> None:
        """Read all again: what could not be read may be readable now."""
        self._refill = True
        if self._stream is not None:
            await self._stream.close()

    async def wait_for(self, revision: int, timeout_s: float) -> bool:
        """Whether the caches hold `revision` within the time."""
        if self.revision >= revision:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (revision, next(self._tickets), future))
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        delay_s = RETRY_DELAY_S
        complete = False  # whether the watch can go on from `revision`
        while True:
            try:
                if not complete:
                    self._trust_progress = honest_progress((await self._client.status()).version)
                    await self._load()
                complete, delay_s, self._refill = True, RETRY_DELAY_S, False
                await self._follow()
                complete = not self._refill
            except Compacted as error:
                complete = False
                log.warning("the watch fell behind compaction, reading all again", revision=error.revision)
            except StoreError as error:
                log.warning("cannot read the store, trying again", reason=error)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_MAX_DELAY_S)

    async def _load(self) -> None:
        found, revision = await self._read(0) if self.revision else await self._read_backlog()
        self._floor = revision
        for prefix in self._caches.keys() | found.keys():
            self._cache(prefix).reset(found.get(prefix, {}), revision)
        self._advance(revision)

    async def _read_backlog(self) -> tuple[dict[bytes, dict[str, Entry]], int]:
        """As it was some revisions ago. What there is now is reached when the last change of it has been seen."""
        end = prefix_end(keys.ROOT)
        last = await self._client.range(
            keys.ROOT, end, limit=1, sort_order="DESCEND", sort_target="MOD", keys_only=True
        )
        self._present = last.kvs[0].mod_revision if last.kvs else 0
        for backlog in BACKLOG_REVISIONS:
            try:
                return await self._read(max(1, last.revision - backlog))
            except Compacted:
                continue
        return await self._read(0)

    async def _read(self, revision: int) -> tuple[dict[bytes, dict[str, Entry]], int]:
        """All objects at a revision (0: now), and the revision. Raises Compacted."""
        end = prefix_end(keys.ROOT)
        found: dict[bytes, dict[str, Entry]] = defaultdict(dict)
        start, more = keys.ROOT, True
        while more:
            page = await self._client.range(start, end, limit=LOAD_PAGE_OBJECTS, revision=revision)
            revision = revision or page.revision
            for kv in page.kvs:
                self._keep(found, kv.key, kv.value, kv.mod_revision)
            more = page.more
            start = page.kvs[-1].key + b"\x00" if page.kvs else start
        return found, revision

    def _keep(self, found: dict[bytes, dict[str, Entry]], key: bytes, value: bytes, revision: int) -> None:
        place = _place(key)
        entry = self._entry(place[0], key, value, revision) if place is not None else None
        if place is not None and entry is not None:
            found[place[0]][place[1]] = entry

    async def _follow(self) -> None:
        end = prefix_end(keys.ROOT)
        self._stream = self._client.watch(
            keys.ROOT, end, start_revision=self.revision + 1, progress_notify=True
        )
        async for response in self._stream:
            self._apply(response)

    def _apply(self, response: WatchResponse) -> None:
        touched = set()
        for event in response.events:
            cache = self._apply_event(event)
            if cache is not None:
                touched.add(cache)
        if response.events:
            self._advance(response.events[-1].kv.mod_revision)
        elif response.progress and self._trust_progress:
            self._advance(response.revision)
        for cache in touched:
            cache.notify()

    def _apply_event(self, event: Event) -> ResourceCache | None:
        kv = event.kv
        place = _place(kv.key)
        if place is None or kv.mod_revision <= self._floor:
            return None
        deleted = event.type == "DELETE"
        entry = None if deleted else self._entry(place[0], kv.key, kv.value, kv.mod_revision)
        if entry is None and not deleted:
            return None
        cache = self._cache(place[0])
        cache.apply(place[1], entry, kv.mod_revision)
        return cache

    def _entry(self, prefix: bytes, key: bytes, value: bytes, revision: int) -> Entry | None:
        try:
            raw = codec.with_revision(value, revision, self._decode_foreign)
            normal = self._normals.get(prefix)
            return Entry(raw, revision) if normal is None else NormalizedEntry(raw, revision, normal)
        except codec.Undecodable as error:
            log.error("an object in the store cannot be read, leaving it out", key=key.decode(), reason=error)
            return None

    def _advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        if self.revision >= self._present:
            self.synced.set()
        while self._waiters and self._waiters[0][0] <= self.revision:
            future = heapq.heappop(self._waiters)[2]
            if not future.done():
                future.set_result(None)


def honest_progress(version: str) -> bool:
    """Whether a store of this version sends progress only for what it has delivered. etcd before 3.4.31 and
    3.5.13 could announce a revision before its events; with those only events say how far the caches are."""
    numbers = [int(part) for part in version.split("-")[0].split("+")[0].split(".") if part.isdigit()]
    release = (*numbers, 0, 0, 0)[:3]
    return release >= (3, 5, 13) or (3, 4, 31) <= release < (3, 5, 0)


def _place(key: bytes) -> tuple[bytes, str] | None:
    """The resource's prefix and the item of a key; None for what is no object."""
    group_end = key.find(b"/", len(keys.ROOT))
    resource_end = key.find(b"/", group_end + 1)
    if group_end < 0 or resource_end < 0 or resource_end + 1 == len(key):
        return None
    return key[: resource_end + 1], key[resource_end + 1 :].decode("utf-8", "surrogateescape")

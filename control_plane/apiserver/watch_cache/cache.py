"""The cache of one resource: its objects in key order, and the history of their last changes.

Watchers hold a position in the history and nothing else; there is no queue per watcher, so that a slow one costs
no memory: one whose position has left the history is cut (it resumes from its last resourceVersion, or
gets 410). `floor` is the revision from which on the history is complete.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from sortedcontainers import SortedDict

from control_plane.apiserver.watch_cache.entry import Change, Entry, Normal, NormalizedEntry

HISTORY_MAX_CHANGES = 16384  # a client that lists ten thousand objects must find its place when it has them
HISTORY_MAX_BYTES = 32 * 1024 * 1024
HISTORY_MIN_CHANGES = 128
DECODED_MAX_BYTES = 1024 * 1024  # of JSON; about five times as much as dicts

Object = dict[str, Any]


class TooOld(Exception):
    """The history begins after the revision that was asked for."""

    def __init__(self, floor: int) -> None:
        super().__init__(f"history begins at revision {floor}")
        self.floor = floor


class Lagged(Exception):
    """The watcher was too slow, or the cache was reloaded: its position is no longer in the history."""


class ResourceCache:
    def __init__(self, floor: int = 0) -> None:
        self.floor = floor
        self.changed_at = floor  # the revision of the last change
        self._entries: SortedDict[str, Entry] = SortedDict()
        self._history: list[Change] = []
        self._first = 0  # the position of _history[0]
        self._history_bytes = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._decoded: dict[str, tuple[int, Object]] = {}
        self._decoded_bytes = 0
        self._all: tuple[int, tuple[Object, ...]] | None = None

    # --- reading

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, item: str) -> bool:
        return item in self._entries

    def get(self, item: str) -> Entry | None:
        found: Entry | None = self._entries.get(item)
        return found

    def entries(self, prefix: str = "", start: str = "") -> Iterator[tuple[str, Entry]]:
        """Items and entries in key order, those under `prefix` ("" for all), from `start` on."""
        entries = self._entries
        if not prefix and not start:
            yield from entries.items()
            return
        for item in entries.irange(minimum=max(prefix, start)):
            if not item.startswith(prefix):
                return
            yield item, entries[item]

    def count(self, prefix: str = "", start: str = "") -> int:
        """How many items there are under `prefix` from `start` on."""
        entries = self._entries
        end = entries.bisect_left(prefix[:-1] + chr(ord(prefix[-1]) + 1)) if prefix else len(entries)
        return int(end - entries.bisect_left(max(prefix, start)))

    def object(self, item: str) -> Object | None:
        """A shared object, not to be changed; decoded once per revision."""
        entry = self.get(item)
        if entry is None:
            return None
        known = self._decoded.get(item)
        if known is not None and known[0] == entry.revision:
            return known[1]
        obj = entry.object()
        self._decoded_bytes += len(entry.raw)
        if self._decoded_bytes > DECODED_MAX_BYTES:
            self._decoded.clear()
            self._decoded_bytes = len(entry.raw)
        self._decoded[item] = (entry.revision, obj)
        return obj

    def objects(self, prefix: str = "") -> tuple[Object, ...]:
        """Shared objects in key order. Without a prefix the same tuple is returned until something changes,
        unless there is too much of it to keep."""
        if prefix:
            return tuple(obj for item, _ in self.entries(prefix) if (obj := self.object(item)) is not None)
        if self._all is None or self._all[0] != self.changed_at:
            found = tuple(obj for item in self._entries if (obj := self.object(item)) is not None)
            if len(self._decoded) < len(found):
                return found
            self._all = (self.changed_at, found)
        return self._all[1]

    # --- watching

    @property
    def end(self) -> int:
        """The position after the last change."""
        return self._first + len(self._history)

    def position_after(self, revision: int) -> int:
        """Where the changes after `revision` begin. Raises TooOld."""
        if revision < self.floor:
            raise TooOld(self.floor)
        return self._first + bisect_right(self._history, revision, key=_revision)

    def read(self, position: int, limit: int) -> list[Change]:
        """Changes from `position` on. Raises Lagged."""
        at = position - self._first
        if at < 0:
            raise Lagged
        return self._history[at : at + limit]

    async def wait(self, timeout_s: float) -> None:
        """Until there are new changes, or the time is up."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        handle = asyncio.get_running_loop().call_later(timeout_s, _wake, future)
        try:
            await future
        finally:
            handle.cancel()
            self._waiting.discard(future)

    # --- writing: only the feed does

    def apply(self, item: str, entry: Entry | None, revision: int) -> None:
        """Record a change. The watchers are told by `notify`, once per batch."""
        assert revision >= self.changed_at, "revisions only grow"
        previous = self._entries.get(item)
        if entry is None:
            if previous is None:
                return
            del self._entries[item]
            self._decoded.pop(item, None)
        else:
            self._entries[item] = entry
        self.changed_at = revision
        change = Change(item, revision, entry, previous)
        self._history.append(change)
        self._history_bytes += change.size_bytes()
        if len(self._history) > HISTORY_MAX_CHANGES or self._history_bytes > HISTORY_MAX_BYTES:
            self._trim()

    def notify(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            _wake(future)

    def reset(self, entries: dict[str, Entry], revision: int) -> None:
        """Replace all of it; every watcher is cut, since the changes between are not known."""
        self._entries = SortedDict(entries)
        self._first = self.end + 1
        self._history = []
        self._history_bytes = 0
        self._decoded = {}
        self._decoded_bytes = 0
        self._all = None
        self.floor = self.changed_at = revision
        self.notify()

    def wrap(self, normal: Normal) -> None:
        """Show the objects as `normal` makes them. What was decoded or derived from them is forgotten."""
        for item, entry in self._entries.items():
            self._entries[item] = NormalizedEntry.of(entry, normal)
        self._decoded = {}
        self._decoded_bytes = 0
        self._all = None

    def cut(self) -> None:
        """End every watch: its clients begin anew with what is served now."""
        self.reset(dict(self._entries), self.changed_at)

    def _trim(self) -> None:
        """Drop the oldest quarter; changes of one revision stay together."""
        keep = max(len(self._history) * 3 // 4, min(HISTORY_MIN_CHANGES, len(self._history)))
        drop = len(self._history) - keep
        while 0 < drop < len(self._history) and _same(self._history[drop - 1], self._history[drop]):
            drop += 1
        if drop == 0:
            return
        self.floor = self._history[drop - 1].revision
        self._history_bytes -= sum(change.size_bytes() for change in self._history[:drop])
        del self._history[:drop]
        self._first += drop


def _revision(change: Change) -> int:
    return change.revision


def _same(one: Change, other: Change) -> bool:
    return one.revision == other.revision


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

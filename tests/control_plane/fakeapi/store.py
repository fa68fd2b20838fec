"""What the server keeps: objects, one revision counter, history, and those who watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field

import orjson

from control_plane.api import errors
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import GVR
from control_plane.client.types import Obj
from tests.control_plane.fakeapi.where import Where, in_scope


@dataclass(slots=True)
class Change:
    revision: int
    type: str
    obj: Obj
    old: Obj | None


@dataclass(slots=True, eq=False)
class Stream:
    queue: asyncio.Queue[bytes | Exception | None]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            item = await self.queue.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    async def read(self) -> bytes:
        item = await self.queue.get()
        assert isinstance(item, bytes)
        return item


@dataclass(slots=True, eq=False)
class Watch:
    where: Where
    matches: Callable[[Obj], bool]
    stream: Stream

    def tell(self, change: Change) -> None:
        """An object that leaves the selection is deleted for its watcher, one that enters is added."""
        if not in_scope(self.where, change.obj):
            return
        before = change.old is not None and self.matches(change.old)
        after = change.type != "DELETED" and self.matches(change.obj)
        if after:
            self.send("MODIFIED" if before else "ADDED", change.obj)
        elif before:
            self.send("DELETED", change.obj)

    def send(self, type_: str, obj: Obj) -> None:
        self.stream.queue.put_nowait(orjson.dumps({"type": type_, "object": obj}) + b"\n")


class Store:
    def __init__(self) -> None:
        self.revision = 1
        self._tables: dict[tuple[str, str], dict[tuple[str, str], Obj]] = {}
        self._history: list[tuple[tuple[str, str], Change]] = []
        self._compacted = 0
        self._watches: list[Watch] = []
        self._held: dict[tuple[str, str], list[Change]] = {}

    def find(self, where: Where) -> Obj | None:
        return self._tables.get(where.table, {}).get((where.namespace, where.name))

    def all_of(self, where: Where) -> list[Obj]:
        """In the order of their names."""
        table = self._tables.get(where.table, {})
        return [obj for _, obj in sorted(table.items()) if in_scope(where, obj)]

    def write(self, where: Where, obj: Obj) -> Obj:
        self.revision += 1
        obj["metadata"] = {**obj["metadata"], "resourceVersion": str(self.revision)}
        table = self._tables.setdefault(where.table, {})
        key = (where.namespace, where.name)
        old = table.get(key)
        table[key] = obj
        self._publish(where, Change(self.revision, "MODIFIED" if old else "ADDED", obj, old))
        return obj

    def remove(self, where: Where) -> None:
        old = self._tables[where.table].pop((where.namespace, where.name))
        self.revision += 1
        final = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.revision)}}
        self._publish(where, Change(self.revision, "DELETED", final, old))

    def _publish(self, where: Where, change: Change) -> None:
        self._history.append((where.table, change))
        if where.table in self._held:
            self._held[where.table].append(change)
        else:
            self._tell(where.table, change)

    def _tell(self, table: tuple[str, str], change: Change) -> None:
        for watch in self._watches:
            if watch.where.table == table:
                watch.tell(change)

    def hold(self, gvr: GVR) -> None:
        """Whoever watches the resource hears of its changes only after `let_go`. (A new watch begins with them.)"""
        self._held.setdefault((gvr.group, gvr.resource), [])

    def let_go(self) -> None:
        held, self._held = self._held, {}
        for table, changes in held.items():
            for change in changes:
                self._tell(table, change)

    def compact(self) -> None:
        """Forget history: a watch from before now is answered with 410."""
        self._history.clear()
        self._compacted = self.revision

    def start_watch(self, watch: Watch, since: int) -> None:
        if not since:
            for obj in filter(watch.matches, self.all_of(watch.where)):
                watch.send("ADDED", obj)
        elif since < self._compacted:
            gone = errors.expired(f"too old resource version: {since} ({self._compacted})")
            watch.send("ERROR", gone.status())
            watch.stream.queue.put_nowait(None)
            return
        else:
            for table, change in self._history:
                if table == watch.where.table and change.revision > since:
                    watch.tell(change)
        self._watches.append(watch)

    def close_watch(self, stream: Stream) -> None:
        self._watches = [watch for watch in self._watches if watch.stream is not stream]

    @property
    def watch_count(self) -> int:
        return len(self._watches)

    def break_watches(self) -> None:
        self._end_watches(ConnectionFailed("stream broke"))

    def end_watches(self) -> None:
        self._end_watches(None)

    def _end_watches(self, how: Exception | None) -> None:
        for watch in self._watches:
            watch.stream.queue.put_nowait(how)
        self._watches = []

    def bookmark(self) -> None:
        for watch in self._watches:
            version = {"resourceVersion": str(self.revision)}
            watch.send("BOOKMARK", {"kind": watch.where.kind, "metadata": version})

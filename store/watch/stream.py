"""What the hub hands around: what a watcher wants, batches of changes, and the outbox of a connection.

An outbox is bounded: without room its watchers fall behind, which costs them nothing but a later read of
history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from store.mvcc.messages import Event, Record
from store.mvcc.query import in_range

MAX_OUTBOX_EVENTS = 4096  # per stream; beyond it watchers become unsynced
MAX_OUTBOX_BYTES = 8 * 1024 * 1024
EVENT_OVERHEAD_BYTES = 128


class Spec(msgspec.Struct, frozen=True):
    """What a watcher wants; watchers with equal specs share their batches."""

    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False
    no_put: bool = False
    no_delete: bool = False

    def wants(self, record: Record) -> bool:
        if self.no_delete and record.version == 0:
            return False
        if self.no_put and record.version:
            return False
        return in_range(record.key, self.key, self.range_end)


class Batch(msgspec.Struct, gc=False):
    """Changes for one group, in order. `encoded…` are the doors', filled when the first watcher is written
    to."""

    events: list[Event]
    prev_kv: bool
    size_bytes: int
    encoded: bytes | None = None  # as JSON
    encoded_protobuf: bytes | None = None


class WatchResponse(msgspec.Struct):
    watch_id: int
    revision: int
    batch: Batch | None = None  # none: created, canceled, or progress
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""
    may_fragment: bool = False  # the watcher takes a long batch in several messages


class Watcher:
    __slots__ = ("fragment", "id", "next_revision", "notified", "progress_notify", "spec", "stream", "synced")

    def __init__(
        self,
        stream: WatchStream,
        id: int,
        spec: Spec,
        next_revision: int,
        progress_notify: bool,
        fragment: bool = False,
    ) -> None:
        self.stream = stream
        self.id = id
        self.spec = spec
        self.next_revision = next_revision
        self.progress_notify = progress_notify
        self.fragment = fragment
        self.synced = False
        self.notified = False  # was given something since the last round of progress notifications


class WatchStream:
    """The watchers and the outbox of one connection. `on_ready` is called when an empty outbox gets a
    response."""

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self.watchers: dict[int, Watcher] = {}
        self.unsynced: dict[Watcher, None] = {}  # in the order of their turns
        self._outbox: deque[WatchResponse] = deque()
        self._events = 0
        self._size_bytes = 0
        self._on_ready = on_ready
        self.next_id = 0
        self.progress_wanted = False

    @property
    def is_idle(self) -> bool:
        return not self._outbox

    @property
    def has_room(self) -> bool:
        return self._events < MAX_OUTBOX_EVENTS and self._size_bytes < MAX_OUTBOX_BYTES

    def put(self, response: WatchResponse) -> None:
        self._outbox.append(response)
        if response.batch is not None:
            self._events += len(response.batch.events)
            self._size_bytes += response.batch.size_bytes
        if len(self._outbox) == 1:
            self._on_ready()

    def take(self) -> list[WatchResponse]:
        """Everything in the outbox; the caller writes it out before it takes more, and then calls
        `hub.sync`."""
        taken = list(self._outbox)
        self._outbox.clear()
        self._events = self._size_bytes = 0
        return taken


def make_batch(events: list[Event], prev_kv: bool) -> Batch:
    return Batch(events, prev_kv, sum(_size_bytes(event, prev_kv) for event in events))


def _size_bytes(event: Event, prev_kv: bool) -> int:
    size = len(event.record.key) + len(event.record.value) + EVENT_OVERHEAD_BYTES
    if prev_kv and event.prev is not None:
        size += len(event.prev.value)
    return size

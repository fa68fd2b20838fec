"""Watchers and how changes reach them. Pure: the hub is told of changes, and fills the outboxes of streams.

    synced    has everything up to the store's revision; gets new changes as they are applied unsynced  is
    behind: it starts in the past, or its stream's outbox was full; gets changes from history, in turns
              of bounded size, whenever its stream has room, until it is synced

Both give whole revisions in order, each once: `next_revision` of a watcher is the first change it has not
been given. A stream that does not drain its outbox holds back only its own watchers; when what they need is
compacted meanwhile, they are cancelled with the compact revision.

Watchers that want the same (range, filters, prev_kv) form a group: a change is matched once per group, and
all of a group share one `Batch`, which a gateway encodes once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from store.mvcc.errors import Compacted
from store.mvcc.messages import Event, Record
from store.watch.stream import Batch, Spec, Watcher, WatchResponse, WatchStream, make_batch

SYNC_CHANGES = 2000  # looked at for one watcher in one go
SYNC_TURN_CHANGES = 8000  # looked at in one turn, for all watchers of a stream
MAX_WATCHERS_PER_STREAM = 10_000

BROADCAST_ID = -1  # a progress response about all watchers of a stream


class History(Protocol):
    """What the hub needs of the store."""

    @property
    def revision(self) -> int: ...

    @property
    def compact_revision(self) -> int: ...

    def history(self, start_revision: int, limit: int) -> list[Record]: ...

    def previous(self, record: Record) -> Record | None: ...


class WatchHub:
    def __init__(self, store: History) -> None:
        self._store = store
        self._groups: dict[Spec, set[Watcher]] = {}  # of synced watchers
        self._by_key: dict[bytes, list[Spec]] = {}  # groups that watch one key
        self._ranges: dict[Spec, None] = {}  # groups that watch a range, in order of creation
        self._streams: set[WatchStream] = set()

    def __len__(self) -> int:
        return sum(len(stream.watchers) for stream in self._streams)

    @property
    def unsynced(self) -> int:
        return sum(len(stream.unsynced) for stream in self._streams)

    @property
    def streams(self) -> int:
        return len(self._streams)

    # -- streams and watchers --

    def open_stream(self, on_ready: Callable[[], None]) -> WatchStream:
        stream = WatchStream(on_ready)
        self._streams.add(stream)
        return stream

    def close_stream(self, stream: WatchStream) -> None:
        for id in list(stream.watchers):
            self._remove(stream, id)
        self._streams.discard(stream)

    def create(
        self,
        stream: WatchStream,
        spec: Spec,
        start_revision: int,
        progress_notify: bool,
        id: int = 0,
        fragment: bool = False,
    ) -> Watcher | None:
        """Add a watcher, answer `created`, and give it what it missed. None (and an answer) when the id is
        taken."""
        if id == 0:
            while stream.next_id in stream.watchers:
                stream.next_id += 1
            id = stream.next_id
            stream.next_id += 1
        elif id in stream.watchers:
            self.refuse(stream, "mvcc: watcher with given ID already exists")
            return None
        if len(stream.watchers) >= MAX_WATCHERS_PER_STREAM:
            self.refuse(stream, "etcdserver: too many watchers on one stream")
            return None
        now = self._store.revision
        watcher = Watcher(stream, id, spec, start_revision or now + 1, progress_notify, fragment)
        stream.watchers[id] = watcher
        stream.put(WatchResponse(id, now, created=True))
        if watcher.next_revision > now:
            self._add_synced(watcher)
        else:
            stream.unsynced[watcher] = None
            self.sync(stream)
        return watcher

    def cancel(self, stream: WatchStream, id: int) -> None:
        if self._remove(stream, id):
            stream.put(WatchResponse(id, self._store.revision, canceled=True))

    def refuse(self, stream: WatchStream, reason: str, id: int = BROADCAST_ID) -> None:
        """Answer that a watcher was not created, and why."""
        stream.put(WatchResponse(id, self._store.revision, created=True, canceled=True, cancel_reason=reason))

    def _remove(self, stream: WatchStream, id: int) -> bool:
        watcher = stream.watchers.pop(id, None)
        if watcher is None:
            return False
        self._remove_synced(watcher)
        stream.unsynced.pop(watcher, None)
        return True

    # -- new changes --

    def notify(self, events: Sequence[Event]) -> None:
        """Changes were applied, all of them of whole revisions. Called once per batch of requests."""
        if not events or not self._groups:
            return
        revision = events[-1].record.mod_revision
        for spec, wanted in self._match(events).items():
            batch = make_batch(wanted, spec.prev_kv)
            for watcher in list(self._groups[spec]):
                self._offer(watcher, batch, revision)

    def _match(self, events: Sequence[Event]) -> dict[Spec, list[Event]]:
        matched: dict[Spec, list[Event]] = {}
        for event in events:
            record = event.record
            for spec in (*self._by_key.get(record.key, ()), *self._ranges):
                if spec.wants(record):
                    matched.setdefault(spec, []).append(event)
        return matched

    def _offer(self, watcher: Watcher, batch: Batch, revision: int) -> None:
        first = batch.events[0].record.mod_revision
        if first < watcher.next_revision:  # it asked for a future revision
            events = [e for e in batch.events if e.record.mod_revision >= watcher.next_revision]
            if not events:
                return
            batch = make_batch(events, batch.prev_kv)
            first = events[0].record.mod_revision
        if not watcher.stream.has_room:
            self._remove_synced(watcher)
            watcher.next_revision = first
            watcher.stream.unsynced[watcher] = None
            return
        watcher.next_revision = revision + 1
        watcher.notified = True
        watcher.stream.put(WatchResponse(watcher.id, revision, batch, may_fragment=watcher.fragment))

    # -- catching up --

    def sync(self, stream: WatchStream) -> bool:
        """One turn for the unsynced watchers of a stream that has room; True when another one would help.

        The shell calls it after it has drained the outbox, and again later while it is True.
        """
        looked_at = 0
        while stream.unsynced and stream.has_room and looked_at < SYNC_TURN_CHANGES:
            watcher = next(iter(stream.unsynced))
            del stream.unsynced[watcher]
            looked_at += self._catch_up(watcher)
        self._tell_progress(stream)
        return bool(stream.unsynced) and stream.has_room

    def _catch_up(self, watcher: Watcher) -> int:
        """Give a watcher the next piece of history, and its place among the synced or at the end of the
        queue."""
        try:
            changes = self._store.history(watcher.next_revision, SYNC_CHANGES)
        except Compacted:
            self._cancel_compacted(watcher)
            return 0
        now = self._store.revision
        reached = changes[-1].mod_revision if len(changes) >= SYNC_CHANGES else now
        wanted = [record for record in changes if watcher.spec.wants(record)]
        if wanted:
            prev_kv = watcher.spec.prev_kv
            events = [Event(record, self._store.previous(record) if prev_kv else None) for record in wanted]
            watcher.notified = True
            batch = make_batch(events, prev_kv)
            watcher.stream.put(WatchResponse(watcher.id, reached, batch, may_fragment=watcher.fragment))
        watcher.next_revision = max(watcher.next_revision, reached + 1)
        if reached == now:
            self._add_synced(watcher)
        else:
            watcher.stream.unsynced[watcher] = None
        return len(changes)

    def _cancel_compacted(self, watcher: Watcher) -> None:
        self._remove(watcher.stream, watcher.id)
        watcher.stream.put(
            WatchResponse(
                watcher.id,
                self._store.revision,
                canceled=True,
                compact_revision=self._store.compact_revision,
                cancel_reason=Compacted.message,
            )
        )

    def reset(self, store: History) -> None:
        """The store was replaced (a snapshot was installed): everybody catches up from the new one's
        history."""
        seen = self._store.revision
        self._store = store
        for stream in self._streams:
            for watcher in stream.watchers.values():
                if watcher.synced:
                    watcher.next_revision = max(watcher.next_revision, seen + 1)
                    self._remove_synced(watcher)
                    stream.unsynced[watcher] = None
            self.sync(stream)

    # -- progress --

    def request_progress(self, stream: WatchStream) -> None:
        """Answer how far the stream is, as soon as all its watchers are synced."""
        stream.progress_wanted = True
        self._tell_progress(stream)

    def _tell_progress(self, stream: WatchStream) -> None:
        if stream.progress_wanted and not stream.unsynced:
            stream.progress_wanted = False
            stream.put(WatchResponse(BROADCAST_ID, self._store.revision))

    def notify_progress(self) -> None:
        """A round of progress notifications, for the watchers that asked and heard nothing since the last
        round."""
        now = self._store.revision
        for stream in self._streams:
            drained = stream.is_idle
            for watcher in stream.watchers.values():
                idle = drained and watcher.synced and not watcher.notified
                if idle and watcher.progress_notify and watcher.next_revision <= now + 1:
                    stream.put(WatchResponse(watcher.id, now))
                watcher.notified = False

    # -- groups --

    def _add_synced(self, watcher: Watcher) -> None:
        watcher.synced = True
        spec = watcher.spec
        group = self._groups.get(spec)
        if group is not None:
            group.add(watcher)
            return
        self._groups[spec] = {watcher}
        if spec.range_end:
            self._ranges[spec] = None
        else:
            self._by_key.setdefault(spec.key, []).append(spec)

    def _remove_synced(self, watcher: Watcher) -> None:
        if not watcher.synced:
            return
        watcher.synced = False
        spec = watcher.spec
        group = self._groups[spec]
        group.discard(watcher)
        if group:
            return
        del self._groups[spec]
        self._ranges.pop(spec, None)
        if not spec.range_end:
            specs = self._by_key[spec.key]
            specs.remove(spec)
            if not specs:
                del self._by_key[spec.key]

"""The leader's sending: pipelined appends within a window per follower, and snapshots to those too far behind.

Entries go out as they are appended, without waiting for acknowledgements, until `window_bytes` are on the way to
that follower; then it gets heartbeats, which also find out what was lost. A follower whose next entry is compacted
gets the newest snapshot's file in pieces, a few on the way at once, each acknowledged; while it loads, heartbeats
keep it from standing for election and its answers keep counting for check-quorum and read rounds.

That entries are committed travels with the next message. Without one, a follower that waits for an entry which it
handed to the leader hears of the commit at once, the others `COMMIT_DELAY_S` later: under load that message is
hardly ever needed, and it would cost as much as the entries themselves.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from store.raft.adapter import Core
from store.raft.codec import Message
from store.raft.compaction import Compaction
from store.raft.config import Limits
from store.raft.disk import Reader

SNAPSHOT_RETRY_S = 2.0
"""A snapshot whose pieces nobody acknowledges for so long begins again."""

COMMIT_DELAY_S = 0.002
"""How long followers may not know what is committed, when nothing else is sent to them."""
_NEVER = math.inf

Send = Callable[[int, Message], None]


@dataclass(slots=True)
class _Outgoing:
    """A snapshot on its way to one follower."""

    index: int
    index_term: int
    reader: Reader
    sent: int = 0
    acknowledged: int = 0
    heard_at: float = 0.0
    finished: bool = False


@dataclass(slots=True)
class _Progress:
    """What is on the way to one follower."""

    window: deque[tuple[int, int]] = field(default_factory=deque)  # last index of a message, its bytes
    window_bytes: int = 0
    commit_sent: int = 0
    snapshot: _Outgoing | None = None

    def sent(self, last_index: int, size: int) -> None:
        self.window.append((last_index, size))
        self.window_bytes += size

    def acknowledged(self, index: int) -> None:
        while self.window and self.window[0][0] <= index:
            self.window_bytes -= self.window.popleft()[1]

    def clear(self) -> None:
        self.window.clear()
        self.window_bytes = 0


class Replication:
    def __init__(
        self,
        core: Core,
        compaction: Compaction,
        limits: Limits,
        send: Send,
        awaited: Mapping[int, int],
    ) -> None:
        self.commit_due_at = _NEVER
        """When followers are to be told of a commit, if nothing is sent to them before."""
        self._awaited = awaited  # follower → the last entry that it waits for
        self._core = core
        self._compaction = compaction
        self._limits = limits
        self._send = send
        self._progress: dict[int, _Progress] = {}

    def reset(self, peer: int | None = None) -> None:
        """Forget what is on the way: to this peer (its connection closed), or to all (leadership changed)."""
        for each in list(self._progress) if peer is None else [peer]:
            progress = self._progress.pop(each, None)
            if progress is not None and progress.snapshot is not None:
                progress.snapshot.reader.close()

    def acknowledged(self, peer: int, message: Message) -> None:
        """Call after the core took the acknowledgement."""
        progress = self._progress.get(peer)
        if progress is None:
            return
        if message["reset"]:
            progress.clear()
        else:
            progress.acknowledged(message["next_node_idx"] - 1)

    def broadcast(
        self, connected: Container[int], read_round: int, everyone: bool, synced: int, now: float
    ) -> None:
        """Send what each follower lacks; with `everyone`, a message to each in any case."""
        core = self._core
        commit = min(core.commit, synced)
        shared: Message | None = None
        untold = False
        for peer in core.peers:
            if peer not in connected:
                continue
            progress = self._progress.setdefault(peer, _Progress())
            first = min(max(core.next(peer), 1), core.log.last_index + 1)
            if first <= core.log.base_index:
                self._offer_snapshot(peer, progress, everyone, read_round)
                continue
            nothing_sent = True
            while first <= core.log.last_index and progress.window_bytes < self._limits.window_bytes:
                message = self._append(first, read_round, commit, shared)
                shared = message
                size = sum([len(entry[0]) for entry in message["entries"]])
                first = message["entries"][-1][1] + 1
                core.set_next(peer, first)
                progress.sent(first - 1, size)
                progress.commit_sent = commit
                self._send(peer, message)
                nothing_sent = False
            if not nothing_sent:
                continue
            news = commit > progress.commit_sent
            if everyone or (news and self._is_urgent(peer, progress, now)):
                progress.commit_sent = commit
                shared = self._empty(first, read_round, commit, shared)
                self._send(peer, shared)
            elif news:
                untold = True
        if not untold:
            self.commit_due_at = _NEVER
        elif self.commit_due_at == _NEVER:
            self.commit_due_at = now + COMMIT_DELAY_S

    def _is_urgent(self, peer: int, progress: _Progress, now: float) -> bool:
        return now >= self.commit_due_at or self._awaited.get(peer, 0) > progress.commit_sent

    def _append(self, first: int, read_round: int, commit: int, shared: Message | None) -> Message:
        """Followers that are equally far get the same message, which is encoded once."""
        if shared is not None and shared["entries"] and shared["prevLogIdx"] == first - 1:
            return shared
        entries = tuple(self._core.log.batch(first, self._limits.append_bytes))
        return self._message(first, entries, read_round, commit)

    def _empty(self, first: int, read_round: int, commit: int, shared: Message | None) -> Message:
        if shared is not None and not shared["entries"] and shared["prevLogIdx"] == first - 1:
            return shared
        return self._message(first, (), read_round, commit)

    def _message(
        self, first: int, entries: tuple[tuple[bytes, int, int], ...], read_round: int, commit: int
    ) -> Message:
        return {
            "type": "append_entries",
            "term": self._core.term,
            "round": read_round,
            "commit_index": commit,
            "prevLogIdx": first - 1,
            "prevLogTerm": self._core.log.term_at(first - 1),
            "entries": entries,
        }

    # Snapshots

    def _offer_snapshot(self, peer: int, progress: _Progress, heartbeat: bool, read_round: int) -> None:
        if progress.snapshot is None:
            progress.clear()
            found = self._compaction.for_follower(peer)
            if found is not None:
                meta, reader = found
                progress.snapshot = _Outgoing(meta.index, meta.term, reader)
                self._pump(peer, progress.snapshot)
        if heartbeat:
            self._send(peer, self._message(self._core.log.base_index + 1, (), read_round, 0))

    def snapshot_reply(self, peer: int, message: Message, now: float) -> None:
        """The follower has the file up to an offset; an offset of 0 asks for it from the beginning."""
        progress = self._progress.get(peer)
        outgoing = None if progress is None else progress.snapshot
        if outgoing is None or outgoing.index != message["index"]:
            return
        outgoing.heard_at = now
        if message["offset"] > outgoing.acknowledged:
            outgoing.acknowledged = message["offset"]
            self._pump(peer, outgoing)

    def snapshot_done(self, peer: int) -> None:
        """The follower acknowledges entries behind the snapshot again."""
        progress = self._progress.get(peer)
        if (
            progress is not None
            and progress.snapshot is not None
            and self._core.next(peer) > self._core.log.base_index
        ):
            progress.snapshot.reader.close()
            progress.snapshot = None

    def check_snapshots(self, now: float) -> None:
        for peer, progress in self._progress.items():
            outgoing = progress.snapshot
            if outgoing is None:
                continue
            if outgoing.heard_at == 0.0:
                outgoing.heard_at = now
            elif now - outgoing.heard_at > SNAPSHOT_RETRY_S and peer in self._core.peers:
                outgoing.reader.close()
                progress.snapshot = None  # the next broadcast begins again, with the newest

    def _pump(self, peer: int, outgoing: _Outgoing) -> None:
        size = self._limits.snapshot_chunk_bytes
        while (
            not outgoing.finished
            and outgoing.sent - outgoing.acknowledged < size * self._limits.snapshot_window
        ):
            data = outgoing.reader.read(size)
            outgoing.finished = len(data) < size
            self._send(
                peer,
                {
                    "type": "snapshot_chunk",
                    "term": self._core.term,
                    "index": outgoing.index,
                    "index_term": outgoing.index_term,
                    "offset": outgoing.sent,
                    "data": data,
                    "last": outgoing.finished,
                },
            )
            outgoing.sent += len(data)

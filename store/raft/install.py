"""A snapshot that the leader sends: received aside, checked, and put in place in one step.

    pieces in order → file aside → synced and renamed → loaded, piece by piece → (between turns) in place, log reset

Until the last step the member is what it was and goes on taking its turns: the state is built beside the one that
serves. After a crash between the rename and the log's reset, `storage` finds both and finishes. A snapshot that
brings nothing new is acknowledged and dropped: installing it would forget entries that were acknowledged (see B1,
B4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from store.component import logs
from store.raft.adapter import Core
from store.raft.codec import Message
from store.raft.errors import Corrupted
from store.raft.interface import StateMachine
from store.raft.snapshot import IncomingSnapshot, SnapshotMeta, SnapshotStore

_log = logs.get("store.raft")

Send = Callable[[int, Message], None]


class Installer:
    def __init__(self, core: Core, machine: StateMachine, snapshots: SnapshotStore, send: Send) -> None:
        self._core = core
        self._machine = machine
        self._snapshots = snapshots
        self._send = send
        self._incoming: IncomingSnapshot | None = None
        self._position = (0, 0)  # index and term of what comes in
        self.received: tuple[IncomingSnapshot, int] | None = None
        """Complete but not synced, and who sent it: the engine's to finish, in a thread, then to `load` piece by
        piece, then to `install`."""
        self._loaded: tuple[SnapshotMeta, Callable[[], None]] | None = None

    def on_chunk(self, peer: int, message: Message) -> None:
        index, index_term = message["index"], message["index_term"]
        if message["term"] < self._core.term:
            self._send(peer, {"type": "stale", "term": self._core.term})
            return
        if message["term"] > self._core.term:  # like every word of a later term, it ends this member's reign
            self._core.step_down(message["term"])
        if self._known(index, index_term):
            self._core.acknowledge(peer, index)
            return
        if self.received is not None:
            return
        if message["offset"] == 0:
            self._begin(index, index_term)
        if self._incoming is None or self._position != (index, index_term):
            return
        if self._incoming.write(message["offset"], message["data"]):
            reply = {"type": "snapshot_reply", "term": message["term"], "index": index}
            self._send(peer, {**reply, "offset": self._incoming.offset})
            if message["last"]:
                self.received, self._incoming = (self._incoming, peer), None

    def still_loading(self, peer: int, term: int) -> None:
        """The leader was heard: tell it that what it sent is being loaded, or it would begin again."""
        if self.received is not None and self.received[1] == peer:
            reply = {"type": "snapshot_reply", "term": term, "index": self._position[0]}
            self._send(peer, {**reply, "offset": self.received[0].offset})

    def load(self) -> Iterator[None]:
        """Build the received snapshot's state, a piece at a time."""
        assert self.received is not None
        incoming, _ = self.received
        try:
            meta = self._snapshots.read_meta(incoming.path)
            if (meta.index, meta.term) != self._position:
                raise Corrupted(incoming.path, 0, f"is of entry {meta.index}, not {self._position[0]}")
            put_in_place = yield from self._machine.load(self._snapshots.chunks(incoming.path))
            self._loaded = meta, put_in_place
        except Corrupted as error:
            _log.error("the leader's snapshot cannot be used", why=str(error))
            self._snapshots.remove(incoming.path)

    def install(self) -> SnapshotMeta | None:
        """Put what was loaded in place. None if it is of no use after all."""
        assert self.received is not None
        _, peer = self.received
        loaded, self.received, self._loaded = self._loaded, None, None
        if loaded is None:
            return None
        meta, put_in_place = loaded
        if self._known(meta.index, meta.term):
            if peer in self._core.peers:
                self._core.acknowledge(peer, meta.index)
            return None
        put_in_place()
        self._core.installed(meta.index, meta.term)
        _log.info("installed a snapshot", index=meta.index, term=meta.term)
        if peer in self._core.peers:
            self._core.acknowledge(peer, meta.index)
        return meta

    def abandon(self) -> None:
        if self._incoming is not None:
            self._incoming.abort()
            self._incoming = None

    def _begin(self, index: int, index_term: int) -> None:
        self.abandon()
        self._incoming = self._snapshots.receive(index, index_term)
        self._position = (index, index_term)

    def _known(self, index: int, index_term: int) -> bool:
        return index <= self._core.commit or self._core.log.term_at(index) == index_term

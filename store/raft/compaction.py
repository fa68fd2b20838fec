"""When a snapshot of the state machine is due, and what of the log goes once it is there."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from store.raft.config import RaftConfig
from store.raft.disk import Reader
from store.raft.log import FIRST
from store.raft.membership import Membership
from store.raft.snapshot import SnapshotMeta
from store.raft.storage import Storage

CHEAP_SNAPSHOT_BYTES = 16 * 1024 * 1024
LOG_PER_SNAPSHOT = 4
"""A snapshot larger than that is due when a quarter of what it exceeds it by has been written to the log."""

FREED_AT_ONCE = 64
LOOKED_AT_ONCE = 512
"""Entries; between two such parts others run. Most have not been touched for so long that each is a cache miss."""


class Compaction:
    def __init__(self, config: RaftConfig, storage: Storage) -> None:
        self.snapshot_index = storage.snapshot_index
        self._config = config
        self._log = storage.log
        self._snapshots = storage.snapshots
        self._member_id = storage.member_id
        self._wanted = False
        self._log_bytes_at_snapshot = 0
        self._newest: Path | None = None
        self._obsolete: list[Path] = []  # segments of the log

    def due(self, applied: int) -> bool:
        """After so many entries or bytes of log; later when the last one was large, so that writing snapshots stays
        a part of the work."""
        behind = applied - max(self.snapshot_index, FIRST[1])
        if self._wanted and behind > 0:
            return True
        if behind < self._config.snapshot_count and self._written < self._config.limits.snapshot_wal_bytes:
            return False
        if self._written >= self._config.limits.snapshot_wal_bytes + self._worth:
            return behind > 0
        return behind >= self._config.snapshot_count and self._written >= self._worth

    def hurries(self, done_bytes: int) -> bool:
        """Whether the log grows so fast that more than `done_bytes` of the snapshot being written should be there:
        it is to be whole when the next is due."""
        due_bytes = self._config.limits.snapshot_wal_bytes + self._worth
        return self._written * self._snapshots.size_bytes > due_bytes * done_bytes

    @property
    def _worth(self) -> int:
        """Of log, in bytes, that the next snapshot is for."""
        return max(self._snapshots.size_bytes - CHEAP_SNAPSHOT_BYTES, 0) // LOG_PER_SNAPSHOT

    @property
    def _written(self) -> int:
        return self._log.appended_bytes - self._log_bytes_at_snapshot

    def begin(self, applied: int, membership: Membership) -> SnapshotMeta:
        """Of a snapshot of the state machine as it is now."""
        self._log_bytes_at_snapshot = self._log.appended_bytes
        term = self._log.term_at(applied)
        assert term is not None, f"applied {applied} is not in the log"
        return SnapshotMeta(applied, term, membership)

    def for_follower(self, peer: int) -> tuple[SnapshotMeta, Reader] | None:
        """The newest snapshot, opened, if the follower may begin with it. It has to find itself and its leader
        among the members, or it would part with a leader that it does not know and never hear the rest. Otherwise a
        newer one is due; None until that is there."""
        if self._wanted:
            return None
        path = self._snapshots.latest()
        assert path is not None, "the log is compacted, but there is no snapshot"
        meta = self._snapshots.read_meta(path)
        known = meta.membership.members
        self._wanted = peer not in known or self._member_id not in known
        return None if self._wanted else (meta, self._snapshots.open(path))

    def taken(self, meta: SnapshotMeta) -> None:
        """The file is in place: the log before it may go."""
        if meta.index > self.snapshot_index:  # no newer one came from the leader meanwhile
            self._is_newest(meta)

    def installed(self, meta: SnapshotMeta) -> None:
        """The leader's snapshot took the place of state and log."""
        self._log.sync()
        self._is_newest(meta)

    def _is_newest(self, meta: SnapshotMeta) -> None:
        self.snapshot_index = meta.index
        self._wanted = False
        self._newest = self._snapshots.path(meta.index, meta.term)

    def forgetting(self) -> Iterator[None]:
        """Part with the entries that the newest snapshot stands for, some at each `next`, which must be between two
        turns: to free hundreds of megabytes takes a while."""
        while self._log.replaced:
            del self._log.replaced[-FREED_AT_ONCE:]
            yield
        base = yield from self._catch_up_base()
        while self._log.base_index < base:
            self._log.compact(min(self._log.base_index + FREED_AT_ONCE, base))
            yield
        self._obsolete += self._log.wal.detach(base)

    def _catch_up_base(self) -> Generator[None, None, int]:
        """Where to compact to, so that a slow follower finds what it may still want."""
        base, size_bytes = self.snapshot_index, self._config.limits.snapshot_wal_bytes // 2
        while base > self._log.base_index and self.snapshot_index - base < self._config.catch_up_entries:
            size_bytes -= len(self._log.entry(base)[0])
            if size_bytes < 0:
                break
            base -= 1
            if base % LOOKED_AT_ONCE == 0:
                yield
        return base

    def removing(self) -> Iterator[None]:
        """Remove the files that nothing needs any more, a part at each `next`: much at once would hold up every
        sync on the disk. May run in a thread, as long as no snapshot is written or installed meanwhile. Raises
        DiskFailed."""
        while self._obsolete:
            self._log.wal.remove([self._obsolete.pop(0)])
            yield
        if self._newest is not None:
            yield from self._snapshots.pruning(self._newest)

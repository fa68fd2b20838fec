"""When a snapshot of the state machine is due, and what of the log goes once it is there."""

from __future__ import annotations

from pathlib import Path

from store.raft.config import RaftConfig
from store.raft.disk import Reader
from store.raft.log import FIRST
from store.raft.membership import Membership
from store.raft.snapshot import SnapshotMeta
from store.raft.storage import Storage
from store.raft.wal import Entry

CHEAP_SNAPSHOT_BYTES = 16 * 1024 * 1024
LOG_PER_SNAPSHOT = 4
"""A snapshot larger than that is due when a quarter of what it exceeds it by has been written to the log."""

FREED_AT_ONCE = 64
"""Entries; between two such parts others run."""


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
        self._forgotten: list[Entry] = []

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
        """The file is in place: the log before it may go, but for what a slow follower may still want."""
        if meta.index <= self.snapshot_index:
            return  # a newer one came from the leader meanwhile
        self.snapshot_index = meta.index
        keep_bytes = self._config.limits.snapshot_wal_bytes // 2
        base = self._log.catch_up_base(meta.index, self._config.catch_up_entries, keep_bytes)
        self._forgotten += self._log.compact(base)
        self._leave(meta, base)

    def installed(self, meta: SnapshotMeta) -> None:
        """The leader's snapshot took the place of state and log."""
        self.snapshot_index = meta.index
        self._log.sync()
        self._leave(meta, meta.index)

    def _leave(self, meta: SnapshotMeta, base: int) -> None:
        self._wanted = False
        self._newest = self._snapshots.path(meta.index, meta.term)
        self._obsolete += self._log.wal.detach(base)

    def clean_up(self) -> None:
        """Remove the files and entries that nothing needs any more. May run in a thread (to remove a large file, or
        to free hundreds of megabytes, takes a while), as long as no snapshot is written or installed meanwhile.
        Raises DiskFailed."""
        while self._forgotten:
            del self._forgotten[-FREED_AT_ONCE:]
        obsolete, self._obsolete = self._obsolete, []
        self._log.wal.remove(obsolete)
        if self._newest is not None:
            self._snapshots.prune(self._newest)

"""The write-ahead log: everything a member must not forget, in one order, in files of bounded size.

    wal/0000000000000000.wal, wal/0000000000000001.wal, …       (form of the records: `record`)

Appends gather in memory; `sync` writes them as one batch with one fdatasync, and only then may anything be sent
that relies on them. Each segment begins with all that a reader needs (metadata, hard state, commit index, the entry
before its first), so that compaction is the removal of whole old files, oldest first: there is no moment at which
an entry that is still needed is in no file (stock pysyncobj clears its journal and appends the rest again). A new
segment is written aside, synced and renamed, after everything in the one before is synced. Its room is reserved
then, so that a sync waits for the data alone; the zeros behind the last record are no part of the log.

The commit index is written, but no reason to sync: Raft recovers it; the record only lets a member apply what it
knows at start. A change of members is the exception (see `applier`).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgpack

from store.raft.disk import Disk
from store.raft.errors import Corrupted, DiskFailed
from store.raft.record import (
    HEADER_BYTES,
    Kind,
    Record,
    Scan,
    check_header,
    pack_batch,
    pack_header,
    scan,
)

SUFFIX = ".wal"
TEMPORARY_SUFFIX = ".tmp"

_PAIR = struct.Struct("<QQ")
_INDEX = struct.Struct("<Q")

Entry = tuple[bytes, int, int]
"""data, index, term: the order in which pysyncobj keeps them."""


@dataclass(slots=True)
class WalState:
    """What the log says when it is opened. `entries[0]` is a placeholder for the entry before the first kept."""

    metadata: bytes
    term: int = 0
    vote: int | None = None
    commit: int = 0
    entries: list[Entry] = field(default_factory=list)


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    previous_index: int  # of the entry before the segment's first, when the segment was begun
    size_bytes: int


class Wal:
    def __init__(self, disk: Disk, directory: Path, state: WalState, segment_bytes: int) -> None:
        """Use `Wal.open` or `Wal.create`."""
        self._disk = disk
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._segments: list[_Segment] = []
        self._metadata = state.metadata
        self._term, self._vote, self._commit = state.term, state.vote, state.commit
        self._last = (state.entries[-1][1], state.entries[-1][2])
        self._batch = 0
        self._pending: list[Record] = []
        self._must_sync = False
        self.synced_commit = state.commit
        self.syncs = 0

    @classmethod
    def create(cls, disk: Disk, directory: Path, metadata: bytes, base: Entry, segment_bytes: int) -> Wal:
        """Begin an empty log after `base`."""
        disk.make_dir(directory)
        wal = cls(disk, directory, WalState(metadata, entries=[base]), segment_bytes)
        wal._begin_segment(0)
        return wal

    @classmethod
    def open(cls, disk: Disk, directory: Path, segment_bytes: int) -> tuple[Wal, WalState]:
        """Read the log, cut a torn tail, and go on appending. Raises Corrupted.

        What a killed process had written may be in the kernel's pages only. It is made durable before anything
        relies on it: a member must not acknowledge it, and no later batch may reach the disk without it.
        """
        loaded = _load(disk, directory)
        wal = cls(disk, directory, loaded.state, segment_bytes)
        wal._segments = loaded.segments
        wal._batch = loaded.last_batch + 1
        wal._file = disk.append(loaded.segments[-1].path)
        wal._file.sync()
        disk.sync_dir(directory)
        return wal, loaded.state

    @staticmethod
    def exists(disk: Disk, directory: Path) -> bool:
        return any(name.endswith(SUFFIX) for name in disk.list(directory))

    @property
    def size_bytes(self) -> int:
        return sum(segment.size_bytes for segment in self._segments)

    @property
    def dirty(self) -> bool:
        """Whether something was appended that must be durable before the next message leaves."""
        return self._must_sync

    def append(self, entry: Entry) -> None:
        data, index, term = entry
        self._add(Kind.ENTRY, _PAIR.pack(index, term) + data)
        self._last = (index, term)

    def truncate(self, index: int, previous_term: int) -> None:
        """Forget the entries from `index` on."""
        self._add(Kind.TRUNCATE, _PAIR.pack(index, previous_term))
        self._last = (index - 1, previous_term)

    def reset(self, index: int, term: int) -> None:
        """Forget every entry: the log begins after `index` (the end of an installed snapshot)."""
        self._add(Kind.RESET, _PAIR.pack(index, term))
        self._last = (index, term)

    def set_hard_state(self, term: int, vote: int | None) -> None:
        self._term, self._vote = term, vote
        self._add(Kind.HARD_STATE, msgpack.packb((term, vote)))

    def set_commit(self, index: int) -> None:
        self._commit = index
        self._pending.append(Record(Kind.COMMIT, _INDEX.pack(index)))

    def require_sync(self) -> None:
        """The commit index as well is to be durable this time."""
        self._must_sync = True

    def sync(self) -> None:
        """Make everything appended durable. Raises DiskFailed, after which the log must not be used."""
        if not self._must_sync:
            return
        try:
            self._write_pending()
            self._file.sync()
            self.syncs += 1
            self._must_sync = False
            self.synced_commit = self._commit
            if self._segments[-1].size_bytes >= self._segment_bytes:
                self._file.close()
                self._begin_segment(self._segments[-1].number + 1)
        except OSError as error:
            raise DiskFailed(f"cannot write the log in {self._directory}: {error}") from error

    def detach(self, index: int) -> list[Path]:
        """Part with the segments in which no entry after `index` is; they are still to be removed."""
        obsolete = []
        while len(self._segments) > 1 and self._segments[1].previous_index <= index:
            obsolete.append(self._segments.pop(0).path)
        return obsolete

    def remove(self, obsolete: Sequence[Path]) -> None:
        """Remove detached segments, oldest first. May run in a thread. Raises DiskFailed."""
        try:
            for path in obsolete:
                self._disk.remove(path)
            if obsolete:
                self._disk.sync_dir(self._directory)
        except OSError as error:
            raise DiskFailed(f"cannot compact the log in {self._directory}: {error}") from error

    def close(self) -> None:
        """Write what is left, if the disk lets us; what had to be durable is already."""
        try:
            self._write_pending()
            self._file.sync()
        except OSError:
            pass
        finally:
            self._file.close()

    def _add(self, kind: Kind, payload: bytes) -> None:
        self._pending.append(Record(kind, payload))
        self._must_sync = True

    def _write_pending(self) -> None:
        if self._pending:
            data = pack_batch(self._batch, self._pending)
            self._pending = []
            self._batch += 1
            self._segments[-1].size_bytes += len(data)
            self._file.write(data)

    def _begin_segment(self, number: int) -> None:
        path = self._directory / f"{number:016x}{SUFFIX}"
        aside = path.with_suffix(TEMPORARY_SUFFIX)
        head = pack_header(number) + pack_batch(self._batch, self._opening_records())
        file = self._disk.create(aside, self._segment_bytes)
        file.write(head)
        file.sync()
        self._disk.rename(aside, path)
        self._disk.sync_dir(self._directory)
        self._file = file
        self._batch += 1
        self._segments.append(_Segment(number, path, self._last[0], len(head)))

    def _opening_records(self) -> list[Record]:
        return [
            Record(Kind.METADATA, self._metadata),
            Record(Kind.HARD_STATE, msgpack.packb((self._term, self._vote))),
            Record(Kind.COMMIT, _INDEX.pack(self._commit)),
            Record(Kind.START, _PAIR.pack(*self._last)),
        ]


@dataclass(slots=True)
class _Loaded:
    state: WalState
    segments: list[_Segment]
    last_batch: int


def _load(disk: Disk, directory: Path) -> _Loaded:
    numbers = _segment_numbers(disk, directory)
    state = WalState(b"")
    segments: list[_Segment] = []
    last_batch = -1
    for number in numbers:
        path = directory / f"{number:016x}{SUFFIX}"
        data = disk.read(path)
        check_header(path, data, number)
        found = scan(path, data, last_batch)
        is_last = number == numbers[-1]
        if found.torn:
            _check_torn(path, found, is_last)
        if is_last and found.end < len(data):
            disk.truncate(path, found.end)
        last_batch = found.last_batch
        previous_index = replay(path, found.records, state)
        segments.append(_Segment(number, path, previous_index, found.end))
    return _Loaded(state, segments, last_batch)


def _segment_numbers(disk: Disk, directory: Path) -> list[int]:
    numbers = []
    for name in disk.list(directory):
        if name.endswith(TEMPORARY_SUFFIX):
            disk.remove(directory / name)  # begun by a process that died before the rename
        elif name.endswith(SUFFIX):
            numbers.append(int(name.removesuffix(SUFFIX), 16))
    for before, after in itertools.pairwise(numbers):
        if after != before + 1:
            raise Corrupted(directory / f"{before + 1:016x}{SUFFIX}", 0, "the segment is missing")
    return numbers


def _check_torn(path: Path, found: Scan, is_last: bool) -> None:
    if not is_last:
        raise Corrupted(path, found.end, "the segment ends in a torn record, and a later one follows")
    if not found.records:  # a segment gets its name when its first batch is synced
        raise Corrupted(path, HEADER_BYTES, "the segment's first records do not match their checksums")


def replay(path: Path, records: list[Record], state: WalState) -> int:
    """Apply a segment's records to `state`; return the index before the segment's first entry."""
    if not records or records[0].kind is not Kind.METADATA:
        raise Corrupted(path, HEADER_BYTES, "the segment does not begin with its metadata")
    previous_index = 0
    for kind, payload in records:
        if kind is Kind.ENTRY:
            _replay_entry(path, state, payload)
        elif kind is Kind.COMMIT:
            (state.commit,) = _INDEX.unpack(payload)
        elif kind is Kind.HARD_STATE:
            state.term, state.vote = msgpack.unpackb(payload)
        elif kind is Kind.TRUNCATE:
            _replay_truncate(state, *_PAIR.unpack(payload))
        elif kind is Kind.RESET:
            state.entries = [(b"", *_PAIR.unpack(payload))]
        elif kind is Kind.START:
            previous_index = _replay_start(path, state, *_PAIR.unpack(payload))
        else:
            state.metadata = payload
    return previous_index


def _replay_entry(path: Path, state: WalState, payload: bytes) -> None:
    index, term = _PAIR.unpack_from(payload)
    if index != state.entries[-1][1] + 1 or term < state.entries[-1][2]:
        raise Corrupted(path, HEADER_BYTES, f"entry {index} (term {term}) follows {state.entries[-1][1:]}")
    state.entries.append((payload[_PAIR.size :], index, term))


def _replay_truncate(state: WalState, index: int, previous_term: int) -> None:
    first = state.entries[0][1]
    if index > first:
        del state.entries[index - first :]
    else:  # the entries before it were in a segment that is gone
        state.entries = [(b"", index - 1, previous_term)]


def _replay_start(path: Path, state: WalState, index: int, term: int) -> int:
    if not state.entries:
        state.entries = [(b"", index, term)]
    elif state.entries[-1][1:] != (index, term):
        raise Corrupted(
            path, HEADER_BYTES, f"begins after {index, term}, but the log ends at {state.entries[-1][1:]}"
        )
    return index

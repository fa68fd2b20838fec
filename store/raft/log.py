"""The replicated log of one member: entries in memory, each change also in the write-ahead log.

Invariants, asserted where they could break: indexes are contiguous, terms never fall, a committed entry is
never truncated, the hard state's term never falls. The first element is a placeholder: the entry before the first
that is kept (Raft's "last included" index and term after a compaction). Its data is never read.
"""

from __future__ import annotations

from collections.abc import Sequence

from store.raft.wal import Entry, Wal, WalState

FIRST = (b"", 1, 0)
"""The placeholder of an empty log; pysyncobj counts from 1."""


class RaftLog:
    def __init__(self, wal: Wal, state: WalState) -> None:
        self.wal = wal
        self.entries: list[Entry] = state.entries
        self.term = max(state.term, state.entries[-1][2])
        self.vote = state.vote if self.term == state.term else None
        self.commit = min(max(state.commit, state.entries[0][1]), state.entries[-1][1])
        self.appended_bytes = 0  # since the process began; the snapshot's trigger
        self.synced_index = self.last_index  # what a crash cannot take
        self.promised = False  # the hard state changed and is not synced: nothing may be sent
        self.replaced: list[
            Entry
        ] = []  # by a snapshot; to free them takes a while, so that is left to `Compaction`

    @property
    def base_index(self) -> int:
        return self.entries[0][1]

    @property
    def last_index(self) -> int:
        return self.entries[-1][1]

    def term_at(self, index: int) -> int | None:
        """None when the log does not reach so far, or no longer does."""
        offset = index - self.entries[0][1]
        return self.entries[offset][2] if 0 <= offset < len(self.entries) else None

    def entry(self, index: int) -> Entry:
        assert index > self.base_index, f"entry {index} is compacted"
        return self.entries[index - self.entries[0][1]]

    def batch(self, first: int, size_bytes: int) -> Sequence[Entry]:
        """Entries from `first` on, of about `size_bytes` together, but at least one if there is one."""
        assert first > self.base_index, f"entry {first} is compacted"
        begin = end = first - self.entries[0][1]
        size = 0
        while end < len(self.entries) and (end == begin or size + len(self.entries[end][0]) <= size_bytes):
            size += len(self.entries[end][0])
            end += 1
        return self.entries[begin:end]

    def append(self, entry: Entry) -> None:
        assert entry[1] == self.last_index + 1, f"entry {entry[1]} after {self.last_index}"
        assert entry[2] >= self.entries[-1][2], f"term {entry[2]} after {self.entries[-1][2]}"
        self.entries.append(entry)
        self.wal.append(entry)
        self.appended_bytes += len(entry[0])

    def truncate(self, index: int) -> None:
        """Drop the entries from `index` on."""
        assert index > self.commit, f"entry {index} is committed (up to {self.commit})"
        if index <= self.last_index:
            self.synced_index = min(self.synced_index, index - 1)
            del self.entries[index - self.entries[0][1] :]
            self.wal.truncate(index, self.entries[-1][2])

    def reset(self, index: int, term: int) -> None:
        """Become the log that begins after an installed snapshot."""
        assert index >= self.commit, f"snapshot {index} is older than commit {self.commit}"
        self.replaced, self.entries = self.entries, [(b"", index, term)]
        self.commit = index
        self.synced_index = min(self.synced_index, index)
        self.wal.reset(index, term)

    def compact(self, index: int) -> None:
        """Forget the entries up to and including `index`, whose term stays known."""
        offset = index - self.base_index
        if offset > 0:
            assert index <= self.commit, f"entry {index} is not committed"
            self.entries[: offset + 1] = [(b"", index, self.entries[offset][2])]

    def set_commit(self, index: int) -> None:
        if index > self.commit:
            assert index <= self.last_index, f"commit {index} is beyond the log's end {self.last_index}"
            self.commit = index
            self.wal.set_commit(index)

    def require_commit(self, index: int) -> bool:
        """Whether a crash cannot make this member forget that the entry is committed; if it can, not after the next
        sync."""
        if self.wal.synced_commit < index:
            self.wal.require_sync()
        return self.wal.synced_commit >= index

    def set_hard_state(self, term: int, vote: int | None) -> None:
        if (term, vote) == (self.term, self.vote):
            return
        assert term >= self.term, f"term {term} after {self.term}"
        self.term, self.vote = term, vote
        self.promised = True
        self.wal.set_hard_state(term, vote)

    def sync(self) -> None:
        """Everything above is durable when this returns. Raises DiskFailed."""
        self.wal.sync()
        self.synced_index = self.last_index
        self.promised = False

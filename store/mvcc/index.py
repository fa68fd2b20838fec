"""The key index: every key to the records that are kept of it.

A key that has one record maps to it directly, one with a history to its records in revision order; with a
million keys that difference is most of the memory. Live keys and keys whose newest record is a deletion are
sorted apart, so that the count of a range at the current revision is two binary searches.

Keys are spread over several dicts. One would stall every request for 0.1 s when it grows beyond 700,000 keys, and
again at each doubling.

A key changes at most once per revision (transactions refuse duplicates), so a revision names a record of a
key.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from operator import attrgetter
from sys import hash_info

import msgspec
from sortedcontainers import SortedList

from store.mvcc.messages import Record

TO_THE_END = b"\x00"  # as range_end: no upper bound

_SHARD_BITS = 6
_MASK = (1 << _SHARD_BITS) - 1
_SHIFT = hash_info.width - _SHARD_BITS  # by the hash's highest bits: a dict places by the lowest

_mod_revision = attrgetter("mod_revision")


class _History(msgspec.Struct, gc=False):
    """The records of a key that has several. Unknown to the collector, so that the dicts it stands in are too: a
    bare list would make it look at every key of its dict, 0.15 s for 15,000 whose memory is cold."""

    records: list[Record]


_Entry = Record | _History


class KeyIndex:
    def __init__(self) -> None:
        self._shards: list[dict[bytes, _Entry]] = [{} for _ in range(1 << _SHARD_BITS)]
        self._live: SortedList[bytes] = SortedList()
        self._dead: SortedList[bytes] = SortedList()

    def __len__(self) -> int:
        """Live keys."""
        return len(self._live)

    def __contains__(self, key: bytes) -> bool:
        """Is anything kept of the key, be it its deletion?"""
        return key in self._shard(key)

    def _shard(self, key: bytes) -> dict[bytes, _Entry]:
        return self._shards[hash(key) >> _SHIFT & _MASK]

    # -- reading --

    def current(self, key: bytes) -> Record | None:
        """The live record of a key, or None."""
        entry = self._shard(key).get(key)
        if entry is None:
            return None
        record = entry if isinstance(entry, Record) else entry.records[-1]
        return record if record.version else None

    def at(self, key: bytes, revision: int) -> Record | None:
        """The record that was live at `revision`, or None. `revision` must not be compacted."""
        entry = self._shard(key).get(key)
        if entry is None:
            return None
        if isinstance(entry, Record):
            return entry if entry.version and entry.mod_revision <= revision else None
        position = bisect_right(entry.records, revision, key=_mod_revision)
        if position == 0:
            return None
        record = entry.records[position - 1]
        return record if record.version else None

    def live_keys(self, key: bytes, end: bytes) -> Iterator[bytes]:
        """The live keys of [key, end) in order; `end` b"" means the one key."""
        if not end:
            return iter((key,) if self.current(key) is not None else ())
        return _irange(self._live, key, end)

    def known_keys(self, key: bytes, end: bytes) -> Iterator[bytes]:
        """Live and deleted keys of the range in order, for a read at a past revision."""
        if not end:
            return iter((key,) if key in self else ())
        return merge(_irange(self._live, key, end), _irange(self._dead, key, end))

    def count_live(self, key: bytes, end: bytes) -> int:
        if not end:
            return 1 if self.current(key) is not None else 0
        first: int = self._live.bisect_left(key)
        last: int = len(self._live) if end == TO_THE_END else self._live.bisect_left(end)
        return max(0, last - first)

    def records_before(
        self, revision: int, after_key: bytes | None, limit: int
    ) -> tuple[list[Record], bytes | None]:
        """Look at `limit` keys beyond `after_key`: of each the oldest record, if that is older than `revision`.

        Returns them, and the last key looked at (None at the end). For the revision with which the log begins,
        these are exactly the records that the log no longer has.
        """
        records: list[Record] = []
        key = None
        for key in islice(merge(_after(self._live, after_key), _after(self._dead, after_key)), limit):
            entry = self._shard(key)[key]
            record = entry if isinstance(entry, Record) else entry.records[0]
            if record.mod_revision < revision:
                records.append(record)
        return records, key

    # -- writing --

    def insert(self, record: Record) -> None:
        """Add a newer record of its key."""
        key = record.key
        shard = self._shard(key)
        entry = shard.get(key)
        if entry is None:
            assert record.version, "a deletion of a key that never was"
            shard[key] = record
            self._live.add(key)
            return
        if isinstance(entry, Record):
            entry = shard[key] = _History([entry])
        before = entry.records[-1]
        assert before.mod_revision < record.mod_revision, "a key changes once per revision"
        entry.records.append(record)
        if not before.version:
            self._dead.remove(key)
            self._live.add(key)
        elif not record.version:
            self._live.remove(key)
            self._dead.add(key)

    def compact(self, key: bytes, revision: int) -> int:
        """Drop what no read at or after `revision` can see of a key; returns the freed payload in bytes."""
        shard = self._shard(key)
        entry = shard.get(key)
        if entry is None:
            return 0
        records = [entry] if isinstance(entry, Record) else entry.records
        position = bisect_right(records, revision, key=_mod_revision)
        if position == 0:
            return 0
        keep_from = position - 1 if records[position - 1].version else position
        dropped, kept = records[:keep_from], records[keep_from:]
        if not dropped:
            return 0
        if not kept:
            del shard[key]
            self._dead.remove(key)
        else:
            shard[key] = kept[0] if len(kept) == 1 and kept[0].version else _History(kept)
        return sum(record_size_bytes(record) for record in dropped)

    def load(self, records: Iterable[Record]) -> None:
        """Add the oldest records of keys that are not there yet (`records_before`)."""
        keys = []
        for record in records:
            shard = self._shard(record.key)
            assert record.key not in shard
            shard[record.key] = record
            keys.append(record.key)
        self._live.update(keys)

    def drop_some(self, count: int) -> bool:
        """Of an index that is no longer in use; False at the end."""
        for shard in self._shards:
            while shard and count > 0:
                shard.popitem()
                count -= 1
        return any(self._shards)


RECORD_OVERHEAD_BYTES = 256  # of index, log and objects, measured with a million keys (CPython 3.11)


def record_size_bytes(record: Record) -> int:
    """What a record counts for against the quota."""
    return len(record.key) + len(record.value) + RECORD_OVERHEAD_BYTES


def _irange(keys: SortedList[bytes], key: bytes, end: bytes) -> Iterator[bytes]:
    if end == TO_THE_END:
        return iter(keys.irange(key))
    if end <= key:
        return iter(())
    return iter(keys.irange(key, end, inclusive=(True, False)))


def _after(keys: SortedList[bytes], key: bytes | None) -> Iterator[bytes]:
    return iter(keys) if key is None else iter(keys.irange(key, inclusive=(False, True)))

"""The revision log: every kept change in order, for watches that start in the past, and the rolling hash.

The hash after a change is the CRC-32 of the change continued from the hash before it, so equal hashes at a
revision prove equal histories up to it. One 32-bit number per change is kept, so any kept revision can be
asked for.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from operator import attrgetter
from struct import Struct
from zlib import crc32

from store.mvcc.messages import Record

_numbers = Struct("<qqqq")
_mod_revision = attrgetter("mod_revision")


class RevisionLog:
    def __init__(self, base_hash: int = 0) -> None:
        self._records: list[Record] = []
        self._hashes = array("I")
        self._base_hash = base_hash

    def __len__(self) -> int:
        return len(self._records)

    @property
    def base_hash(self) -> int:
        """The hash before the first kept change."""
        return self._base_hash

    @property
    def last_hash(self) -> int:
        return self._hashes[-1] if self._hashes else self._base_hash

    def append(self, record: Record) -> None:
        numbers = _numbers.pack(record.mod_revision, record.create_revision, record.version, record.lease)
        self._hashes.append(crc32(record.value, crc32(record.key, crc32(numbers, self.last_hash))))
        self._records.append(record)

    def position(self, revision: int) -> int:
        """The position of the first change at or after `revision`."""
        return bisect_left(self._records, revision, key=_mod_revision)

    def slice(self, start: int, limit: int) -> list[Record]:
        return self._records[start : start + limit]

    def whole_revisions(self, start: int, limit: int) -> list[Record]:
        """About `limit` changes from a position on, never a part of a revision."""
        end = min(start + limit, len(self._records))
        if start >= end:
            return []
        end = bisect_right(self._records, self._records[end - 1].mod_revision, key=_mod_revision)
        return self._records[start:end]

    def hash_at(self, revision: int) -> int:
        position = bisect_right(self._records, revision, key=_mod_revision)
        return self._hashes[position - 1] if position else self._base_hash

    def drop_last(self, count: int) -> None:
        """Of a log that is no longer in use."""
        del self._records[-count:], self._hashes[-count:]

    def drop_first(self, count: int) -> None:
        """Forget the oldest changes; `count` must end at the end of a revision."""
        if count:
            self._base_hash = self._hashes[count - 1]
            del self._records[:count]
            del self._hashes[:count]

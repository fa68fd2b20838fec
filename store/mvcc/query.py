"""Range: read keys at a revision, filtered, sorted and limited as etcd does it.

`count` is the number of keys in the range at that revision, whatever limit and filters leave out. It must
not cost a walk over the range, since Kubernetes asks for it on every page of a list: at the current
revision it is two binary searches, at a past one the changes since then are undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Any

from store.mvcc.errors import Compacted, EmptyKey, FutureRevision
from store.mvcc.index import TO_THE_END, KeyIndex
from store.mvcc.log import RevisionLog
from store.mvcc.messages import RangeRequest, RangeResponse, Record

UNDO_LIMIT = 20_000  # more changes than this since the revision: walk the range instead

_SORT_KEYS: dict[str, Callable[[Record], Any]] = {
    "KEY": attrgetter("key"),
    "VERSION": attrgetter("version"),
    "CREATE": attrgetter("create_revision"),
    "MOD": attrgetter("mod_revision"),
    "VALUE": attrgetter("value"),
}


def check_range(request: RangeRequest) -> None:
    if not request.key:
        raise EmptyKey


def read_revision(asked: int, current: int, compacted: int) -> int:
    """The revision to read at: the asked one if it can be read, the current one for 0 (or less, as in
    etcd)."""
    if asked > current:
        raise FutureRevision
    if asked <= 0:
        return current
    if asked < compacted:
        raise Compacted
    return asked


def read_range(
    index: KeyIndex, log: RevisionLog, request: RangeRequest, revision: int, now: int
) -> RangeResponse:
    """Answer `request` as of `revision`; `now` is the newest revision in the index."""
    past = revision < now
    key, end = request.key, request.range_end
    if not end:
        return _read_key(index.at(key, revision) if past else index.current(key), request, now)
    if request.count_only:
        return RangeResponse(now, [], count=_count(index, log, key, end, revision, past))
    records = _records_at(index, key, end, revision) if past else _current_records(index, key, end)
    if _needs_all(request):
        found = list(records)
        count = len(found)
        kept = _sorted(request, [record for record in found if _passes(request, record)])
        more = 0 < request.limit < len(kept)
        kvs = kept[: request.limit] if more else kept
    else:
        kvs = list(islice(records, request.limit)) if request.limit > 0 else list(records)
        count = len(kvs)
        if count == request.limit:
            count = _count(index, log, key, end, revision, past)
        more = count > len(kvs)
    if request.keys_only:
        kvs = [_without_value(record) for record in kvs]
    return RangeResponse(now, kvs, more, count)


def _read_key(record: Record | None, request: RangeRequest, now: int) -> RangeResponse:
    """The short way for one key, which most reads are."""
    if record is None:
        return RangeResponse(now, [])
    if request.count_only or not _passes(request, record):
        return RangeResponse(now, [], count=1)
    return RangeResponse(now, [_without_value(record) if request.keys_only else record], count=1)


def _current_records(index: KeyIndex, key: bytes, end: bytes) -> Iterator[Record]:
    for each in index.live_keys(key, end):
        record = index.current(each)
        if record is not None:
            yield record


def _records_at(index: KeyIndex, key: bytes, end: bytes, revision: int) -> Iterator[Record]:
    for each in index.known_keys(key, end):
        record = index.at(each, revision)
        if record is not None:
            yield record


def _count(index: KeyIndex, log: RevisionLog, key: bytes, end: bytes, revision: int, past: bool) -> int:
    count = index.count_live(key, end)
    if not past:
        return count
    start = log.position(revision + 1)
    if len(log) - start > UNDO_LIMIT:
        return sum(1 for _ in _records_at(index, key, end, revision))
    for changed in {record.key for record in log.slice(start, UNDO_LIMIT) if in_range(record.key, key, end)}:
        count += (index.at(changed, revision) is not None) - (index.current(changed) is not None)
    return count


def in_range(key: bytes, start: bytes, end: bytes) -> bool:
    if not end:
        return key == start
    return key >= start and (end == TO_THE_END or key < end)


def _needs_all(request: RangeRequest) -> bool:
    return bool(
        request.sort_order != "NONE"
        or request.sort_target != "KEY"
        or request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def _passes(request: RangeRequest, record: Record) -> bool:
    return not (
        record.mod_revision < request.min_mod_revision
        or 0 < request.max_mod_revision < record.mod_revision
        or record.create_revision < request.min_create_revision
        or 0 < request.max_create_revision < record.create_revision
    )


def _sorted(request: RangeRequest, records: list[Record]) -> list[Record]:
    if request.sort_order == "NONE" and request.sort_target == "KEY":
        return records
    return sorted(records, key=_SORT_KEYS[request.sort_target], reverse=request.sort_order == "DESCEND")


def _without_value(record: Record) -> Record:
    return Record(record.key, b"", record.create_revision, record.mod_revision, record.version, record.lease)

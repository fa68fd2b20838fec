"""A point-in-time view of the store, written in pieces while requests go on being applied, and the way back.

History makes the view cheap. What is kept is, in two parts: for each key the oldest record, where the log
no longer has it (in key order), and then the log itself up to the revision of the view. Requests applied
meanwhile only append, and `release_some` waits until the view is exhausted or dropped.

    chunk = msgpack [kind, ...]      kinds: header, base records, log records, end
    order = header base* log* end

The end carries the number of records, so that a snapshot that lost its tail is not taken for a whole one.
`loading` builds a new store beside the old one; the caller swaps them.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from store.mvcc.index import record_size_bytes
from store.mvcc.log import RevisionLog
from store.mvcc.messages import Record
from store.mvcc.store import MvccStore
from store.mvcc.txn import Leases

FORMAT = 1
CHUNK_BYTES = 512 * 1024  # of records in one chunk, unless a single one is longer
CHUNK_RECORDS = 2000  # looked at for one chunk


class Damaged(Exception):
    """The chunks are no snapshot that can be loaded; the text says why."""


class Header(msgspec.Struct, array_like=True, tag="header", frozen=True):
    format: int
    revision: int
    compact_revision: int
    base_hash: int
    log_start: int  # the first revision that is in the log


class Base(msgspec.Struct, array_like=True, tag="base"):
    records: list[Record]


class Log(msgspec.Struct, array_like=True, tag="log"):
    records: list[Record]


class End(msgspec.Struct, array_like=True, tag="end", frozen=True):
    records: int
    last_hash: int


Chunk = Header | Base | Log | End

_encode_into = msgspec.msgpack.Encoder().encode_into
_decode = msgspec.msgpack.Decoder(Chunk).decode


class MvccView:
    """Taken in no time; `chunks` may be consumed at leisure, once. `close` it if it is not consumed to its
    end."""

    def __init__(self, store: MvccStore) -> None:
        self._store = store
        self._log_length = len(store.log)
        first = store.log.slice(0, 1)
        self._header = Header(
            FORMAT,
            store.revision,
            store.compact_revision,
            store.log.base_hash,
            first[0].mod_revision if first else store.revision + 1,
        )
        self._last_hash = store.log.last_hash
        self._open = True
        store.pins += 1

    def close(self) -> None:
        if self._open:
            self._open = False
            self._store.pins -= 1

    def chunks(self, prefix: bytes = b"") -> Iterator[bytes]:
        """`prefix` in front of each. They are encoded in one buffer: a new one would grow a dozen times for each,
        and look for room among all that the store holds."""
        buffer = bytearray(prefix)
        try:
            for part in self._parts():
                _encode_into(part, buffer, len(prefix))
                yield bytes(buffer)
        finally:
            self.close()

    def _parts(self) -> Iterator[Chunk]:
        yield self._header
        count = 0
        for records in self.base():
            count += len(records)
            yield Base(records)
        for records in self.log():
            count += len(records)
            yield Log(records)
        yield End(count, self._last_hash)

    def base(self) -> Iterator[list[Record]]:
        """What is older than the log, in key order; a piece for so many keys looked at, so that none takes
        long, and it may be empty."""
        after: bytes | None = None
        more = self._header.compact_revision > 0
        while more:
            records, after = self._store.index.records_before(self._header.log_start, after, CHUNK_RECORDS)
            more = after is not None
            yield from _pieces(records)

    def log(self) -> Iterator[list[Record]]:
        """The changes that are kept, in order."""
        for position in range(0, self._log_length, CHUNK_RECORDS):
            limit = min(CHUNK_RECORDS, self._log_length - position)
            yield from _pieces(self._store.log.slice(position, limit))


def _pieces(records: list[Record]) -> Iterator[list[Record]]:
    """Cut where a chunk would become too long; a single long record travels alone."""
    start = size = 0
    for position, record in enumerate(records):
        if size and size + len(record.value) > CHUNK_BYTES:
            yield records[start:position]
            start, size = position, 0
        size += record_size_bytes(record)
    yield records[start:]


T = TypeVar("T")


def finished(work: Generator[None, None, T]) -> T:
    """What work that is done in pieces comes to, in one go."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def loading(chunks: Iterable[bytes], leases: Leases) -> Generator[None, None, MvccStore]:
    """A new store from a view's chunks, one at each `next`. Key-to-lease bindings are the lease table's own to
    restore. Raises Damaged."""
    iterator = iter(chunks)
    header = _next(iterator)
    if not isinstance(header, Header):
        raise Damaged("the snapshot does not begin with its header")
    if header.format != FORMAT:
        raise Damaged(f"the snapshot has format {header.format}; this version reads {FORMAT}")
    store = MvccStore(leases)
    store.revision, store.compact_revision = header.revision, header.compact_revision
    store.log = RevisionLog(header.base_hash)
    count = 0
    chunk = _next(iterator)
    while isinstance(chunk, Base):
        try:
            store.index.load(chunk.records)
        except AssertionError as error:
            raise Damaged("the snapshot holds a key twice that has one record") from error
        store.size_bytes += sum(map(record_size_bytes, chunk.records))
        count += len(chunk.records)
        yield
        chunk = _next(iterator)
    while isinstance(chunk, Log):
        _replay(store, chunk.records)
        count += len(chunk.records)
        yield
        chunk = _next(iterator)
    _check_end(store, chunk, count)
    return store


def rebuild(
    revision: int, compact_revision: int, base: Iterable[Record], log: Iterable[Record], leases: Leases
) -> MvccStore:
    """A new store from another program's records: of each key the one that was live before the compact
    revision, and every later change, in order. Raises Damaged."""
    store = MvccStore(leases)
    store.revision, store.compact_revision = revision, compact_revision
    oldest = list(base)
    store.index.load(oldest)
    store.size_bytes = sum(map(record_size_bytes, oldest))
    _replay(store, log)
    return store


def _next(chunks: Iterator[bytes]) -> Chunk:
    try:
        chunk: Any = _decode(next(chunks))
    except StopIteration:
        raise Damaged("the snapshot ends too early") from None
    except msgspec.MsgspecError as error:
        raise Damaged(f"a chunk of the snapshot cannot be read: {error}") from error
    assert isinstance(chunk, Header | Base | Log | End)
    return chunk


def _replay(store: MvccStore, records: Iterable[Record]) -> None:
    for record in records:
        if not 0 < record.mod_revision <= store.revision:
            raise Damaged(f"the snapshot has a change at revision {record.mod_revision}, beyond its own")
        try:
            store.log.append(record)
        except struct.error as error:
            raise Damaged(
                f"the snapshot's change at revision {record.mod_revision} has impossible numbers"
            ) from error
        if record.version == 0 and record.key not in store.index:
            # what it deleted is compacted and gone; only a watch from the compact revision still wants it
            if record.mod_revision > store.compact_revision:
                raise Damaged(f"the snapshot deletes a key at revision {record.mod_revision} that never was")
            continue
        try:
            store.index.insert(record)
        except (AssertionError, ValueError) as error:
            raise Damaged(f"the snapshot contradicts itself at revision {record.mod_revision}") from error
        store.size_bytes += record_size_bytes(record)


def _check_end(store: MvccStore, end: Chunk, count: int) -> None:
    if not isinstance(end, End) or end.records != count:
        raise Damaged("the snapshot's records are not complete")
    if end.last_hash != store.log.last_hash:
        raise Damaged("the snapshot's hash does not match its records")

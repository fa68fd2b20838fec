"""The bytes of the write-ahead log: records, and how to tell a torn tail from corruption.

    segment = header record*
    header  = "BALSAWAL" version:u16 reserved:u16 number:u64 crc32:u32
    record  = crc32:u32 length:u32 batch:u64 remaining:u32 kind:u8 payload        (little endian)

The CRC covers everything after itself. A batch is what one sync made durable: its records carry the batch's number
and how many records of it are still to come. A crash may tear the last batch anywhere, since nothing orders the
pages of one write; it cannot touch an earlier one. So when a record does not check, the batch that it belongs to is
known from the record before it, and a whole record of a *later* batch anywhere behind it proves that this one was
synced once: corruption. Otherwise it is the torn end of the last write, which promised nothing to anybody.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from store.raft.errors import Corrupted

VERSION = 1
MAGIC = b"BALSAWAL"

_HEADER = struct.Struct("<8sHHQI")
_FRAME = struct.Struct("<IIQIB")
_CRC_BYTES = 4

HEADER_BYTES = _HEADER.size
FRAME_BYTES = _FRAME.size
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024


class Kind(IntEnum):
    METADATA = 1  # msgpack: whose log this is
    HARD_STATE = 2  # msgpack: term, vote
    COMMIT = 3  # u64 index
    START = 4  # u64 index, u64 term of the entry before the segment's first
    ENTRY = 5  # u64 index, u64 term, data
    TRUNCATE = 6  # u64 index of the first entry dropped, u64 term of the one before it
    RESET = 7  # u64 index, u64 term: the log is this (a snapshot's end) and nothing else


_KINDS = frozenset(Kind)


class Record(NamedTuple):
    kind: Kind
    payload: bytes


class Scan(NamedTuple):
    """What a segment holds: the records of whole batches, and where they end. Behind `end` are the zeros of what is
    reserved, or a torn batch."""

    records: list[Record]
    end: int
    last_batch: int
    torn: bool


def pack_header(number: int) -> bytes:
    head = _HEADER.pack(MAGIC, VERSION, 0, number, 0)[:-_CRC_BYTES]
    return head + struct.pack("<I", zlib.crc32(head))


def check_header(path: Path, data: bytes, number: int) -> None:
    if len(data) < HEADER_BYTES:
        raise Corrupted(path, 0, "the segment's header is cut off")
    magic, version, _, found, crc = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise Corrupted(path, 0, "not a write-ahead log")
    if zlib.crc32(data[: HEADER_BYTES - _CRC_BYTES]) != crc:
        raise Corrupted(path, 0, "the segment's header does not match its checksum")
    if version != VERSION:
        raise Corrupted(path, 0, f"written by version {version} of the format; this is version {VERSION}")
    if found != number:
        raise Corrupted(path, 0, f"holds segment {found}")


def pack_batch(batch: int, records: Sequence[Record]) -> bytes:
    parts: list[bytes] = []
    remaining = len(records)
    for kind, payload in records:
        remaining -= 1
        body = _FRAME.pack(0, len(payload), batch, remaining, kind)[_CRC_BYTES:]
        crc = zlib.crc32(payload, zlib.crc32(body))
        parts += (struct.pack("<I", crc), body, payload)
    return b"".join(parts)


def scan(path: Path, data: bytes, last_batch: int) -> Scan:
    """Read a segment's records; `last_batch` is that of the segment before. Raises Corrupted.

    A torn batch is dropped as a whole, or the next tear could not be told from corruption.
    """
    records: list[Record] = []
    whole, end = 0, HEADER_BYTES
    offset, batch, remaining = HEADER_BYTES, last_batch, 0
    used = len(data.rstrip(b"\0"))  # no record begins behind it
    while offset < used:
        found = _read(data, offset)
        if found is None:
            _refuse_if_synced(path, data, offset, used, batch if remaining else batch + 1)
            break
        record, *place, offset_after = found
        expected = [batch, remaining - 1] if remaining else [batch + 1, place[1]]
        if place != expected and last_batch >= 0:
            raise Corrupted(path, offset, f"batch {place[0]} follows batch {batch}")
        last_batch = max(last_batch, 0)
        batch, remaining = place
        offset = offset_after
        records.append(record)
        if remaining == 0:
            whole, end = len(records), offset
    return Scan(records[:whole], end, batch if remaining == 0 else batch - 1, end < used)


def _read(data: bytes, offset: int) -> tuple[Record, int, int, int] | None:
    if offset + FRAME_BYTES > len(data):
        return None
    crc, length, batch, remaining, kind = _FRAME.unpack_from(data, offset)
    end = offset + FRAME_BYTES + length
    if length > MAX_PAYLOAD_BYTES or end > len(data) or kind not in _KINDS:
        return None
    view = memoryview(data)
    if zlib.crc32(view[offset + _CRC_BYTES : end]) != crc:
        return None
    return Record(Kind(kind), bytes(view[offset + FRAME_BYTES : end])), batch, remaining, end


def _refuse_if_synced(path: Path, data: bytes, offset: int, used: int, torn_batch: int) -> None:
    for later in _batches_after(data, offset + 1, used):
        if later > torn_batch:
            raise Corrupted(path, offset, "a record does not match its checksum, and later ones were synced")


def _batches_after(data: bytes, offset: int, used: int) -> Iterator[int]:
    while offset < used:
        found = _read(data, offset)
        if found is None:
            offset += 1
        else:
            yield found[1]
            offset = found[3]

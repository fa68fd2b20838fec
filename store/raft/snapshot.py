"""Snapshots on disk: written aside piece by piece, checked, renamed; received the same way.

    snapshot = "BALSASNP" version:u16 reserved:u16 length:u32 crc32:u32 meta frame* end
    frame    = length:u32 crc32:u32 data          (length > 0)
    end      = 0:u32 crc32:u32                    (of all data together)

A file with the final name is complete: it was synced before it was renamed, and the directory after. A file aside
(`.tmp`, `.part`) belongs to the process that began it and is removed at the next start; there is one writer, no
forked child, so two cannot share one (stock defect B5). The newest file is kept, the older ones go, but for those
that are still being read; a file that is on its way out is one aside.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgpack

from store.raft.disk import Disk, File, Reader
from store.raft.errors import Corrupted
from store.raft.membership import Membership

VERSION = 1
MAGIC = b"BALSASNP"
SUFFIX = ".snap"
WRITING_SUFFIX = ".tmp"
RECEIVING_SUFFIX = ".part"

_HEADER = struct.Struct("<8sHHII")
_FRAME = struct.Struct("<II")
MAX_FRAME_BYTES = 64 * 1024 * 1024
MAX_META_BYTES = 1024 * 1024
SYNC_EVERY_BYTES = 2 * 1024 * 1024
CUT_BYTES = 32 * 1024 * 1024
"""Of a file that goes, so much at a time: while a file system frees a gigabyte at once, every sync waits for it."""


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """Where in the log the snapshot stands, and who the members were there."""

    index: int
    term: int
    membership: Membership

    def pack(self) -> bytes:
        packed: bytes = msgpack.packb((self.index, self.term, self.membership.pack()))
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> SnapshotMeta:
        index, term, membership = msgpack.unpackb(data)
        return cls(index, term, Membership.unpack(membership))


class SnapshotStore:
    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory
        disk.make_dir(directory)
        for name in disk.list(directory):
            if name.endswith((WRITING_SUFFIX, RECEIVING_SUFFIX)):
                disk.remove(directory / name)
        self._size_bytes = 0
        self._readers: Counter[Path] = Counter()
        newest = self.latest()
        if newest is not None:
            disk.sync_dir(directory)  # whoever renamed it may have been killed before the name was durable
            self._size_bytes = disk.size(newest)

    def latest(self) -> Path | None:
        names = [name for name in self._disk.list(self._directory) if name.endswith(SUFFIX)]
        return self._directory / max(names, key=_index_of) if names else None

    @property
    def size_bytes(self) -> int:
        """Of the newest snapshot; 0 without one."""
        return self._size_bytes

    def path(self, index: int, term: int) -> Path:
        return self._directory / f"{term:016x}-{index:016x}{SUFFIX}"

    def write(self, meta: SnapshotMeta) -> SnapshotWriter:
        return SnapshotWriter(self._disk, self.path(meta.index, meta.term), meta)

    def receive(self, index: int, term: int) -> IncomingSnapshot:
        return IncomingSnapshot(self._disk, self.path(index, term))

    def open(self, path: Path) -> Reader:
        """The file stays until the reader is closed."""
        reader = self._disk.reader(path)
        self._readers[path] += 1
        return _KnownReader(reader, lambda: self._read_through(path))

    def _read_through(self, path: Path) -> None:
        self._readers[path] -= 1
        if not self._readers[path]:
            del self._readers[path]

    def read_meta(self, path: Path) -> SnapshotMeta:
        """Raises Corrupted."""
        reader = self._disk.reader(path)
        try:
            return _read_header(path, reader)[0]
        finally:
            reader.close()

    def chunks(self, path: Path) -> Iterator[bytes]:
        """The state's pieces, each checked before it is handed out. Raises Corrupted."""
        reader = self._disk.reader(path)
        try:
            _, offset = _read_header(path, reader)
            whole = 0
            while True:
                length, crc = _FRAME.unpack(_exactly(path, reader, offset, _FRAME.size))
                if length == 0:
                    break
                if length > MAX_FRAME_BYTES:
                    raise Corrupted(path, offset, f"a piece of {length} bytes")
                data = _exactly(path, reader, offset, length)
                if zlib.crc32(data) != crc:
                    raise Corrupted(path, offset, "a piece does not match its checksum")
                whole = zlib.crc32(data, whole)
                offset += _FRAME.size + length
                yield data
            if whole != crc:
                raise Corrupted(path, offset, "the pieces do not match the file's checksum")
        finally:
            reader.close()

    def remove(self, path: Path) -> None:
        self._disk.remove(path)

    def pruning(self, keep: Path) -> Iterator[None]:
        """`keep` is the newest: remove every other that nobody reads, a part at each `next`. May run in a
        thread."""
        self._size_bytes = self._disk.size(keep)
        for name in self._disk.list(self._directory):
            path = self._directory / name
            if name.endswith(SUFFIX) and name != keep.name and path not in self._readers:
                yield from self._remove_in_parts(path)

    def _remove_in_parts(self, path: Path) -> Iterator[None]:
        size_bytes = self._disk.size(path)
        if size_bytes > CUT_BYTES:
            path = _renamed(self._disk, path, path.with_suffix(WRITING_SUFFIX))
            for left in range(size_bytes - CUT_BYTES, 0, -CUT_BYTES):
                self._disk.truncate(path, left)
                yield
        self._disk.remove(path)


class _KnownReader:
    def __init__(self, reader: Reader, closed: Callable[[], None]) -> None:
        self._reader = reader
        self._closed: Callable[[], None] | None = closed

    def read(self, size: int) -> bytes:
        return self._reader.read(size)

    def close(self) -> None:
        self._reader.close()
        if self._closed is not None:
            self._closed()
            self._closed = None


class SnapshotWriter:
    """Writes one snapshot a piece at a time. Its calls may run in a thread, one after another."""

    def __init__(self, disk: Disk, path: Path, meta: SnapshotMeta) -> None:
        self._disk = disk
        self.path = path
        self._aside = path.with_suffix(WRITING_SUFFIX)
        self._crc = 0
        self._unsynced_bytes = 0
        self._file = disk.create(self._aside)
        packed = meta.pack()
        self._file.write(_HEADER.pack(MAGIC, VERSION, 0, len(packed), zlib.crc32(packed)) + packed)

    def write(self, data: bytes) -> None:
        """Add a piece. Syncs now and then, so that no sync has much to do."""
        if not data:
            return
        assert len(data) <= MAX_FRAME_BYTES, f"a piece of {len(data)} bytes"
        self._file.write(_FRAME.pack(len(data), zlib.crc32(data)))
        self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)
        self._unsynced_bytes += len(data)
        if self._unsynced_bytes >= SYNC_EVERY_BYTES:
            self._file.sync()
            self._unsynced_bytes = 0

    def finish(self) -> None:
        """The file has its final name, durably, when this returns."""
        self._file.write(_FRAME.pack(0, self._crc))
        _publish(self._disk, self._file, self._aside, self.path)

    def abort(self) -> None:
        self._file.close()
        self._disk.remove(self._aside)


class IncomingSnapshot:
    """A snapshot file on its way from the leader: bytes in order, checked as a whole before they count."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self.path = path
        self._aside = path.with_suffix(RECEIVING_SUFFIX)
        self._file = disk.create(self._aside)
        self.offset = 0

    def write(self, offset: int, data: bytes) -> bool:
        """Take the piece if it is the next one."""
        if offset != self.offset:
            return False
        self._file.write(data)
        self.offset += len(data)
        return True

    def finish(self) -> None:
        _publish(self._disk, self._file, self._aside, self.path)

    def abort(self) -> None:
        self._file.close()
        self._disk.remove(self._aside)


def _publish(disk: Disk, file: File, aside: Path, path: Path) -> None:
    file.sync()
    file.close()
    _renamed(disk, aside, path)


def _renamed(disk: Disk, old: Path, new: Path) -> Path:
    """Durably."""
    disk.rename(old, new)
    disk.sync_dir(new.parent)
    return new


def _index_of(name: str) -> int:
    return int(name.removesuffix(SUFFIX).split("-")[1], 16)


def _read_header(path: Path, reader: Reader) -> tuple[SnapshotMeta, int]:
    magic, version, _, length, crc = _HEADER.unpack(_exactly(path, reader, 0, _HEADER.size))
    if magic != MAGIC:
        raise Corrupted(path, 0, "not a snapshot")
    if version != VERSION:
        raise Corrupted(path, 0, f"written by version {version} of the format; this is version {VERSION}")
    if length > MAX_META_BYTES:
        raise Corrupted(path, 0, f"a head of {length} bytes")
    packed = _exactly(path, reader, _HEADER.size, length)
    if zlib.crc32(packed) != crc:
        raise Corrupted(path, _HEADER.size, "the head does not match its checksum")
    try:
        return SnapshotMeta.unpack(packed), _HEADER.size + length
    except (ValueError, TypeError, msgpack.UnpackException) as error:  # an empty head's checksum is 0
        raise Corrupted(path, _HEADER.size, "the head cannot be read") from error


def _exactly(path: Path, reader: Reader, offset: int, size: int) -> bytes:
    data = reader.read(size)
    if len(data) != size:
        raise Corrupted(path, offset, "the file is cut off")
    return data

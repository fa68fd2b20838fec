"""A disk in memory that forgets what was not synced, and can crash or fail at any operation."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from store.raft.disk import File, Reader


class PowerLoss(BaseException):
    """The machine stopped in the middle of an operation. Not an Exception: nothing may handle it."""


RESERVED_BYTES = 2048
"""At most, to be read quickly."""


class _Content:
    """A file's bytes: what a reader sees, and what a crash leaves."""

    def __init__(self, reserve_bytes: int = 0) -> None:
        self.written = bytearray()
        self.synced = b""
        self.reserved = min(reserve_bytes, RESERVED_BYTES)  # read as zeros behind what is written


class MemoryFile:
    def __init__(self, disk: MemoryDisk, content: _Content) -> None:
        self._disk = disk
        self._content = content

    def write(self, data: bytes) -> None:
        self._disk.operation("write")
        self._content.written += data

    def sync(self) -> None:
        self._disk.operation("sync")
        self._content.synced = bytes(self._content.written)
        self._disk.syncs += 1

    def close(self) -> None:
        pass


class MemoryDisk:
    def __init__(self) -> None:
        self._names: dict[Path, _Content] = {}
        self._synced_names: dict[Path, _Content] = {}
        self.operations = 0
        self.syncs = 0
        self.before: Callable[[int, str], None] = lambda number, name: None
        """Called before each operation that changes something; may raise."""

    def operation(self, name: str) -> None:
        self.operations += 1
        self.before(self.operations, name)

    def crash(self, torn_bytes: int | None = 0) -> None:
        """Power is lost: unsynced names and bytes are gone, but for `torn_bytes` of each file (None: all)."""
        self.before = lambda number, name: None
        self._names = dict(self._synced_names)
        for content in self._names.values():
            tail = content.written[len(content.synced) :]
            kept = tail if torn_bytes is None else tail[:torn_bytes]
            content.written = bytearray(content.synced + kept)
            content.synced = bytes(content.written)

    def corrupt(self, path: Path, offset: int) -> None:
        content = self._names[path]
        content.written[offset] ^= 0xFF
        content.synced = bytes(content.written)

    # The interface

    def make_dir(self, path: Path) -> None:
        pass

    def list(self, path: Path) -> list[str]:
        return sorted(each.name for each in self._names if each.parent == path)

    def read(self, path: Path) -> bytes:
        content = self._content(path)
        return bytes(content.written.ljust(content.reserved, b"\0"))

    def size(self, path: Path) -> int:
        return len(self._content(path).written)

    def reader(self, path: Path) -> Reader:
        return io.BytesIO(self.read(path))

    def create(self, path: Path, reserve_bytes: int = 0) -> File:
        self.operation("create")
        self._names[path] = _Content(reserve_bytes)
        return MemoryFile(self, self._names[path])

    def append(self, path: Path) -> File:
        return MemoryFile(self, self._content(path))

    def truncate(self, path: Path, size_bytes: int) -> None:
        self.operation("truncate")
        content = self._content(path)
        del content.written[size_bytes:]
        content.reserved = 0
        content.synced = bytes(content.written)

    def rename(self, old: Path, new: Path) -> None:
        self.operation("rename")
        self._names[new] = self._names.pop(old)

    def remove(self, path: Path) -> None:
        self.operation("remove")
        del self._names[path]

    def sync_dir(self, path: Path) -> None:
        self.operation("sync_dir")
        kept = {name: content for name, content in self._synced_names.items() if name.parent != path}
        self._synced_names = kept | {n: c for n, c in self._names.items() if n.parent == path}

    def _content(self, path: Path) -> _Content:
        try:
            return self._names[path]
        except KeyError:
            raise FileNotFoundError(path) from None

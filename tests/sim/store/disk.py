"""A disk in memory: it forgets what was not synced, tears what it was writing, is slow, and fails.

A killed process leaves the kernel's pages behind, so all it wrote is there; lost power leaves what was
synced, and of each file's rest a part: a beginning, or sectors here and there (nothing orders the pages of
one write).
"""

from __future__ import annotations

import errno
import io
import os
import random
from pathlib import Path

from store.raft.disk import File, Reader

SECTOR_BYTES = 64
"""Small, so that small batches tear too."""


class PowerLoss(BaseException):
    """The member stopped in the middle of an operation. Not an Exception: nothing may handle it."""


RESERVED_BYTES = 1024
"""At most: zeros behind a file's end that are there from the start; few, to be read quickly."""


class _Content:
    __slots__ = ("data", "reserved", "synced")

    def __init__(self, reserve_bytes: int) -> None:
        self.data = bytearray()
        self.reserved = min(reserve_bytes, RESERVED_BYTES)
        self.synced = 0  # files only grow, but for `truncate`, which syncs


class SimFile:
    __slots__ = ("_content", "_disk")

    def __init__(self, disk: SimDisk, content: _Content) -> None:
        self._disk = disk
        self._content = content

    def write(self, data: bytes) -> None:
        self._disk.operation()
        self._content.data += data

    def sync(self) -> None:
        self._disk.operation()
        self._content.synced = len(self._content.data)

    def close(self) -> None:
        pass


class SimDisk:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._names: dict[str, _Content] = {}
        self._synced_names: dict[str, _Content] = {}
        self.failing = False
        self.power_fails_in: int | None = None  # operations from now

    def operation(self) -> None:
        if self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.power_fails_in is not None:
            self.power_fails_in -= 1
            if self.power_fails_in <= 0:
                raise PowerLoss

    def process_killed(self) -> None:
        self.power_fails_in = None
        self.failing = False

    def power_lost(self) -> None:
        self.process_killed()
        self._names = dict(self._synced_names)
        for content in self._names.values():
            content.data[content.synced :] = self._torn(content.data[content.synced :])
            content.synced = len(content.data)

    def _torn(self, tail: bytearray) -> bytes:
        how = self._rng.random()
        if how < 0.3 or not tail:
            return b""
        if how < 0.5:
            return bytes(tail)
        if how < 0.75:
            return bytes(tail[: self._rng.randrange(len(tail))])
        for start in range(0, len(tail), SECTOR_BYTES):
            if self._rng.random() < 0.5:
                end = min(start + SECTOR_BYTES, len(tail))
                tail[start:end] = bytes(end - start)
        return bytes(tail)

    # What the store asks of a disk

    def make_dir(self, path: Path) -> None:
        pass

    def list(self, path: Path) -> list[str]:
        prefix = f"{path}/"
        return sorted(name[len(prefix) :] for name in self._names if name.startswith(prefix))

    def read(self, path: Path) -> bytes:
        content = self._content(path)
        return bytes(content.data.ljust(content.reserved, b"\0"))

    def size(self, path: Path) -> int:
        return len(self._content(path).data)

    def reader(self, path: Path) -> Reader:
        return io.BytesIO(self.read(path))

    def create(self, path: Path, reserve_bytes: int = 0) -> File:
        self.operation()
        content = self._names[str(path)] = _Content(reserve_bytes)
        return SimFile(self, content)

    def append(self, path: Path) -> File:
        return SimFile(self, self._content(path))

    def truncate(self, path: Path, size_bytes: int) -> None:
        self.operation()
        content = self._content(path)
        del content.data[size_bytes:]
        content.reserved = 0
        content.synced = len(content.data)

    def rename(self, old: Path, new: Path) -> None:
        self.operation()
        self._names[str(new)] = self._names.pop(str(old))

    def remove(self, path: Path) -> None:
        self.operation()
        del self._names[str(path)]

    def sync_dir(self, path: Path) -> None:
        self.operation()
        prefix = f"{path}/"
        kept = {name: each for name, each in self._synced_names.items() if not name.startswith(prefix)}
        self._synced_names = kept | {n: c for n, c in self._names.items() if n.startswith(prefix)}

    def _content(self, path: Path) -> _Content:
        try:
            return self._names[str(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

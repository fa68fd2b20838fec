"""The few file operations that the log and the snapshots need, behind an interface.

A simulation puts a disk of its own here that forgets what was not synced; `FaultyDisk` slows or fails the real one
on request. Contract, as POSIX and ext4 give it: `write` is durable after `sync`; `rename` is atomic and durable
after `sync_dir`. Errors are OSError; the callers treat one of `write` or `sync` as the end of the member, since
after a failed fsync the kernel may have dropped the pages.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Protocol


class File(Protocol):
    def write(self, data: bytes) -> None:
        """Append all of `data`."""

    def sync(self) -> None: ...

    def close(self) -> None: ...


class Reader(Protocol):
    def read(self, size: int) -> bytes: ...

    def close(self) -> None: ...


class Disk(Protocol):
    def make_dir(self, path: Path) -> None: ...

    def list(self, path: Path) -> list[str]:
        """Names in the directory, sorted; none when there is no directory."""

    def read(self, path: Path) -> bytes: ...

    def size(self, path: Path) -> int: ...

    def reader(self, path: Path) -> Reader: ...

    def create(self, path: Path, reserve_bytes: int = 0) -> File:
        """An empty file; what is reserved reads as zeros until it is written. Then a sync need not wait for the
        file system's own log, in which a growing file's length stands."""

    def append(self, path: Path) -> File: ...

    def truncate(self, path: Path, size_bytes: int) -> None:
        """Cut and sync."""

    def rename(self, old: Path, new: Path) -> None: ...

    def remove(self, path: Path) -> None: ...

    def sync_dir(self, path: Path) -> None: ...


BULK_BYTES = 1024 * 1024
"""What is synced in such portions is a stream that nobody reads soon. The system need not keep it in memory, and
its next portion goes into the pages that the last one left, which are in the processor's caches: to copy it takes
a fraction of the time."""


class OsFile:
    __slots__ = ("_descriptor", "_unsynced_bytes")

    def __init__(self, path: Path, flags: int) -> None:
        self._descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._unsynced_bytes = 0

    def reserve(self, size_bytes: int) -> None:
        try:
            os.posix_fallocate(self._descriptor, 0, size_bytes)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # this file system cannot, and need not
                raise

    def write(self, data: bytes) -> None:
        written = os.write(self._descriptor, data)
        while written < len(data):
            written += os.write(self._descriptor, memoryview(data)[written:])
        self._unsynced_bytes += written

    def sync(self) -> None:
        os.fdatasync(self._descriptor)
        if self._unsynced_bytes >= BULK_BYTES:
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        self._unsynced_bytes = 0

    def close(self) -> None:
        os.close(self._descriptor)


class OsDisk:
    """The real one."""

    def make_dir(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def list(self, path: Path) -> list[str]:
        try:
            return sorted(each.name for each in path.iterdir())
        except FileNotFoundError:
            return []

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def reader(self, path: Path) -> Reader:
        return path.open("rb")

    def create(self, path: Path, reserve_bytes: int = 0) -> File:
        file = OsFile(path, os.O_WRONLY | os.O_TRUNC)
        if reserve_bytes:
            file.reserve(reserve_bytes)
        return file

    def append(self, path: Path) -> File:
        return OsFile(path, os.O_WRONLY | os.O_APPEND)

    def truncate(self, path: Path, size_bytes: int) -> None:
        with path.open("r+b") as file:
            file.truncate(size_bytes)
            os.fsync(file.fileno())

    def rename(self, old: Path, new: Path) -> None:
        old.replace(new)

    def remove(self, path: Path) -> None:
        path.unlink()

    def sync_dir(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class DiskFaults:
    """What is wrong with a disk right now; `cluster` sets it, `FaultyDisk` obeys."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.failure: int | None = None

    def slow(self, delay_s: float) -> None:
        """Every sync takes so much longer."""
        self.delay_s = delay_s

    def fail(self, error_number: int = errno.EIO) -> None:
        """Every write and sync fails from now on (`errno.ENOSPC`: the disk is full)."""
        self.failure = error_number

    def heal(self) -> None:
        self.delay_s = 0.0
        self.failure = None

    def check(self) -> None:
        if self.failure is not None:
            raise OSError(self.failure, os.strerror(self.failure))

    def wait(self) -> None:
        if self.delay_s > 0:
            time.sleep(self.delay_s)


class _FaultyFile:
    __slots__ = ("_faults", "_file")

    def __init__(self, file: File, faults: DiskFaults) -> None:
        self._file = file
        self._faults = faults

    def write(self, data: bytes) -> None:
        self._faults.check()
        self._file.write(data)

    def sync(self) -> None:
        self._faults.wait()
        self._faults.check()
        self._file.sync()

    def close(self) -> None:
        self._file.close()


class FaultyDisk(OsDisk):
    """The real disk with faults that can be switched on and off while it is used."""

    def __init__(self, faults: DiskFaults | None = None) -> None:
        self.faults = faults or DiskFaults()

    def create(self, path: Path, reserve_bytes: int = 0) -> File:
        self.faults.check()
        return _FaultyFile(super().create(path, reserve_bytes), self.faults)

    def append(self, path: Path) -> File:
        return _FaultyFile(super().append(path), self.faults)

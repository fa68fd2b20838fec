"""Audit events as lines of a file. A file that has grown too large is put aside under the time of day, old ones are
removed by number and by age; compressed if wanted. `-` is standard output.

Names are those that kube-apiserver gives: `audit-2026-01-31T08-15-00.123.log`, with `.gz` once compressed.
"""

from __future__ import annotations

import gzip
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

MIB = 1024 * 1024
DAY_S = 24 * 3600.0
_STAMP = "%Y-%m-%dT%H-%M-%S"


@dataclass(frozen=True, slots=True)
class FileOptions:
    """The fields are kube-apiserver's `--audit-log-` flags."""

    path: str
    max_age_days: int = 366
    max_backups: int = 100
    max_size_mib: int = 100
    compress: bool = False


class LogFile:
    """Raises OSError where the file cannot be written."""

    def __init__(self, options: FileOptions, clock: Callable[[], float]) -> None:
        self._options = options
        self._clock = clock
        self._path = Path(options.path)
        self._file: BinaryIO = self._open()
        self._size = self._file.tell() if options.path != "-" else 0

    def write(self, line: bytes) -> None:
        """One event; the newline is added."""
        limit = self._options.max_size_mib * MIB
        if self._options.path != "-" and limit and self._size and self._size + len(line) + 1 > limit:
            self.rotate()
        self._file.write(line + b"\n")
        self._file.flush()
        self._size += len(line) + 1

    async def write_all(self, events: Sequence[bytes]) -> None:
        """As a sink of batches: on local disks, without waiting."""
        for event in events:
            self.write(event)

    def rotate(self) -> None:
        self._file.close()
        now_s = self._clock()
        aside = self._aside(now_s)
        self._path.rename(aside)
        if self._options.compress:
            with aside.open("rb") as plain, gzip.open(f"{aside}.gz", "wb") as packed:
                shutil.copyfileobj(plain, packed)
            aside.unlink()
        self._file, self._size = self._open(), 0
        for old in self.surplus(now_s):
            old.unlink(missing_ok=True)

    def surplus(self, now_s: float) -> list[Path]:
        """What has been put aside and is to be removed."""
        found = sorted(self._backups(), reverse=True)
        kept = found[: self._options.max_backups] if self._options.max_backups else found
        oldest_s = now_s - self._options.max_age_days * DAY_S if self._options.max_age_days else 0.0
        young = [each for each in kept if each[0] >= oldest_s]
        return [path for stamp, path in found if (stamp, path) not in young]

    def close(self) -> None:
        if self._options.path != "-":
            self._file.close()

    def _open(self) -> BinaryIO:
        if self._options.path == "-":
            return sys.stdout.buffer
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        return self._path.open("ab")

    def _aside(self, now_s: float) -> Path:
        """A name that is free: the next millisecond's where two files are put aside in one."""
        while True:
            stamp = datetime.fromtimestamp(now_s, UTC).strftime(_STAMP) + f".{int(now_s * 1000) % 1000:03d}"
            path = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
            if not path.exists() and not Path(f"{path}.gz").exists():
                return path
            now_s += 0.001

    def _backups(self) -> list[tuple[float, Path]]:
        found: list[tuple[float, Path]] = []
        for path in self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}*"):
            stamp = path.name.removesuffix(".gz").removesuffix(self._path.suffix)
            try:
                moment = datetime.strptime(stamp.removeprefix(f"{self._path.stem}-"), f"{_STAMP}.%f").replace(
                    tzinfo=UTC
                )
            except ValueError:
                continue
            found.append((moment.timestamp(), path))
        return found

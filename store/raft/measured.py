"""What the consensus engine does to disk and network, counted: the disk by a `Disk` around the real one, the
network by a `PeerStats` for each peer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from store.component.histogram import Histogram, exponential
from store.raft.disk import DiskFaults, FaultyDisk, File

SYNC_BOUNDS_S = exponential(0.001, 2, 14)  # etcd's
ROUND_TRIP_BOUNDS_S = exponential(0.0001, 2, 16)  # etcd's


@dataclass(slots=True)
class PeerStats:
    sent_bytes: int = 0
    received_bytes: int = 0
    failures: int = 0  # messages that certainly did not leave
    round_trips: Histogram = field(default_factory=lambda: Histogram(ROUND_TRIP_BOUNDS_S))


class _MeasuredFile:
    __slots__ = ("_disk", "_file", "_is_log")

    def __init__(self, file: File, disk: MeasuredDisk, is_log: bool) -> None:
        self._file, self._disk, self._is_log = file, disk, is_log

    def write(self, data: bytes) -> None:
        self._file.write(data)
        if self._is_log:
            self._disk.log_written_bytes += len(data)

    def sync(self) -> None:
        began = time.perf_counter()
        self._file.sync()
        took_s = time.perf_counter() - began
        (self._disk.log_syncs if self._is_log else self._disk.snapshot_syncs).observe(took_s)

    def close(self) -> None:
        self._file.close()


class MeasuredDisk(FaultyDisk):
    """Times the syncs, of the log and of all else (snapshots)."""

    def __init__(self, faults: DiskFaults | None = None) -> None:
        super().__init__(faults)
        self.log_syncs = Histogram(SYNC_BOUNDS_S)
        self.snapshot_syncs = Histogram(SYNC_BOUNDS_S)
        self.log_written_bytes = 0

    def create(self, path: Path, reserve_bytes: int = 0) -> File:
        return self._measured(super().create(path, reserve_bytes), path)

    def append(self, path: Path) -> File:
        return self._measured(super().append(path), path)

    def _measured(self, file: File, path: Path) -> File:
        return _MeasuredFile(file, self, path.parent.name == "wal")

"""The log: what one entry costs to write, and what a sync of many costs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from store.raft.disk import OsDisk
from store.raft.log import FIRST
from store.raft.wal import Wal

SEGMENT_BYTES = 64 * 1024 * 1024
BATCH = 64


@pytest.fixture
def wal() -> Iterator[Wal]:
    """On the disk that the checkout is on: in memory a sync costs nothing."""
    directory = Path(tempfile.mkdtemp(prefix=".bench-", dir=Path(__file__).parents[2]))
    made = Wal.create(OsDisk(), directory / "wal", b"bench", FIRST, SEGMENT_BYTES)
    yield made
    made.close()
    shutil.rmtree(directory)


def appender(wal: Wal, size_bytes: int) -> Callable[[], None]:
    payload, index = bytes(size_bytes), 1

    def append() -> None:
        nonlocal index
        index += 1
        wal.append((payload, index, 1))

    return append


@pytest.mark.parametrize("size_bytes", [100, 1024])
def test_append_without_sync(benchmark: Any, wal: Wal, size_bytes: int) -> None:
    benchmark(appender(wal, size_bytes))


def test_append_and_sync(benchmark: Any, wal: Wal) -> None:
    append = appender(wal, 1024)

    def turn() -> None:
        append()
        wal.sync()

    benchmark(turn)


def test_a_batch_shares_one_sync(benchmark: Any, wal: Wal) -> None:
    append = appender(wal, 1024)

    def turn() -> None:
        for _ in range(BATCH):
            append()
        wal.sync()

    benchmark(turn)

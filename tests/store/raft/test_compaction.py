"""When a snapshot is due, and how fast the one that is being written must grow, by what was written to the log."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from store.raft.compaction import CHEAP_SNAPSHOT_BYTES, FREED_AT_ONCE, LOG_PER_SNAPSHOT, Compaction
from store.raft.config import Limits
from tests.store.raft.simulated import SimulatedCluster, small

MIB = 1024 * 1024
LIMITS = Limits(snapshot_wal_bytes=64 * MIB)
SIZE_BYTES = (
    CHEAP_SNAPSHOT_BYTES + LOG_PER_SNAPSHOT * 256 * MIB
)  # due after 64 + 256 MiB of log, however few entries


def compaction(size_bytes: int, log_bytes: int) -> Compaction:
    """Of a member whose last snapshot is of that size, and the log written since."""
    storage: Any = SimpleNamespace(
        snapshot_index=1,
        member_id=1,
        log=SimpleNamespace(appended_bytes=log_bytes),
        snapshots=SimpleNamespace(size_bytes=size_bytes),
    )
    config: Any = SimpleNamespace(limits=LIMITS, snapshot_count=10_000)
    return Compaction(config, storage)


@pytest.mark.parametrize(
    ("size_bytes", "log_bytes", "applied", "due"),
    [
        pytest.param(MIB, 63 * MIB, 9_999, False, id="few entries, little log"),
        pytest.param(MIB, MIB, 10_001, True, id="many entries"),
        pytest.param(MIB, 64 * MIB, 2, True, id="much log"),
        pytest.param(MIB, 64 * MIB, 1, False, id="nothing new"),
        pytest.param(SIZE_BYTES, 255 * MIB, 20_000, False, id="many entries, but a large snapshot"),
        pytest.param(SIZE_BYTES, 256 * MIB, 20_000, True, id="worth a large snapshot"),
        pytest.param(SIZE_BYTES, 319 * MIB, 100, False, id="few entries, a large snapshot"),
        pytest.param(SIZE_BYTES, 320 * MIB, 100, True, id="worth it, however few"),
    ],
)
def test_due(size_bytes: int, log_bytes: int, applied: int, due: bool) -> None:
    assert compaction(size_bytes, log_bytes).due(applied) == due


@pytest.mark.parametrize(
    ("size_bytes", "log_bytes", "done_bytes", "hurries"),
    [
        pytest.param(
            SIZE_BYTES, 160 * MIB, SIZE_BYTES // 2 - 1, True, id="half of the log is there, not half of it"
        ),
        pytest.param(SIZE_BYTES, 160 * MIB, SIZE_BYTES // 2, False, id="in step"),
        pytest.param(SIZE_BYTES, 0, 0, False, id="just begun"),
        pytest.param(0, 640 * MIB, 0, False, id="the first: no size to go by"),
    ],
)
def test_hurries(size_bytes: int, log_bytes: int, done_bytes: int, hurries: bool) -> None:
    assert compaction(size_bytes, log_bytes).hurries(done_bytes) == hurries


def test_the_log_is_forgotten_and_its_files_removed_a_piece_at_a_time() -> None:
    cluster = SimulatedCluster("A", snapshot_count=10_000, catch_up_entries=5, limits=small())
    a = cluster.elect("A")
    for number in range(300):
        a.propose(b"%d" % number + bytes(100))
        cluster.run(0.01)
    a.write_snapshot()
    log, compaction = a.core.log, a.replica.compaction
    first, steps = log.base_index, []
    for _ in compaction.forgetting():
        steps.append(log.base_index)
    assert log.base_index == compaction.snapshot_index - 5
    assert log.term_at(log.base_index) is not None
    moved = [after - before for before, after in pairwise([first, *steps])]
    assert max(moved) == FREED_AT_ONCE
    files = [len(a.disk.list(Path("/A/member/wal")))]
    for _ in compaction.removing():
        files.append(len(a.disk.list(Path("/A/member/wal"))))
    assert [before - after for before, after in pairwise(files)] == [1] * (files[0] - 1)

"""The write-ahead log: what it promises about crashes, torn tails and corruption."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from store.raft.disk import FaultyDisk, OsDisk
from store.raft.errors import Corrupted, DiskFailed
from store.raft.log import FIRST
from store.raft.record import HEADER_BYTES
from store.raft.wal import Wal, WalState
from tests.store.raft.memory_disk import MemoryDisk, PowerLoss

DIRECTORY = Path("/wal")
FILE = DIRECTORY / f"{0:016x}.wal"
SEGMENT_BYTES = 2000


def entry(index: int, term: int = 1, size: int = 10) -> tuple[bytes, int, int]:
    return b"%d" % (index % 10) * size, index, term


def create(disk: MemoryDisk, segment_bytes: int = 1 << 20) -> Wal:
    return Wal.create(disk, DIRECTORY, b"whose", FIRST, segment_bytes)


def reopen(disk: MemoryDisk, segment_bytes: int = 1 << 20) -> WalState:
    return Wal.open(disk, DIRECTORY, segment_bytes)[1]


def indexes(state: WalState) -> list[int]:
    return [index for _, index, _ in state.entries[1:]]


def test_what_was_synced_is_there_after_a_crash_and_what_was_not_is_gone() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.set_hard_state(3, 77)
    wal.append(entry(2))
    wal.append(entry(3, term=3))
    wal.set_commit(2)
    wal.sync()
    wal.append(entry(4, term=3))
    disk.crash()
    state = reopen(disk)
    assert (state.metadata, state.term, state.vote, state.commit) == (b"whose", 3, 77, 2)
    assert state.entries == [FIRST, entry(2), entry(3, term=3)]


@pytest.mark.parametrize("segment_bytes", [1 << 20, 150], ids=["same segment", "a new segment"])
def test_what_a_killed_process_had_written_is_durable_before_it_is_relied_on(segment_bytes: int) -> None:
    counter = MemoryDisk()
    _append_two(counter, segment_bytes)
    for step in range(counter.operations + 1):
        disk = MemoryDisk()
        disk.before = _stop_at(step)
        with contextlib.suppress(PowerLoss):  # here a kill: the kernel keeps what was written
            _append_two(disk, segment_bytes)
        disk.before = _stop_at(0)
        if not Wal.exists(disk, DIRECTORY):
            continue
        seen = reopen(disk, segment_bytes)
        disk.crash()
        assert reopen(disk, segment_bytes) == seen, f"killed at operation {step}"


def _append_two(disk: MemoryDisk, segment_bytes: int) -> None:
    wal = create(disk, segment_bytes)
    for index in (2, 3):
        wal.append(entry(index))
        wal.sync()


def _stop_at(step: int) -> Callable[[int, str], None]:
    def before(number: int, name: str) -> None:
        if number == step:
            raise PowerLoss

    return before


def test_one_sync_for_everything_of_a_turn() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    before = disk.syncs
    wal.set_hard_state(1, 5)
    for index in range(2, 100):
        wal.append(entry(index))
    wal.sync()
    wal.sync()
    assert disk.syncs == before + 1


def test_a_commit_index_alone_is_no_reason_to_sync() -> None:
    wal = create(MemoryDisk())
    wal.set_commit(1)
    assert not wal.dirty


def test_truncation_and_reset_are_replayed_in_order() -> None:
    disk = MemoryDisk()
    wal = create(disk)
    for index in range(2, 8):
        wal.append(entry(index))
    wal.truncate(5, 1)
    wal.append(entry(5, term=2))
    wal.sync()
    assert reopen(disk).entries[-1] == entry(5, term=2)
    wal.reset(40, 9)
    wal.append(entry(41, term=9))
    wal.sync()
    assert reopen(disk).entries == [(b"", 40, 9), entry(41, term=9)]


@pytest.mark.parametrize("torn_bytes", [1, 20, 21, 47, 60, 93])
def test_a_torn_tail_is_cut_and_the_log_goes_on(torn_bytes: int) -> None:
    disk = MemoryDisk()
    wal = create(disk)
    wal.append(entry(2))
    wal.sync()
    wal.append(entry(3))
    wal.append(entry(4))
    wal._write_pending()
    disk.crash(torn_bytes)
    wal, state = Wal.open(disk, DIRECTORY, 1 << 20)
    assert indexes(state) == [2]
    wal.append(entry(3, term=2))
    wal.sync()
    assert reopen(disk).entries[-1] == entry(3, term=2)


def test_a_batch_torn_in_its_middle_is_a_torn_tail_too() -> None:
    """Nothing orders the pages of one write: a later record of the same batch may be whole."""
    disk = MemoryDisk()
    wal = create(disk)
    wal.append(entry(2))
    wal.sync()
    whole = disk.size(FILE)
    for index in range(3, 9):
        wal.append(entry(index, size=100))
    wal._write_pending()
    disk.crash(None)
    disk.corrupt(FILE, whole + 150)
    assert indexes(reopen(disk)) == [2]
    assert disk.size(FILE) == whole


@pytest.mark.parametrize("position", [0.1, 0.5, 0.8])
def test_corruption_in_the_middle_is_refused_with_file_and_offset(position: float) -> None:
    disk = MemoryDisk()
    wal = create(disk)
    for index in range(2, 12):
        wal.append(entry(index, size=50))
        wal.sync()
    damaged = HEADER_BYTES + int((disk.size(FILE) - HEADER_BYTES) * position)
    disk.corrupt(FILE, damaged)
    with pytest.raises(Corrupted) as error:
        reopen(disk)
    assert error.value.path == FILE
    assert HEADER_BYTES <= error.value.offset <= damaged
    assert str(FILE) in str(error.value)


def test_a_damaged_header_and_a_missing_segment_are_refused() -> None:
    disk = MemoryDisk()
    wal = create(disk, SEGMENT_BYTES)
    for index in range(2, 60):
        wal.append(entry(index, size=200))
        wal.sync()
    names = disk.list(DIRECTORY)
    assert len(names) > 3
    disk.corrupt(DIRECTORY / names[1], 3)
    with pytest.raises(Corrupted, match="not a write-ahead log"):
        reopen(disk)
    disk.remove(DIRECTORY / names[1])
    with pytest.raises(Corrupted, match="missing"):
        reopen(disk)


def test_compaction_removes_whole_segments_and_keeps_every_entry_behind_the_index() -> None:
    disk = MemoryDisk()
    wal = create(disk, SEGMENT_BYTES)
    for index in range(2, 60):
        wal.append(entry(index, size=200))
        wal.sync()
    before = wal.size_bytes
    wal.remove(wal.detach(40))
    assert wal.size_bytes < before
    state = reopen(disk)
    assert state.metadata == b"whose"
    assert state.entries[0][1] <= 40
    assert indexes(state) == list(range(state.entries[0][1] + 1, 60))


def test_a_truncation_behind_a_released_segment_is_replayed() -> None:
    """Uncommitted entries of a removed segment were overwritten by entries of the next one."""
    disk = MemoryDisk()
    wal = create(disk, SEGMENT_BYTES)
    index = 2
    while len(disk.list(DIRECTORY)) < 2:
        wal.append(entry(index, size=200))
        wal.sync()
        index += 1
    wal.truncate(index - 2, 1)
    for each in range(index - 2, index + 10):
        wal.append(entry(each, term=2))
    wal.sync()
    wal.remove(wal.detach(index + 5))
    assert len(disk.list(DIRECTORY)) == 1
    state = reopen(disk)
    assert state.entries[0] == (b"", index - 3, 1)
    assert indexes(state) == list(range(index - 2, index + 10))


def test_a_crash_at_any_step_of_writing_cutting_and_compacting_loses_nothing_synced() -> None:
    """One run per operation at which the power may fail; after each, the log holds all that was promised."""

    def work(disk: MemoryDisk, promised: list[int]) -> None:
        wal = create(disk, SEGMENT_BYTES)
        for index in range(2, 40):
            wal.set_hard_state(index, index)
            wal.append(entry(index, term=index, size=150))
            wal.sync()
            promised.append(index)
            if index % 10 == 0:
                wal.remove(wal.detach(index - 5))

    counter = MemoryDisk()
    work(counter, [])
    for step in range(1, counter.operations + 1):
        disk, promised = MemoryDisk(), list[int]()

        def fail(number: int, name: str, step: int = step) -> None:
            if number == step:
                raise PowerLoss

        disk.before = fail
        with pytest.raises(PowerLoss):
            work(disk, promised)
        disk.crash(torn_bytes=step % 90)
        if not promised:
            continue
        state = reopen(disk)
        assert state.term >= promised[-1], f"crash at operation {step}"
        assert promised[-1] in [*indexes(state), state.entries[0][1]], f"crash at operation {step}"
        kept = [index for index in promised if index > state.entries[0][1]]
        assert indexes(state)[: len(kept)] == kept, f"crash at operation {step}"


def test_a_failing_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    disk = FaultyDisk()
    wal = Wal.create(disk, tmp_path / "wal", b"", FIRST, 1 << 20)
    disk.faults.fail()
    wal.append(entry(2))
    with pytest.raises(DiskFailed, match="cannot write the log"):
        wal.sync()
    wal.close()


def test_on_a_real_disk(tmp_path: Path) -> None:
    wal = Wal.create(OsDisk(), tmp_path / "wal", b"", FIRST, SEGMENT_BYTES)
    for index in range(2, 100):
        wal.append(entry(index))
        wal.sync()
    wal.remove(wal.detach(50))
    wal.close()
    last = max((tmp_path / "wal").iterdir())
    assert last.stat().st_size >= SEGMENT_BYTES, "its room is reserved"
    wal, state = Wal.open(OsDisk(), tmp_path / "wal", SEGMENT_BYTES)
    wal.close()
    assert state.entries[-1] == entry(99)

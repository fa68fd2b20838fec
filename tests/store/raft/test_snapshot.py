"""Snapshots: whole or not there, checked, streamed to who needs one, and no stall while they are written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from store.raft import RaftNode
from store.raft.errors import Corrupted
from store.raft.interface import Loading
from store.raft.membership import Membership
from store.raft.snapshot import IncomingSnapshot, SnapshotMeta, SnapshotStore
from tests.store.raft.cluster import Cluster, eventually
from tests.store.raft.memory_disk import MemoryDisk, PowerLoss
from tests.store.raft.simulated import SimulatedCluster, ident, small
from tests.store.raft.toy import Toy

DIRECTORY = Path("/snap")
META = SnapshotMeta(42, 3, Membership.initial({"a": ["https://a:1"]}, "token"))


def write(disk: MemoryDisk, meta: SnapshotMeta = META, pieces: int = 5) -> SnapshotStore:
    store = SnapshotStore(disk, DIRECTORY)
    writer = store.write(meta)
    for number in range(pieces):
        writer.write(bytes([number]) * 1000)
    writer.finish()
    return store


def test_a_snapshot_comes_out_as_it_went_in() -> None:
    store = write(MemoryDisk())
    path = store.latest()
    assert path is not None
    assert store.read_meta(path) == META
    assert list(store.chunks(path)) == [bytes([number]) * 1000 for number in range(5)]


def test_a_name_that_a_killed_process_gave_is_durable_before_it_is_relied_on() -> None:
    disk = MemoryDisk()

    def killed(number: int, name: str) -> None:
        if name == "sync_dir":
            raise PowerLoss  # here a kill: the kernel keeps what was renamed

    disk.before = killed
    with pytest.raises(PowerLoss):
        write(disk)
    disk.before = lambda number, name: None
    assert SnapshotStore(disk, DIRECTORY).latest() is not None
    disk.crash()
    assert SnapshotStore(disk, DIRECTORY).latest() is not None


def test_a_crash_at_any_step_leaves_the_old_snapshot_or_the_new_one_whole() -> None:
    newer = SnapshotMeta(50, 3, META.membership)
    counter = MemoryDisk()
    write(counter)
    first = counter.operations
    write(counter, newer)
    for step in range(first + 1, counter.operations + 1):
        disk = MemoryDisk()
        write(disk)

        def fail(number: int, name: str, step: int = step) -> None:
            if number == step:
                raise PowerLoss

        disk.before = fail
        with pytest.raises(PowerLoss):
            write(disk, newer)
        disk.crash(torn_bytes=500)
        store = SnapshotStore(disk, DIRECTORY)
        path = store.latest()
        assert path is not None
        assert store.read_meta(path).index in (42, 50)
        assert len(list(store.chunks(path))) == 5


NEWER = SnapshotMeta(50, 3, META.membership)


def test_what_is_being_read_stays_until_it_is_read_through() -> None:
    disk = MemoryDisk()
    store = write(disk)
    old = store.latest()
    assert old is not None
    whole, first, second = disk.size(old), store.open(old), store.open(old)
    write(disk, NEWER)
    for reader in (first, second):
        deque(store.pruning(store.path(NEWER.index, NEWER.term)), maxlen=0)
        assert len(reader.read(whole + 1)) == whole
        reader.close()
        reader.close()
    deque(store.pruning(store.path(NEWER.index, NEWER.term)), maxlen=0)
    assert disk.list(DIRECTORY) == [store.path(NEWER.index, NEWER.term).name]


def test_a_large_file_goes_in_parts_and_is_no_snapshot_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.raft.snapshot.CUT_BYTES", 1000)
    names: list[str] = []

    def prepared() -> tuple[MemoryDisk, SnapshotStore]:
        disk = MemoryDisk()
        write(disk)
        return disk, write(disk, NEWER)

    disk, store = prepared()
    newest = store.latest()
    assert newest is not None
    first = disk.operations
    disk.before = lambda number, name: names.append(name)
    deque(store.pruning(newest), maxlen=0)
    assert names == ["rename", "sync_dir", *["truncate"] * 5, "remove"]
    assert disk.list(DIRECTORY) == [newest.name]
    for step in range(first + 1, disk.operations + 1):
        disk, store = prepared()

        def fail(number: int, name: str, step: int = step) -> None:
            if number == step:
                raise PowerLoss

        disk.before = fail
        with pytest.raises(PowerLoss):
            deque(store.pruning(newest), maxlen=0)
        disk.crash()
        again = SnapshotStore(disk, DIRECTORY)
        for name in disk.list(DIRECTORY):
            assert len(list(again.chunks(DIRECTORY / name))) == 5


@pytest.mark.parametrize("offset", [2, 30, 60, 1200, 3000, -3])
def test_damage_is_found_with_file_and_offset(offset: int) -> None:
    disk = MemoryDisk()
    store = write(disk)
    path = store.latest()
    assert path is not None
    disk.corrupt(path, offset)
    with pytest.raises(Corrupted) as error:
        list(store.chunks(path))
    assert error.value.path == path


def test_a_cut_off_file_is_found() -> None:
    disk = MemoryDisk()
    store = write(disk)
    path = store.latest()
    assert path is not None
    disk.truncate(path, disk.size(path) - 9)
    with pytest.raises(Corrupted, match="cut off"):
        list(store.chunks(path))


def test_pieces_of_a_received_snapshot_count_in_order_only() -> None:
    incoming = IncomingSnapshot(MemoryDisk(), DIRECTORY / "x.snap")
    assert incoming.write(0, b"abc")
    assert not incoming.write(0, b"abc")
    assert not incoming.write(4, b"e")
    assert incoming.write(3, b"d")


@pytest.mark.parametrize("behind", ["wiped", "long away"])
def test_a_member_too_far_behind_gets_a_snapshot_and_the_rest(behind: str) -> None:
    cluster = SimulatedCluster("ABC", snapshot_count=20, catch_up_entries=2, limits=small())
    a = cluster.elect("A")
    a.propose(b"early")
    cluster.run(1)
    disk = cluster.kill("C")
    for number in range(100):
        a.propose(b"%d" % number + bytes(100))
        cluster.run(0.04)
    c = cluster.boot("C", MemoryDisk() if behind == "wiped" else disk)
    assert c.core.log.last_index < a.core.log.base_index
    term = a.core.term
    for number in range(20):
        a.propose(b"late%d" % number)
        cluster.run(0.2)
    assert c.machine.commands == a.machine.commands
    assert c.machine.restores >= 1
    assert c.replica.compaction.snapshot_index > 0
    assert a.core.term == term, "no election while it loads"


def test_a_snapshot_that_brings_nothing_new_forgets_nothing() -> None:
    """It comes late: the follower has, and has acknowledged, entries behind it."""
    cluster = SimulatedCluster("ABC", snapshot_count=1000)
    a, b = cluster.elect("A"), cluster.members["B"]
    for number in range(10):
        a.propose(b"%d" % number)
        cluster.run(0.1)
    cluster.held.add(("A", "B"))
    end = b.core.log.last_index
    message = {"type": "snapshot_chunk", "term": a.core.term, "offset": 0, "data": b"x", "last": False}
    for index in (end - 2, end):
        entry_term = b.core.log.term_at(index)
        b.replica.on_message(a.id, {**message, "index": index, "index_term": entry_term})
        b.turn()
        assert b.core.log.last_index == end
        assert b.replica.installer.received is None


def test_power_loss_of_a_follower_at_any_step_of_installing() -> None:
    for step in range(1, 60):
        cluster = SimulatedCluster("ABC", snapshot_count=20, catch_up_entries=2, limits=small(), seed=step)
        a = cluster.elect("A")
        disk = cluster.kill("C")
        for number in range(60):
            a.propose(b"%d" % number)
            cluster.run(0.04)
        c = cluster.boot("C", disk)
        first = disk.operations

        def fail(number: int, name: str, last: int = first + step) -> None:
            if number == last:
                raise PowerLoss

        disk.before = fail
        try:
            cluster.run(2)
        except PowerLoss:
            c = cluster.boot("C", cluster.kill("C"))
        disk.before = lambda number, name: None
        cluster.run(3)
        assert c.machine.commands == a.machine.commands, f"at operation {step}"


def test_a_piece_of_a_later_terms_snapshot_ends_a_leaders_reign() -> None:
    """Found by the simulation (seed 62): a deposed leader installed it and went on leading in its old term."""
    cluster = SimulatedCluster("ABC")
    a = cluster.elect("A")
    term = a.core.term + 1
    piece = {"type": "snapshot_chunk", "term": term, "index": 99, "index_term": term}
    a.replica.on_message(ident("B"), {**piece, "offset": 0, "data": b"x", "last": False})
    a.turn()
    assert not a.core.is_leader
    assert a.core.term == term


class Large(Toy):
    """A state of many pieces; counts how often the loop ran between two of them."""

    PIECES = 64

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.least_turns = 1 << 30

    class View:
        def __init__(self, owner: Large) -> None:
            self.owner = owner

        def chunks(self) -> Iterator[bytes]:
            for _ in range(Large.PIECES):
                before = self.owner.turns
                yield bytes(1 << 20)
                self.owner.least_turns = min(self.owner.least_turns, self.owner.turns - before)

    def snapshot(self) -> View:  # type: ignore[override]
        return Large.View(self)


async def test_the_loop_runs_between_any_two_pieces_of_a_snapshot(cluster: Cluster) -> None:
    cluster.urls = {"a": cluster.urls["a"]}
    cluster.settings = {"snapshot_count": 50}
    await cluster.start("a")
    machine = Large()
    node = cluster.nodes["a"]
    node._machine = node._replica._machine = machine

    async def count() -> None:
        while True:
            machine.turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    for number in range(60):
        await node.propose(b"%d" % number)
    await eventually(lambda: node.status().snapshot_index > 0, "a snapshot")
    counting.cancel()
    assert machine.least_turns >= 1


@pytest.mark.parametrize(("size_bytes", "due"), [(0, True), (16 << 20, True), (20 << 20, False)])
def test_a_large_snapshot_is_due_less_often(size_bytes: int, due: bool) -> None:
    cluster = SimulatedCluster("A", snapshot_count=10)
    a = cluster.members["A"]
    cluster.run(3, until=lambda: cluster.leader is a)
    a.storage.snapshots._size_bytes = size_bytes
    for number in range(15):
        a.propose(b"%d" % number)
        cluster.run(0.1)
    assert (a.replica.compaction.snapshot_index > 0) is due


class Slowly(Toy):
    """Does not get to the end of a snapshot that comes in while it is held."""

    def __init__(self) -> None:
        super().__init__()
        self.held = True
        self.loading = False

    def load(self, chunks: Iterable[bytes]) -> Loading:
        self.loading = True
        while self.held:
            yield
        return (yield from super().load(chunks))


async def test_a_member_takes_its_turns_while_it_loads_a_snapshot(cluster: Cluster) -> None:
    """It answers the leader, which needs it for a quorum."""
    cluster.settings = {"snapshot_count": 20, "catch_up_entries": 0}
    await cluster.start("a", "b")
    leader = await cluster.leader()
    for number in range(100):
        await leader.propose(b"%d" % number)
    machine = cluster.machines["c"] = Slowly()
    node = cluster.nodes["c"] = RaftNode(cluster.config("c"), machine)
    await node.start()
    await eventually(lambda: machine.loading, "the snapshot to come")
    await cluster.stop(*(name for name in "ab" if cluster.nodes[name] is not leader))
    await leader.read_index()
    assert not machine.restores
    machine.held = False
    assert await leader.propose(b"after") == 101
    assert (await cluster.converged())[-1] == b"after"
    assert machine.restores == 1

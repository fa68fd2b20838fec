"""A disk that is slow, full, broken, damaged or somebody else's."""

from __future__ import annotations

import errno
import threading

import pytest

from store.raft import Corrupted, DataDirLocked, DiskFailed, FaultyDisk, OutcomeUnknown, Stopped, WrongMember
from store.raft.disk import DiskFaults
from store.raft.engine import RaftNode
from tests.store.raft.cluster import Cluster
from tests.store.raft.toy import Toy


def faults(node: RaftNode) -> FaultyDisk:
    assert isinstance(node.disk, FaultyDisk)
    return node.disk


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["broken", "full"])
async def test_a_failing_disk_stops_the_member_and_loses_nothing_acknowledged(
    cluster: Cluster, error: int
) -> None:
    await cluster.start()
    leader = await cluster.leader()
    name = leader.status().name
    for number in range(10):
        await leader.propose(b"%d" % number)
    faults(leader).faults.fail(error)
    with pytest.raises((OutcomeUnknown, Stopped)):
        await leader.propose(b"lost or not")
    assert isinstance(await leader.wait_stopped(), DiskFailed)
    with pytest.raises(Stopped):
        await leader.propose(b"x")
    await cluster.stop(name)
    survivor = await cluster.follower()
    await survivor.propose(b"after")
    await cluster.start(name)
    held = await cluster.converged()
    assert held[:10] == [b"%d" % number for number in range(10)]
    assert held[-1] == b"after"
    assert held.count(b"lost or not") <= 1


async def test_a_slow_disk_costs_time_but_no_election(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is known to be slow, the loop, which sends the heartbeats, waits for no sync: a thread does. The
    members are in one process, so that a machine that stops for a while stops all their clocks; the time-out is
    long enough for that, and still shorter than the syncs of the test together."""
    cluster.settings["election_timeout_s"] = 2.5
    await cluster.start()
    leader = await cluster.leader()
    term = leader.status().term
    waited_in: list[int] = []
    wait = DiskFaults.wait

    def noted(self: DiskFaults) -> None:
        waited_in.append(threading.get_ident())
        wait(self)

    monkeypatch.setattr(DiskFaults, "wait", noted)
    for node in cluster.nodes.values():
        faults(node).faults.slow(0.05)
    for number in range(20):  # until the average says that it is slow
        await leader.propose(b"%d" % number)
    waited_in.clear()
    for number in range(20):
        await leader.propose(b"x%d" % number)
    assert leader.status().term == term
    assert len(waited_in) >= 20
    assert threading.get_ident() not in waited_in


async def test_an_error_of_the_state_machine_stops_the_member(cluster: Cluster) -> None:
    cluster.urls = {"a": cluster.urls["a"]}
    await cluster.start()
    node = cluster.nodes["a"]
    with pytest.raises((OutcomeUnknown, Stopped)):
        await node.propose(b"boom")
    assert isinstance(await node.wait_stopped(), RuntimeError)


async def test_one_process_at_a_time_uses_a_data_directory(cluster: Cluster) -> None:
    await cluster.start("a")
    with pytest.raises(DataDirLocked, match="another process uses"):
        await RaftNode(cluster.config("a"), Toy()).start()


async def test_a_data_directory_belongs_to_its_member(cluster: Cluster) -> None:
    await cluster.start("a")
    await cluster.stop()
    (cluster.directory / "a").rename(cluster.directory / "b")
    with pytest.raises(WrongMember, match="belongs to member 'a', not to 'b'"):
        await RaftNode(cluster.config("b"), Toy()).start()


async def test_a_damaged_log_is_refused_and_the_directory_let_go(cluster: Cluster) -> None:
    cluster.urls = {"a": cluster.urls["a"]}
    await cluster.start()
    for number in range(10):
        await cluster.nodes["a"].propose(b"%d" % number)
    await cluster.stop()
    (path,) = (cluster.directory / "a" / "member" / "wal").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data.rstrip(b"\0")) // 2] ^= 1  # room is reserved behind the last record
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(Corrupted, match="is corrupt at offset"):
            await RaftNode(cluster.config("a"), Toy()).start()

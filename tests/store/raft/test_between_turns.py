"""What may happen to a member while a sync of its log runs in a thread, and what must wait."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from store.raft import FaultyDisk, RaftError, RaftNode
from tests.store.raft.cluster import Cluster, eventually
from tests.store.raft.simulated import SimulatedCluster


def slow(node: RaftNode, delay_s: float) -> None:
    assert isinstance(node.disk, FaultyDisk)
    node.disk.faults.slow(delay_s)


def watch_syncs(node: RaftNode) -> list[str]:
    """Notes what touched the log of this member from outside while a sync of it ran."""
    replica, syncing, intruders = node._replica, [False], list[str]()
    sync = replica.sync

    def watched_sync() -> None:
        syncing[0] = True
        sync()
        syncing[0] = False

    replica.sync = watched_sync  # type: ignore[method-assign]
    for name in ("install_received", "snapshot_taken"):
        method = getattr(replica, name)

        def watched(*arguments: object, name: str = name, method: object = method) -> None:
            if syncing[0]:
                intruders.append(name)
            method(*arguments)  # type: ignore[operator]

        setattr(replica, name, watched)
    return intruders


async def test_snapshots_wait_for_a_running_sync(cluster: Cluster) -> None:
    """Their end changes the log: entries appended meanwhile would be lost between two lists."""
    cluster.settings = {"snapshot_count": 5, "catch_up_entries": 0}
    await cluster.start()
    leader = await cluster.leader()
    intruders = watch_syncs(leader)
    slow(leader, 0.02)
    for number in range(60):
        await asyncio.gather(*(leader.propose(b"%d" % (4 * number + each)) for each in range(4)))
    assert leader.status().snapshot_index > 0
    assert not intruders
    slow(leader, 0.0)
    assert len(await cluster.converged()) == 240


async def test_a_leader_whose_sync_outlasts_the_election_timeout_steps_down(cluster: Cluster) -> None:
    await cluster.start()
    leader = await cluster.leader()
    term, name = leader.status().term, leader.status().name
    slow(leader, 0.8)  # the election timeout is 0.5
    for _ in range(3):
        with suppress(RaftError):
            await leader.propose(b"late", timeout_s=1.0)
        if leader.status().term > term:
            break
    await eventually(lambda: cluster.leader_name not in (None, name), "another leader")
    slow(leader, 0.0)
    other = await cluster.leader()
    assert other.status().term > term
    await other.propose(b"after")
    assert (await cluster.converged())[-1] == b"after"


def test_heartbeats_leave_while_the_leader_syncs() -> None:
    cluster = SimulatedCluster("ABC")
    a = cluster.elect("A")
    cluster.settle()
    a.propose(b"X")
    a.replica.step()
    cluster.deliver()
    assert a.replica.must_sync, "and while it does, nothing else happens to it"
    commit = a.core.commit
    a.replica.heartbeat()
    assert cluster.queues["A", "B"]
    assert cluster.queues["A", "C"]
    for name in "BC":
        cluster.members[name].turn()
        cluster.deliver([("A", name)])
        cluster.members[name].turn()
        assert cluster.members[name].core.commit == commit, "it counts only what it has synced"

"""The engine as its users see it: three members with real connections and disks."""

from __future__ import annotations

import asyncio
import time

import pytest

from store.raft import NotLeader, ReadTimeout
from tests.store.raft.cluster import Cluster, eventually


async def test_every_member_takes_proposals_and_answers_from_its_own_state(cluster: Cluster) -> None:
    await cluster.start()
    await cluster.leader()
    for number, (name, node) in enumerate(cluster.nodes.items(), start=1):
        assert await node.propose(name.encode()) == number
        assert name.encode() in cluster.machines[name].commands
    assert await cluster.converged() == [b"a", b"b", b"c"]


async def test_a_read_index_waits_for_what_was_committed_before(cluster: Cluster) -> None:
    await cluster.start()
    leader, follower = await cluster.leader(), await cluster.follower()
    for number in range(20):
        await leader.propose(b"%d" % number)
        index = await follower.read_index()
        assert follower.status().applied_index >= index >= leader.status().commit_index - 1
        held = cluster.machines[follower.status().name].commands
        assert held[-1] == b"%d" % number


async def test_all_members_restart_with_all_that_was_acknowledged(cluster: Cluster) -> None:
    await cluster.start()
    leader = await cluster.leader()
    await asyncio.gather(*(leader.propose(b"%d" % number) for number in range(100)))
    await cluster.stop()
    await cluster.start()
    node = await cluster.follower()
    await node.read_index()
    assert sorted(await cluster.converged()) == sorted(b"%d" % number for number in range(100))


async def test_stopping_the_leader_hands_over_at_once(cluster: Cluster) -> None:
    await cluster.start()
    leader = (await cluster.leader()).status().name
    began = time.monotonic()
    await cluster.stop(leader)
    survivor = next(iter(cluster.nodes.values()))
    await survivor.propose(b"x")
    assert time.monotonic() - began < 0.5


async def test_without_a_quorum_proposals_and_reads_time_out_with_the_right_error(cluster: Cluster) -> None:
    await cluster.start("a")
    with pytest.raises(NotLeader):
        await cluster.nodes["a"].propose(b"x", timeout_s=0.2)
    with pytest.raises(ReadTimeout):
        await cluster.nodes["a"].read_index(timeout_s=0.2)
    await cluster.start("b")
    await cluster.nodes["a"].propose(b"y")
    assert await cluster.converged() == [b"y"]


async def test_leadership_is_announced_after_the_first_own_entry_and_on_loss(cluster: Cluster) -> None:
    await cluster.start()
    leader = await cluster.leader()
    heard: list[bool] = []
    follower = await cluster.follower()
    leader.on_leadership(heard.append)
    follower.on_leadership(heard.append)
    await leader.transfer_leadership(follower.status().member_id)
    await eventually(lambda: len(heard) == 2, "both callbacks")
    assert sorted(heard) == [False, True]
    assert await cluster.leader() is follower

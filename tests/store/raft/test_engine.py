"""The engine as its users see it: three members with real connections and disks."""

from __future__ import annotations

import asyncio
import time

import pytest

from store.raft import Member, NotLeader, RaftNode, ReadTimeout
from tests.store.raft.cluster import Cluster, eventually, free_port


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


@pytest.mark.parametrize("history", [3, 120], ids=["by log", "by snapshot"])
async def test_a_fourth_member_is_added_as_learner_joins_and_is_promoted(
    cluster: Cluster, history: int
) -> None:
    cluster.settings = {"snapshot_count": 50, "catch_up_entries": 5}
    await cluster.start()
    leader = await cluster.leader()
    for number in range(history):
        await leader.propose(b"%d" % number)
    cluster.urls["d"] = [f"https://127.0.0.1:{free_port()}"]
    # as `etcdctl member add` does it: the name is not known until the member starts
    await leader.add_member(Member(77, "", tuple(cluster.urls["d"]), (), is_learner=True))
    await cluster.start("d", existing=True, advertise_client_urls=["https://d:1"])
    node = cluster.nodes["d"]
    assert len(await cluster.converged()) == history
    assert node.status().role == "learner"
    await eventually(lambda: _member(leader, 77).client_urls, "it says where its clients reach it")
    assert _member(leader, 77).name == "d"
    assert await node.propose(b"through the learner") == history + 1
    await leader.promote_member(77)
    await eventually(lambda: node.status().role == "follower", "it votes")
    await cluster.stop("d")
    await cluster.start("d")
    assert (await cluster.converged())[-1] == b"through the learner"
    await leader.remove_member(77)
    assert len(leader.status().members) == 3


def _member(node: RaftNode, member_id: int) -> Member:
    return next(each for each in node.status().members if each.id == member_id)

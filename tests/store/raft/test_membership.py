"""Members and their changes: etcd's ids, one change at a time, learners, removal of the leader."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.raft import MembershipError, Role
from store.raft.config import Join
from store.raft.interface import Member
from store.raft.membership import Change, Membership, Operation, cluster_id, member_id
from tests.store.raft.simulated import SimulatedCluster, SimulatedMember, ident, small, url


def member(name: str, learner: bool = False) -> Member:
    return Member(ident(name), name, tuple(url(name)), (), learner)


MEMBERS = Membership({ident(name): member(name) for name in "ABC"} | {ident("L"): member("L", True)})


def test_ids_are_etcds() -> None:
    """What every etcd that is started without flags calls itself and its cluster."""
    first = member_id(["http://localhost:2380"], "etcd-cluster")
    assert f"{first:x}" == "8e9e05c52164694d"
    assert f"{cluster_id([first]):x}" == "cdf818194e3a8c32"
    assert member_id(["b", "a"], "t") == member_id(["a", "b"], "t")
    assert cluster_id([2, 1]) == cluster_id([1, 2])


@pytest.mark.parametrize(
    ("operation", "who", "why"),
    [
        (Operation.ADD, member("A"), "member ID already exist"),
        (Operation.ADD, replace(member("X"), peer_urls=tuple(url("A"))), "peer URLs already exist"),
        (Operation.ADD, replace(member("X"), name="A"), "named 'A'"),
        (Operation.REMOVE, member("X"), "member not found"),
        (Operation.PROMOTE, member("A"), "can only promote a learner member"),
        (Operation.UPDATE, replace(member("A"), peer_urls=tuple(url("B"))), "peer URLs already exist"),
    ],
)
def test_changes_that_make_no_sense(operation: Operation, who: Member, why: str) -> None:
    with pytest.raises(MembershipError, match=why):
        MEMBERS.apply(Change(operation, who))


def test_changes_and_members_survive_packing() -> None:
    change = Change(Operation.ADD, member("X", True))
    assert Change.unpack(change.pack()) == change
    assert Membership.unpack(MEMBERS.pack()) == MEMBERS
    after = MEMBERS.apply(change).apply(Change(Operation.PROMOTE, member("L")))
    assert after.learners == {ident("X")}
    assert after.voters == {ident(name) for name in "ABCL"}


def join(cluster: SimulatedCluster, name: str) -> SimulatedMember:
    leader = cluster.leader
    assert leader is not None
    known = leader.replica.membership
    cluster.names.append(name)
    joining = Join(leader.storage.cluster_id, known.sorted())
    return cluster.boot(
        name, initial_members={each.name: each.peer_urls for each in known.sorted()}, join=joining
    )


@pytest.mark.parametrize("writes_before", [5, 80], ids=["by log", "by snapshot"])
def test_a_learner_catches_up_is_promoted_and_counts(writes_before: int) -> None:
    cluster = SimulatedCluster("ABC", snapshot_count=20, catch_up_entries=2, limits=small())
    a = cluster.elect("A")
    for number in range(writes_before):
        a.propose(b"%d" % number)
        cluster.run(0.04)
    added = a.change(Change(Operation.ADD, member("D", True)))
    cluster.run(0.5)
    assert added.succeeded
    early = a.change(Change(Operation.PROMOTE, member("D")))
    cluster.run(0.2)
    assert "in sync with leader" in str(early.error)
    d = join(cluster, "D")
    cluster.run(5)
    assert d.machine.commands == a.machine.commands
    assert d.replica.status().role == Role.LEARNER
    assert d.replica.membership == a.replica.membership
    promoted = a.change(Change(Operation.PROMOTE, member("D")))
    cluster.run(1)
    assert promoted.succeeded
    assert d.core.term == a.core.term
    cluster.kill("B")
    cluster.kill("C")
    cluster.run(3)
    assert cluster.leader is None, "two of four are no quorum"


def test_a_joiner_gets_a_snapshot_that_knows_its_leader() -> None:
    cluster = SimulatedCluster("AB", snapshot_count=20, catch_up_entries=0, limits=small())
    leader = cluster.elect("A")
    for number in range(30):
        leader.propose(b"%d" % number)
        cluster.run(0.04)
    for name in "CD":
        added = leader.change(Change(Operation.ADD, member(name, True)))
        cluster.run(0.5)
        assert added.succeeded
        joined = join(cluster, name)
        cluster.run(3)
        assert joined.core.applied == leader.core.commit
        promoted = leader.change(Change(Operation.PROMOTE, member(name)))
        cluster.run(1)
        assert promoted.succeeded, promoted.error
        leader = cluster.elect(name)  # of whom the others' snapshots know nothing


def test_a_learner_neither_votes_itself_up_nor_counts() -> None:
    cluster = SimulatedCluster("ABC")
    a = cluster.elect("A")
    a.change(Change(Operation.ADD, member("D", True)))
    cluster.run(0.5)
    d = join(cluster, "D")
    cluster.run(1)
    cluster.kill("B")
    cluster.kill("C")
    outcome = a.propose(b"x")
    cluster.run(10)
    assert not outcome.succeeded
    assert not d.core.is_leader
    assert cluster.leader is None


def test_removing_the_leader_makes_the_others_elect_one() -> None:
    cluster = SimulatedCluster("ABC")
    a = cluster.elect("A")
    removed = a.change(Change(Operation.REMOVE, member("A")))
    cluster.run(5, until=lambda: any(cluster.members[name].core.is_leader for name in "BC"))
    assert removed.succeeded
    assert a.replica.removed
    assert not a.core.is_leader
    leader = cluster.leader
    assert leader is not None
    outcome = leader.propose(b"x")
    cluster.run(1)
    assert outcome.succeeded
    assert leader.replica.membership.voters == {ident("B"), ident("C")}


def test_the_one_that_stays_of_two_goes_on_alone_after_a_crash() -> None:
    cluster = SimulatedCluster("AB")
    cluster.elect("A")
    removed = cluster.members["B"].change(Change(Operation.REMOVE, member("A")))
    cluster.run(5, until=lambda: removed.done)
    assert removed.succeeded
    cluster.kill("A")
    alone = cluster.boot("B", cluster.kill("B"))
    cluster.run(5, until=lambda: alone.core.is_leader)


def test_members_are_remembered_across_restarts_and_snapshots() -> None:
    cluster = SimulatedCluster("ABC", snapshot_count=10, catch_up_entries=0)
    a = cluster.elect("A")
    changed = a.change(Change(Operation.UPDATE, replace(member("B"), peer_urls=("https://elsewhere:2380",))))
    published = a.change(Change(Operation.PUBLISH, replace(member("A"), client_urls=("https://a:2379",))))
    cluster.run(1)
    assert changed.succeeded
    for number in range(25):
        a.propose(b"%d" % number)
        cluster.run(0.1)
    again = cluster.boot("A", cluster.kill("A"))
    cluster.run(3)
    assert again.replica.membership.members[ident("B")].peer_urls == ("https://elsewhere:2380",)
    assert published.done


def test_a_change_that_would_cost_the_quorum_is_refused() -> None:
    cluster = SimulatedCluster("ABC")
    a = cluster.elect("A")
    cluster.kill("C")
    cluster.run(0.5)
    for change in (Change(Operation.ADD, member("D")), Change(Operation.REMOVE, member("B"))):
        outcome = a.change(change)
        cluster.run(0.5)
        assert "not enough started members" in str(outcome.error)
    replaced = a.change(Change(Operation.REMOVE, member("C")))
    cluster.run(0.5)
    assert replaced.succeeded, "the dead one may go"


def test_a_cluster_grows_from_one_to_three_and_back() -> None:
    cluster = SimulatedCluster("A")
    a = cluster.members["A"]
    cluster.run(3, until=lambda: cluster.leader is a)
    for name in "BC":
        assert _succeeds(cluster, a, Change(Operation.ADD, member(name)))
        join(cluster, name)
        cluster.run(2)
    assert len(a.replica.membership.voters) == 3
    write = a.propose(b"x")
    cluster.run(1)
    assert write.succeeded
    for name in "BC":
        cluster.run(1)
        assert _succeeds(cluster, a, Change(Operation.REMOVE, member(name)))
        cluster.kill(name)
    write = a.propose(b"y")
    cluster.run(1)
    assert write.succeeded
    assert a.core.is_leader


def _succeeds(cluster: SimulatedCluster, leader: SimulatedMember, change: Change) -> bool:
    outcome = leader.change(change)
    cluster.run(1)
    return outcome.succeeded

"""What is not sent, waited for or done twice: the economies of the hot path, and what they must not cost."""

from __future__ import annotations

from tests.store.raft.simulated import SimulatedCluster, SimulatedMember

DELAY_S = 0.002


def three() -> tuple[SimulatedCluster, SimulatedMember]:
    cluster = SimulatedCluster("ABC")
    leader = cluster.elect("A")
    cluster.settle()
    return cluster, leader


def commit_one(cluster: SimulatedCluster, leader: SimulatedMember) -> int:
    """A proposal of the leader's own, acknowledged by both; returns its index."""
    outcome = leader.propose(b"x")
    leader.turn()
    cluster.deliver()
    for name in "BC":
        cluster.members[name].turn()
    cluster.deliver()
    leader.turn()
    assert outcome.succeeded
    return leader.core.commit


def test_a_commit_travels_with_the_next_entries() -> None:
    cluster, a = three()
    first = commit_one(cluster, a)
    assert not cluster.deliver(), "no message for it alone"
    commit_one(cluster, a)
    assert [cluster.members[name].core.commit for name in "BC"] == [first, first]


def test_without_further_entries_a_commit_is_told_a_moment_later() -> None:
    cluster, a = three()
    index = commit_one(cluster, a)
    assert a.replica.wake_at <= cluster.now + DELAY_S
    cluster.now += DELAY_S
    a.turn()
    cluster.deliver()
    for name in "BC":
        cluster.members[name].turn()
        assert cluster.members[name].core.applied == index
    assert a.replica.wake_at > cluster.now + DELAY_S


def test_a_follower_that_waits_for_its_proposal_hears_of_the_commit_at_once() -> None:
    cluster, a = three()
    b = cluster.members["B"]
    outcome = b.propose(b"x")
    for name in ("B", "A", "B", "A", "B"):  # forwarded, appended, acknowledged, committed, told
        cluster.members[name].turn()
        cluster.deliver()
    assert outcome.succeeded
    assert cluster.members["C"].core.commit < a.core.commit, "the other one can wait"


def test_a_late_acknowledgement_takes_no_turn_of_its_own() -> None:
    cluster, a = three()
    wakes: list[None] = []
    a.replica._wake = lambda: wakes.append(None)
    a.propose(b"x")
    a.turn()
    cluster.deliver()
    for name in "BC":
        cluster.members[name].turn()
    cluster.deliver([("B", "A")])
    assert len(wakes) == 1
    a.turn()
    cluster.deliver([("C", "A")])
    assert len(wakes) == 1, "the entry is committed already"
    cluster.now += 0.1
    a.turn()
    assert a.core.match(cluster.members["C"].id) == a.log[-1][1]


def test_a_read_wakes_the_leader_with_its_last_acknowledgement() -> None:
    cluster, a = three()
    a.read()
    a.turn()
    cluster.deliver()
    cluster.members["B"].turn()
    wakes: list[None] = []
    a.replica._wake = lambda: wakes.append(None)
    cluster.deliver([("B", "A")])
    assert wakes


def test_what_is_committed_is_answered_ahead_of_the_next_sync_and_what_is_not_is_not() -> None:
    cluster, a = three()
    first = a.propose(b"1")
    a.turn()
    cluster.deliver()
    cluster.members["B"].turn()
    cluster.deliver()
    second = a.propose(b"2")
    a.replica.step()
    assert a.replica.must_sync
    assert a.replica.sent_early
    assert a.replica.apply_ahead()
    assert first.succeeded
    assert not second.done
    assert not a.replica.apply_ahead()


def test_nothing_is_applied_ahead_that_is_not_durable_here() -> None:
    """A follower may learn of a commit with the very entries that are committed."""
    cluster, a = three()
    cluster.cut |= {("A", "C")}
    commit_one_by = a.propose(b"x")
    cluster.run(0.5, ["A", "B"])
    assert commit_one_by.succeeded
    cluster.heal()
    c = cluster.members["C"]
    a.replica.core.set_next(c.id, c.core.log.last_index + 1)
    a.propose(b"y")
    a.turn()
    cluster.deliver([("A", "C")])
    c.replica.step()
    assert c.core.commit > c.core.log.synced_index
    assert not c.replica.apply_ahead()

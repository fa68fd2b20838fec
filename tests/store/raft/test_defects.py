"""Stock pysyncobj's defects, each as a scenario that the engine must survive.

The same scenarios on the unmodified package are in `test_stock_defects`: there they lose or double writes.

| defect | test here |
|---|---|
| B1 snapshot pieces commit a divergent tail | test_b1 |
| B2 a repeated append undoes acknowledged entries | test_b2 |
| B3 an acknowledgement of an earlier term counts | test_b3 |
| B4 a dump newer than the journal clears it | test_b4 |
| B5 two writers share one temporary file | test_b5 |
| B6 compaction clears and appends again in place | test_wal: crash at any step |
| B7 an exception in a callback or a command re-applies | test_b7 |
| S1 pickle from strangers | test_s1, test_transport, test_codec |
| S2 no fsync, no checksum | test_s2, test_wal, test_snapshot |
| S3 no pre-vote, check-quorum or read index | test_s3_* |
| S4 overlapping changes of members | test_s4 |
| S5 a retry is applied twice, an answer never comes | test_s5_* |
| S6 one message per 0.1 s, or per command | test_s6 |
| S7 a dump stalls the loop | test_snapshot |
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

import store.raft
from store.raft import MembershipError
from store.raft.codec import Message, decode
from store.raft.errors import ProtocolError
from store.raft.interface import Member
from store.raft.membership import Change, Operation
from tests.store.raft.memory_disk import PowerLoss
from tests.store.raft.simulated import Outcome, SimulatedCluster, SimulatedMember, ident, small, url


def test_b1_a_snapshot_commits_nothing_of_a_divergent_tail() -> None:
    cluster = SimulatedCluster("ABC", snapshot_count=20, catch_up_entries=0, limits=small())
    a = cluster.elect("A")
    cluster.isolate("A")
    lost = [a.propose(b"lost%d" % number) for number in range(5)]
    a.turn()
    assert a.log[-1][2] == a.core.term
    b = cluster.elect("B")
    for number in range(60):
        b.propose(b"new%d" % number)
        cluster.run(0.1, "BC")
    assert b.core.log.base_index > a.core.log.last_index, "A must need a snapshot"
    cluster.heal()
    cluster.run(5)
    assert a.machine.commands == b.machine.commands
    assert not any(outcome.succeeded for outcome in lost)
    assert not any(command.startswith(b"lost") for command in b.machine.commands)


def test_b2_a_repeated_append_drops_nothing() -> None:
    cluster = SimulatedCluster("ABC", limits=small())
    a, b = cluster.elect("A"), cluster.members["B"]
    copies: list[bytes] = []
    outcomes = []
    for number in range(50):
        outcomes.append(a.propose(b"w%d" % number + bytes(200)))
        a.turn()
        copies += cluster.queues["A", "B"]
        cluster.run(0.04)
    assert all(outcome.succeeded for outcome in outcomes)
    end = b.core.log.last_index
    for body in copies:
        b.replica.on_message(a.id, decode(body))
        b.turn()
        assert b.core.log.last_index == end
    cluster.kill("A")
    cluster.elect("B")
    cluster.run(1)
    assert len(b.machine.commands) == 50


def test_b3_an_acknowledgement_counts_in_its_own_term_only() -> None:
    cluster = SimulatedCluster("ABCDE", limits=small())
    a, b = cluster.elect("A"), cluster.members["B"]
    for peer in "CDE":
        cluster.cut |= {("A", peer), (peer, "A")}
    cluster.held.add(("B", "A"))
    for number in range(6):
        a.propose(b"first%d" % number)
        a.turn()
        cluster.deliver([("A", "B")])
        b.turn()
    assert cluster.queues["B", "A"], "B's acknowledgements are on the way"
    cluster.cut |= {pair for peer in "ACDE" for pair in (("B", peer), (peer, "B"))}
    cluster.cut -= {(x, y) for x in "ACDE" for y in "ACDE"}
    late = list(cluster.queues["B", "A"])
    cluster.queues["B", "A"].clear()
    cluster.elect("C")
    cluster.run(1)
    a = cluster.elect("A")
    for peer in "CE":
        cluster.cut |= {("A", peer), (peer, "A")}
    outcomes = [a.propose(b"second%d" % number) for number in range(4)]
    for _ in range(4):
        cluster.run(0.04, "AD")
    for body in late:
        a.replica.on_message(b.id, decode(body))
    cluster.run(0.1, "AD")
    assert not any(outcome.succeeded for outcome in outcomes)


def test_b4_power_loss_of_all_at_any_step_of_a_snapshot_loses_nothing() -> None:
    for step in range(1, 200, 2):
        cluster = SimulatedCluster("ABC", snapshot_count=10, catch_up_entries=3, limits=small())
        a = cluster.elect("A")
        outcomes = _write_until_power_fails(cluster, a, step)
        disks = {name: cluster.kill(name) for name in "ABC"}
        acknowledged = [command for command, outcome in outcomes if outcome.succeeded]
        for name, disk in disks.items():
            cluster.boot(name, disk)
        cluster.run(10, until=lambda cluster=cluster: cluster.leader is not None)
        cluster.run(2)
        leader = cluster.leader
        assert leader is not None
        assert [each for each in acknowledged if leader.machine.counts[each] != 1] == [], (
            f"at operation {step}"
        )
        assert len({tuple(each.machine.commands) for each in cluster.members.values()}) == 1


def _write_until_power_fails(
    cluster: SimulatedCluster, leader: SimulatedMember, step: int
) -> list[tuple[bytes, Outcome]]:
    first = leader.disk.operations

    def fail(number: int, name: str) -> None:
        if number == first + step:
            raise PowerLoss

    outcomes = []
    leader.disk.before = fail
    try:
        for number in range(60):
            command = b"%d" % number
            outcomes.append((command, leader.propose(command)))
            cluster.run(0.06)
    except PowerLoss:
        pass
    return outcomes


def test_b5_what_a_dead_writer_left_aside_is_removed_and_never_read() -> None:
    cluster = SimulatedCluster("A", snapshot_count=5)
    a = cluster.members["A"]
    directory = a.config.data_dir / "member" / "snap"
    cluster.run(3, until=lambda: cluster.leader is a)
    for name in ("x.tmp", "y.part"):
        a.disk.create(directory / name).write(b"half a snapshot")
    a.disk.sync_dir(directory)
    for number in range(7):
        a.propose(b"%d" % number)
        cluster.run(0.1)
    disk = cluster.kill("A")
    a = cluster.boot("A", disk)
    assert all(name.endswith(".snap") for name in disk.list(directory))
    cluster.run(3, until=lambda: cluster.leader is a)
    cluster.run(0.2)
    assert a.machine.commands == [b"%d" % number for number in range(7)]


def test_b7_an_exception_of_the_state_machine_stops_the_member_and_repeats_nothing() -> None:
    cluster = SimulatedCluster("ABC")
    a = cluster.elect("A")
    a.propose(b"before")
    cluster.run(0.5)
    a.propose(b"boom")
    with pytest.raises(RuntimeError, match="boom"):
        cluster.run(0.5)
    assert all(each.machine.commands == [b"before"] for each in cluster.members.values())


def test_s1_nothing_unpickles() -> None:
    package = Path(store.raft.__file__).parent
    for path in package.glob("*.py"):
        assert not re.search(r"^\s*(import|from) pickle|pickle\.load", path.read_text(), re.MULTILINE), path
    with pytest.raises(ProtocolError):
        decode(pickle.dumps({"type": "append_entries"}))


def test_s2_nothing_is_promised_before_it_is_synced() -> None:
    """Votes, candidacies and acknowledgements leave only when all that was appended before is on the disk."""
    cluster = SimulatedCluster("ABC")
    promises = {"request_vote", "response_vote", "next_node_idx", "pre_vote_reply", "read_reply"}
    checked = set()

    def watch(member: SimulatedMember) -> None:
        transmit = member.replica.outbox.transmit

        def send(peer: int, message: Message) -> bool:
            if message["type"] in promises:
                checked.add(message["type"])
                assert not member.replica.must_sync, message
            if message["type"] == "append_entries":
                assert not member.core.log.promised, "a term that is not on the disk"
                assert message["commit_index"] <= member.core.log.synced_index
            return transmit(peer, message)

        member.replica.outbox.transmit = send

    for member in cluster.members.values():
        watch(member)
    cluster.run(5, until=lambda: cluster.leader is not None)
    for number in range(20):
        cluster.members["ABC"[number % 3]].propose(b"%d" % number)
        cluster.members["ABC"[number % 3]].read()
        cluster.run(0.1)
    assert checked == promises


def test_s3_a_member_that_was_cut_off_comes_back_without_disturbing_the_leader() -> None:
    cluster = SimulatedCluster("ABC")
    a, c = cluster.elect("A"), cluster.members["C"]
    term = a.core.term
    cluster.isolate("C")
    cluster.run(30)
    assert c.core.term == term, "pre-vote: no term is raised alone"
    cluster.heal()
    cluster.run(5)
    assert cluster.leader is a
    assert a.core.term == term


def test_s3_a_leader_without_a_quorum_steps_down_and_answers_no_read() -> None:
    cluster = SimulatedCluster("ABC")
    a = cluster.elect("A")
    cluster.isolate("A")
    read, write = a.read(), a.propose(b"x")
    cluster.run(0.5)
    assert not read.done
    cluster.run(2.5)
    assert not a.core.is_leader
    b = cluster.leader
    assert b is not None
    after = b.propose(b"y")
    cluster.run(1)
    assert after.succeeded
    cluster.heal()
    cluster.run(3)
    assert read.succeeded
    assert read.result >= b.core.applied - 1, "the read saw the later leader's write"
    assert write.succeeded, "proposed again to the next leader"
    assert a.machine.commands == [b"y", b"x"]


def test_s3_a_deposed_leader_that_slept_answers_no_stale_read() -> None:
    """The SIGSTOP case: it wakes up believing that it leads, with old acknowledgements in its sockets."""
    cluster = SimulatedCluster("ABC")
    a = cluster.elect("A")
    cluster.run(0.5)
    cluster.run(10, "BC", until=lambda: any(cluster.members[each].core.is_leader for each in "BC"))
    b = cluster.leader
    assert b is not None
    outcome = b.propose(b"new")
    cluster.run(1, "BC")
    assert outcome.succeeded
    read = a.read()
    a.turn()
    assert a.core.is_leader or a.core.term == b.core.term
    cluster.run(3)
    assert read.succeeded
    assert b"new" in a.machine.commands[: a.core.applied]
    assert read.result >= b.core.noop_index


def test_s4_one_change_of_members_at_a_time() -> None:
    cluster = SimulatedCluster("ABC")
    a = cluster.elect("A")
    cluster.isolate("A")
    changes = [Change(Operation.ADD, Member(ident(x), x, tuple(url(x)), (), True)) for x in "DE"]
    changes.append(Change(Operation.REMOVE, Member(ident("B"), "B", tuple(url("B")), ())))
    outcomes = [a.change(change) for change in changes]
    a.turn()
    assert a.core.peers.keys() == {ident("B"), ident("C")}, "nothing applies before it is committed"
    cluster.heal()
    cluster.run(2)
    assert outcomes[0].succeeded
    for outcome in outcomes[1:]:
        assert isinstance(outcome.error, MembershipError)
        assert "in progress" in str(outcome.error)


def test_s5_a_forwarded_proposal_whose_leader_changes_is_applied_once() -> None:
    for delay in range(12):
        cluster = SimulatedCluster("ABC", seed=delay)
        cluster.elect("A")
        b = cluster.members["B"]
        outcome = b.propose(b"X")
        for turn in range(delay):
            cluster.now += 0.02
            for name in "ABC":
                cluster.members[name].turn()
                cluster.deliver(count=turn + 1)
        cluster.isolate("A")
        cluster.elect("C")
        cluster.run(3)
        cluster.heal()
        cluster.run(5)
        assert outcome.succeeded, "it was in the log, or it was proposed again"
        for member in cluster.members.values():
            assert member.machine.counts[b"X"] == 1, f"after {delay} deliveries, {outcome.error!r}"


def test_s5_duplicated_messages_apply_nothing_twice() -> None:
    cluster = SimulatedCluster("ABC")
    cluster.elect("A")
    cluster.duplicate = True
    outcomes = []
    for number in range(30):
        outcomes.append(cluster.members["ABC"[number % 3]].propose(b"%d" % number))
        cluster.run(0.06)
    cluster.run(1)
    assert all(outcome.succeeded for outcome in outcomes)
    for member in cluster.members.values():
        assert set(member.machine.counts.values()) == {1}


def test_s5_a_forwarded_proposal_lost_with_the_connection_is_answered() -> None:
    cluster = SimulatedCluster("ABC")
    cluster.elect("A")
    b = cluster.members["B"]
    for lost in ((("B", "A"),), (("A", "B"),)):  # the proposal itself, or all that came after it
        before = b.machine.counts[b"X"]
        outcome = b.propose(b"X", timeout_s=2)
        b.turn()
        if lost == (("A", "B"),):
            cluster.deliver()
            cluster.members["A"].turn()
        for link in lost:
            cluster.queues[link].clear()
        for one, other in (("A", "B"), ("B", "A")):
            cluster.members[one].replica.on_disconnected(ident(other))
            cluster.members[one].replica.on_connected(ident(other))
        cluster.run(3)
        assert outcome.succeeded, outcome.error
        assert b.machine.counts[b"X"] == before + 1


def test_s6_all_proposals_of_a_turn_are_one_entry_and_leave_in_that_turn() -> None:
    cluster = SimulatedCluster("ABC")
    a = cluster.elect("A")
    cluster.settle()
    end = a.core.log.last_index
    syncs = a.disk.syncs
    outcomes = [a.propose(b"%d" % number) for number in range(64)]
    a.turn()
    assert a.core.log.last_index == end + 1
    assert a.disk.syncs == syncs + 1
    assert len(cluster.queues["A", "B"]) == 1
    cluster.deliver()
    for name in "BC":
        cluster.members[name].turn()
    cluster.deliver()
    a.turn()
    assert all(outcome.succeeded for outcome in outcomes), "one round trip, without a tick in between"
    assert [outcome.result for outcome in outcomes] == list(range(1, 65))


def test_a_vote_counts_once() -> None:
    cluster = SimulatedCluster("ABCDE")
    cluster.run(5, until=lambda: cluster.leader is not None)
    cluster.duplicate = True
    leader = cluster.leader
    assert leader is not None
    cluster.isolate(leader.name)
    cluster.run(10)
    terms = {each.core.term: each.name for each in cluster.members.values() if each.core.is_leader}
    assert len(terms) == 1


def test_an_answer_to_an_earlier_process_of_the_member_confirms_no_read() -> None:
    """The leader still holds the request of a follower that was killed and is back."""
    cluster = SimulatedCluster("ABC")
    a, c = cluster.elect("A"), cluster.members["C"]
    cluster.settle()
    cluster.held |= {("C", "A")}
    before = cluster.members["B"]
    before.read()
    before.turn()
    cluster.deliver([("B", "A")])
    a.turn()
    b = cluster.boot("B", cluster.kill("B"))
    cluster.held = {("A", "B")}
    write = a.propose(b"new")
    for member in (a, c, a):
        member.turn()
        cluster.deliver()
    assert write.succeeded
    cluster.held = set()
    cluster.deliver([("A", "B")], count=1)
    b.turn()
    assert b.core.leader == a.id
    read = b.read()
    b.turn()
    late = [body for body in cluster.queues["A", "B"] if decode(body)["type"] == "read_reply"]
    assert late, "the answer to the earlier process overtakes the news of the commit"
    b.replica.on_message(a.id, decode(late[0]))
    b.turn()
    assert not read.done
    cluster.run(1)
    assert read.succeeded
    assert b"new" in b.machine.commands

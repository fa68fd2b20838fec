"""The service over an engine that applies at once: quota, alarms, leases, failures and their codes."""

from __future__ import annotations

import pytest

from store.api import commands as c
from store.api import messages as m
from store.api.errors import from_raft
from store.api.leases import LeaseKeeper
from store.api.machine import StoreMachine
from store.api.service import Limits, StoreService
from store.mvcc.errors import Code, NoSpace, RequestError
from store.mvcc.messages import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)
from store.raft import interface as raft

from .doubles import MEMBER_ID, InstantEngine


class Fixture:
    def __init__(self, limits: Limits | None = None) -> None:
        self.now = 0.0
        self.leases = LeaseKeeper(lambda: self.now)
        self.machine = StoreMachine(self.leases)
        self.engine = InstantEngine(self.machine)
        self.service = StoreService(self.engine, self.machine, self.leases, limits)


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


async def test_the_quota_raises_an_alarm_and_there_is_a_way_out() -> None:
    fixture = Fixture(Limits(quota_bytes=2000))
    service = fixture.service
    for number in range(8):
        try:
            await service.put(PutRequest(b"%d" % number, b"x" * 400))
        except NoSpace:
            break
    else:
        raise AssertionError("the quota has no effect")
    assert fixture.machine.alarms == {(MEMBER_ID, "NOSPACE")}
    for refused in (
        service.put(PutRequest(b"k", b"")),
        service.txn(TxnRequest(failure=[RequestOp(request_put=PutRequest(b"k"))])),
        service.lease_grant(0, 10),
    ):
        with pytest.raises(NoSpace):
            await refused
    await service.delete_range(DeleteRangeRequest(b"\x00", b"\x00"))
    await service.compact(CompactionRequest(service.machine.store.revision, physical=True))
    assert service.machine.store.size_bytes < 2000
    with pytest.raises(NoSpace):
        await service.put(PutRequest(b"k", b""))  # until the alarm is taken back, as in etcd
    await service.alarm(m.AlarmRequest("DEACTIVATE", MEMBER_ID, "NOSPACE"))
    await service.put(PutRequest(b"k", b""))


async def test_alarms_are_listed_and_told_in_the_status(fixture: Fixture) -> None:
    await fixture.service.alarm(m.AlarmRequest("ACTIVATE", 7, "CORRUPT"))
    listed = await fixture.service.alarm(m.AlarmRequest())
    assert listed.alarms == [m.AlarmMember(7, "CORRUPT")]
    assert fixture.service.status().errors == ["memberID:7 alarm:CORRUPT "]
    with pytest.raises(RequestError, match="corrupt cluster"):
        await fixture.service.range(RangeRequest(b"k"))
    await fixture.service.alarm(m.AlarmRequest("DEACTIVATE"))
    assert fixture.machine.alarms == set()


FAILURES = {
    "no leader": (raft.NotLeader(), Code.UNAVAILABLE, "etcdserver: no leader"),
    "dropped": (raft.ProposalDropped(), Code.UNAVAILABLE, "etcdserver: no leader"),
    "overload": (raft.TooManyRequests(), Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests"),
    "unknown": (raft.OutcomeUnknown(), Code.UNAVAILABLE, "etcdserver: request timed out"),
    "read timeout": (raft.ReadTimeout(), Code.UNAVAILABLE, "etcdserver: request timed out"),
    "stopped": (raft.Stopped(), Code.UNAVAILABLE, "etcdserver: server stopped"),
    "membership": (raft.MembershipError("why"), Code.FAILED_PRECONDITION, "etcdserver: why"),
}


@pytest.mark.parametrize(("failure", "code", "text"), FAILURES.values(), ids=FAILURES)
async def test_failures_of_the_engine(
    fixture: Fixture, failure: raft.RaftError, code: Code, text: str
) -> None:
    fixture.engine.failure = failure
    with pytest.raises(RequestError) as caught:
        await fixture.service.put(PutRequest(b"k", b"v"))
    assert (caught.value.code, str(caught.value)) == (code, text)
    assert str(from_raft(failure)) == text


async def test_a_serializable_read_needs_no_quorum(fixture: Fixture) -> None:
    await fixture.service.put(PutRequest(b"k", b"v"))
    fixture.engine.read_failure = raft.ReadTimeout()
    read = await fixture.service.range(RangeRequest(b"k", serializable=True))
    assert read.count == 1
    with pytest.raises(RequestError):
        await fixture.service.range(RangeRequest(b"k"))


async def test_a_large_request_is_refused_before_it_is_proposed(fixture: Fixture) -> None:
    with pytest.raises(RequestError, match="request is too large"):
        await fixture.service.put(PutRequest(b"k", b"x" * (3 * 512 * 1024)))
    assert fixture.engine.index == 0


async def test_malformed_requests_cost_no_log_entry(fixture: Fixture) -> None:
    for refused in (
        fixture.service.put(PutRequest(b"", b"v")),
        fixture.service.delete_range(DeleteRangeRequest()),
        fixture.service.txn(TxnRequest(success=[RequestOp()])),
    ):
        with pytest.raises(RequestError):
            await refused
    assert fixture.engine.index == 0


async def test_a_lease_expires_with_its_keys(fixture: Fixture) -> None:
    fixture.leases.on_leadership(fixture.machine.leases, leading=True)
    lease = await fixture.service.lease_grant(0, 5)
    await fixture.service.put(PutRequest(b"k", b"v", lease.id))
    fixture.now = 3.0
    await fixture.service.lease_keep_alive(lease.id)
    left = await fixture.service.lease_time_to_live(lease.id, keys=True)
    assert (left.ttl_s, left.granted_ttl_s, left.keys) == (5, 5, [b"k"])
    fixture.now = 7.9
    await fixture.leases._expire(fixture.engine, fixture.machine.leases)
    assert (await fixture.service.range(RangeRequest(b"k"))).count == 1
    fixture.now = 8.0
    await fixture.leases._expire(fixture.engine, fixture.machine.leases)
    assert (await fixture.service.range(RangeRequest(b"k"))).count == 0
    assert (await fixture.service.lease_time_to_live(lease.id, keys=False)).ttl_s == -1


async def test_members_are_added_and_removed(fixture: Fixture) -> None:
    added = await fixture.service.cluster.add(["https://10.0.0.1:2380"], is_learner=True)
    assert added.member is not None
    assert len(added.members) == 2
    with pytest.raises(RequestError, match="Peer URLs already exists"):
        await fixture.service.cluster.add(["https://10.0.0.1:2380"], is_learner=False)
    await fixture.service.cluster.remove(added.member.id)
    with pytest.raises(RequestError, match="member not found"):
        await fixture.service.cluster.remove(added.member.id)


def _commands() -> list[bytes]:
    txn = TxnRequest(
        success=[RequestOp(request_put=PutRequest(b"t")), RequestOp(request_put=PutRequest(b"u"))]
    )
    return [
        c.encode(each)
        for each in (
            c.LeaseGrant(5, 100),
            PutRequest(b"a", b"1", lease=5),
            PutRequest(b"b", b"2", lease=9),
            txn,
            DeleteRangeRequest(b"t"),
            CompactionRequest(3),
            c.LeaseRenew(5),
            c.LeaseGrant(6, 100),
            PutRequest(b"c", b"3", lease=6),
            c.LeaseRevoke(6),
            c.SetAlarm(3, "NOSPACE", active=True),
            PutRequest(b"d", b"4"),
        )
    ]


def test_every_member_comes_to_the_same_state_whatever_the_batches() -> None:
    one, other = Fixture().machine, Fixture().machine
    one.apply(1, _commands())
    for index, command in enumerate(_commands()):
        other.apply(index, [command])
    assert one.store.hash_at(0) == other.store.hash_at(0)
    assert list(one.snapshot().chunks()) == list(other.snapshot().chunks())


def test_a_snapshot_restores_keys_leases_and_alarms() -> None:
    machine, restored = Fixture().machine, Fixture().machine
    machine.apply(1, _commands())
    chunks = list(machine.snapshot().chunks())
    restored.restore(chunks)
    assert list(restored.snapshot().chunks()) == chunks
    assert restored.alarms == {(3, "NOSPACE")}
    assert restored.leases.dump() == machine.leases.dump()
    more = [c.encode(each) for each in (c.LeaseRevoke(5), DeleteRangeRequest(b"\x00", b"\x00"))]
    assert machine.apply(2, more)[0] == restored.apply(2, more)[0]
    assert machine.store.hash_at(0) == restored.store.hash_at(0)


def test_what_a_snapshot_replaced_is_freed_in_steps() -> None:
    machine, other = Fixture().machine, Fixture().machine
    machine.apply(1, [c.encode(PutRequest(b"%d" % number, b"v")) for number in range(10)])
    other.apply(1, _commands())
    old = machine.store
    machine.restore(list(other.snapshot().chunks()))
    assert len(old.index) == 10
    steps = 0
    while machine.release_some(4):
        steps += 1
    assert steps >= 3
    assert len(old.log) == 0
    assert machine.store.hash_at(0) == other.store.hash_at(0)


@pytest.mark.parametrize("lost", ["first", "last", "middle", "garbled"])
def test_a_damaged_snapshot_changes_nothing(lost: str) -> None:
    machine, other = Fixture().machine, Fixture().machine
    machine.apply(1, _commands())
    before = list(machine.snapshot().chunks())
    other.apply(1, [c.encode(PutRequest(b"%d" % number, b"v")) for number in range(10)])
    chunks = list(other.snapshot().chunks())
    match lost:
        case "first":
            del chunks[0:2]
        case "last":
            del chunks[-1]
        case "middle":
            del chunks[-2]
        case "garbled":
            chunks[-2] = chunks[-2][:-3]
    with pytest.raises(Exception, match=r"snapshot"):
        machine.restore(chunks)
    assert list(machine.snapshot().chunks()) == before


def test_an_unknown_command_stops_the_member() -> None:
    for command in (b"", b"\xff\x80", b"\x01\x81\xa1x\x01"):
        with pytest.raises(c.UnknownCommand):
            Fixture().machine.apply(1, [command])

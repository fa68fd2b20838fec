"""Leases: the table, the clock beside it, and the race between a renewal and an expiry."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from store.lease.clock import RETRY_S, LeaseClock
from store.lease.table import MAX_TTL_S, Lease, LeaseTable
from store.mvcc.errors import LeaseExists, LeaseNotFound, LeaseTtlTooLarge


def test_grant_and_remove() -> None:
    table = LeaseTable()
    table.grant(1, 10)
    table.attach(1, b"k")
    with pytest.raises(LeaseExists):
        table.grant(1, 10)
    assert table.remove(1).keys == {b"k"}
    with pytest.raises(LeaseNotFound):
        table.remove(1)
    with pytest.raises(LeaseTtlTooLarge):
        table.grant(2, MAX_TTL_S + 1)


def test_a_renewal_makes_an_earlier_expiry_void() -> None:
    table = LeaseTable()
    lease = table.grant(1, 10)
    seen = lease.renewals
    table.renew(1)
    assert not table.is_due(1, seen)
    assert table.is_due(1, lease.renewals)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda table: table.attach(1, b"new"), id="attach"),
        pytest.param(lambda table: table.detach(1, b"old"), id="detach"),
        pytest.param(lambda table: table.renew(1), id="renew"),
        pytest.param(lambda table: table.checkpoint(1, 5), id="checkpoint"),
        pytest.param(lambda table: table.remove(1), id="remove"),
        pytest.param(
            lambda table: (table.remove(1), table.grant(1, 20), table.attach(1, b"new")), id="replace"
        ),
        pytest.param(lambda table: table.grant(2, 10), id="grant"),
    ],
)
def test_a_dump_stays_as_it_is(change: Callable[[LeaseTable], object]) -> None:
    table = LeaseTable()
    table.grant(1, 10)
    table.attach(1, b"old")
    first = table.dump()
    change(table)
    second = table.dump()
    expected = copy.deepcopy(second)
    for lease in table.dump():
        table.renew(lease.id)
        table.attach(lease.id, b"later")
    assert first == [Lease(1, 10, keys={b"old"})]
    assert second == expected
    assert LeaseTable.load(first).find(1) == Lease(1, 10, keys={b"old"})


class Clocked:
    """A clock with three leases of 5, 10 and 1000 seconds, granted at 0."""

    def __init__(self) -> None:
        self.table = LeaseTable()
        self.clock = LeaseClock()
        for id, ttl_s in ((1, 5), (2, 10), (3, 1000)):
            self.clock.renewed(self.table.grant(id, ttl_s), now=0.0)


@pytest.fixture
def clocked() -> Clocked:
    return Clocked()


def test_leases_expire_in_order(clocked: Clocked) -> None:
    assert clocked.clock.expired(4.9) == []
    assert clocked.clock.expired(10.0) == [1, 2]


def test_an_expiry_that_failed_is_due_again(clocked: Clocked) -> None:
    assert clocked.clock.expired(5.0) == [1]
    assert clocked.clock.expired(5.0) == []
    assert clocked.clock.expired(5.0 + RETRY_S) == [1]


def test_a_renewal_moves_the_deadline(clocked: Clocked) -> None:
    clocked.clock.renewed(clocked.table.renew(1), now=4.0)
    assert clocked.clock.expired(5.0) == []
    assert clocked.clock.remaining_s(1, 5.0) == 4.0
    assert clocked.clock.expired(9.0) == [1]


def test_a_removed_lease_does_not_expire(clocked: Clocked) -> None:
    clocked.clock.removed(1)
    assert clocked.clock.expired(5.0) == []
    assert clocked.clock.next_deadline() == 10.0


def test_a_new_leader_gives_every_lease_its_time_again(clocked: Clocked) -> None:
    clocked.clock.promote(clocked.table, now=100.0)
    assert clocked.clock.expired(104.0) == []
    assert clocked.clock.expired(105.0) == [1]


def test_a_long_lease_keeps_its_checkpoint_over_a_change_of_leader(clocked: Clocked) -> None:
    assert clocked.clock.checkpoints(clocked.table, now=600.0) == [(3, 400)]
    clocked.table.checkpoint(3, 400)
    clocked.clock.promote(clocked.table, now=700.0)
    assert clocked.clock.remaining_s(3, 700.0) == 400.0
    clocked.table.renew(3)
    clocked.clock.promote(clocked.table, now=700.0)
    assert clocked.clock.remaining_s(3, 700.0) == 1000.0


def test_the_heap_does_not_grow_with_renewals(clocked: Clocked) -> None:
    for number in range(1000):
        clocked.clock.renewed(clocked.table.renew(1), now=float(number))
    assert len(clocked.clock._heap) < 100
    assert clocked.clock.next_deadline() == 10.0

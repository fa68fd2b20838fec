"""Locks and elections over an engine of one member."""

from __future__ import annotations

import asyncio

import pytest

from store.api.concurrency import Concurrency, LeaderKey, NoElectionLeader, NotElected
from store.api.leases import LeaseKeeper
from store.api.machine import StoreMachine
from store.api.service import StoreService
from store.mvcc.errors import EmptyKey, LeaseNotFound
from store.mvcc.messages import RangeRequest

from .doubles import InstantEngine


@pytest.fixture
def service() -> StoreService:
    leases = LeaseKeeper(lambda: 0.0)
    machine = StoreMachine(leases)
    return StoreService(InstantEngine(machine), machine, leases)


@pytest.fixture
def concurrency(service: StoreService) -> Concurrency:
    return Concurrency(service)


async def lease(service: StoreService) -> int:
    return (await service.lease_grant(0, 60)).id


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_lock_has_one_holder_at_a_time_in_order(
    service: StoreService, concurrency: Concurrency
) -> None:
    first = await concurrency.lock(b"l", await lease(service))
    waiting = [asyncio.create_task(concurrency.lock(b"l", await lease(service))) for _ in range(3)]
    await settle()
    held = first
    for turn in range(3):
        assert [task.done() for task in waiting] == [number < turn for number in range(3)]
        await concurrency.unlock(held)
        held = await waiting[turn]
    assert held.startswith(b"l/")


async def test_a_lock_ends_with_its_lease(service: StoreService, concurrency: Concurrency) -> None:
    mine, other = await lease(service), await lease(service)
    await concurrency.lock(b"l", mine)
    waiting = asyncio.create_task(concurrency.lock(b"l", other))
    await settle()
    await service.lease_revoke(mine)
    assert await waiting == b"l/%x" % other


async def test_who_gives_up_leaves_the_queue(service: StoreService, concurrency: Concurrency) -> None:
    first = await concurrency.lock(b"l", await lease(service))
    second = asyncio.create_task(concurrency.lock(b"l", await lease(service)))
    third = asyncio.create_task(concurrency.lock(b"l", await lease(service)))
    await settle()
    second.cancel()
    await settle()
    assert (await service.range(RangeRequest(b"l/", b"l0", count_only=True))).count == 2
    await concurrency.unlock(first)
    await asyncio.wait_for(third, 1)


async def test_the_same_lease_locks_twice_as_once(service: StoreService, concurrency: Concurrency) -> None:
    own = await lease(service)
    assert await concurrency.lock(b"l", own) == await concurrency.lock(b"l", own)


async def test_refusals(service: StoreService, concurrency: Concurrency) -> None:
    with pytest.raises(EmptyKey):
        await concurrency.lock(b"", 0)
    with pytest.raises(LeaseNotFound):
        await concurrency.lock(b"l", 4711)
    with pytest.raises(NoElectionLeader):
        await concurrency.leader(b"e")
    with pytest.raises(NotElected):
        await concurrency.proclaim(LeaderKey(b"e", b"e/1", 5, 1), b"v")


async def test_an_election_from_campaign_to_resignation(
    service: StoreService, concurrency: Concurrency
) -> None:
    leader = await concurrency.campaign(b"e", await lease(service), b"one")
    assert (await concurrency.leader(b"e")).value == b"one"
    await concurrency.proclaim(leader, b"one again")
    assert (await concurrency.leader(b"e")).value == b"one again"
    successor = asyncio.create_task(concurrency.campaign(b"e", await lease(service), b"two"))
    await settle()
    await concurrency.resign(leader)
    assert (await successor).key == (await concurrency.leader(b"e")).key
    with pytest.raises(NotElected):
        await concurrency.proclaim(leader, b"late")


async def test_observing_sees_each_leader_and_proclamation(
    service: StoreService, concurrency: Concurrency
) -> None:
    seen: list[bytes] = []

    async def observe() -> None:
        async for record in concurrency.observe(b"e"):
            seen.append(record.value)

    task = asyncio.create_task(observe())
    leader = await concurrency.campaign(b"e", await lease(service), b"one")
    await settle()
    await concurrency.proclaim(leader, b"two")
    await settle()
    await concurrency.resign(leader)
    await concurrency.campaign(b"e", await lease(service), b"three")
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert seen == [b"one", b"two", b"three"]
    assert service.machine.hub.streams == 0

"""Leader election: one at a time, and how long the next one waits. The Lease lives in the API double."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from control_plane.client.errors import ConnectionFailed, LeadershipLost
from control_plane.client.gvr import LEASES
from control_plane.client.leader_election import LeaderElector
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock

DURATION_S, DEADLINE_S, RETRY_S = 15, 10, 2


class Candidate:
    def __init__(self, world: World, identity: str) -> None:
        self.world = world
        self.identity = identity
        client = world.api.client(identity, clock=world.clock)
        self.elector = LeaderElector(client, "lock", "kube-system", identity, DURATION_S, DEADLINE_S, RETRY_S)
        self.working = False
        self.task = asyncio.ensure_future(self.elector.run(self.work))

    async def work(self) -> None:
        self.working = True
        self.world.started.append((self.world.clock.monotonic(), self.identity))
        try:
            await asyncio.Event().wait()
        finally:
            self.working = False

    async def stop(self) -> None:
        """A clean stop."""
        self.task.cancel()
        with suppress(asyncio.CancelledError, LeadershipLost):
            await self.task

    def cut_off(self) -> None:
        """From now on no request of this candidate arrives."""
        self.elector._client.transport = Unreachable()  # type: ignore[assignment]


class Unreachable:
    async def request(self, *_: object) -> object:
        raise ConnectionFailed("cut off")


class World:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = VirtualClock()
        self.started: list[tuple[float, str]] = []

    def lease(self) -> dict[str, object]:
        lease = self.api.get(LEASES, "lock", "kube-system")
        assert lease is not None
        spec: dict[str, object] = lease["spec"]
        return spec


async def test_first_comes_first_and_renews() -> None:
    world = World()
    a, b = Candidate(world, "a"), Candidate(world, "b")
    await world.clock.advance(100)
    assert world.started == [(0.0, "a")]
    assert (a.working, b.working) == (True, False)
    assert a.elector.is_leader
    assert b.elector.holder == "a"
    spec = world.lease()
    assert spec["holderIdentity"] == "a"
    assert spec["leaseDurationSeconds"] == DURATION_S
    assert spec["leaseTransitions"] == 0
    assert spec["acquireTime"] < spec["renewTime"]  # type: ignore[operator]
    await a.stop()
    await b.stop()


async def test_clean_release_is_taken_over_at_once() -> None:
    world = World()
    a, b = Candidate(world, "a"), Candidate(world, "b")
    await world.clock.advance(30)
    await a.stop()
    await world.clock.advance(0.1)
    assert [who for _, who in world.started] == ["a", "b"]
    assert world.lease()["leaseTransitions"] == 1
    await b.stop()
    assert world.lease()["holderIdentity"] == ""


async def test_a_dead_leader_is_followed_when_its_lease_ran_out() -> None:
    world = World()
    a, b = Candidate(world, "a"), Candidate(world, "b")
    await world.clock.advance(30.5)
    died_s = world.clock.monotonic()
    a.cut_off()
    await world.clock.advance(60)
    taken_s, who = world.started[-1]
    assert who == "b"
    assert DURATION_S - RETRY_S < taken_s - died_s < DURATION_S + 1
    await a.stop()
    await b.stop()


async def test_a_leader_cut_off_stops_before_the_next_one_starts() -> None:
    world = World()
    a, b = Candidate(world, "a"), Candidate(world, "b")
    await world.clock.advance(30)
    a.cut_off()
    overlap = False
    for _ in range(400):
        await world.clock.advance(0.1)
        overlap = overlap or (a.working and b.working)
    assert not overlap
    assert b.working
    assert isinstance(a.task.exception(), LeadershipLost)
    await b.stop()


async def test_a_leader_whose_lease_was_taken_stops() -> None:
    world = World()
    a = Candidate(world, "a")
    await world.clock.advance(5)
    lease = world.api.get(LEASES, "lock", "kube-system")
    assert lease is not None
    lease["spec"]["holderIdentity"] = "thief"
    world.api.update(LEASES, lease)
    await world.clock.advance(2 * RETRY_S)
    assert isinstance(a.task.exception(), LeadershipLost)
    assert world.lease()["holderIdentity"] == "thief"


async def test_short_trouble_is_survived() -> None:
    world = World()
    a = Candidate(world, "a")
    await world.clock.advance(5)
    world.api.fail_next(lambda method, _: method in ("PUT", "GET"), lambda: ConnectionFailed("x"), times=4)
    await world.clock.advance(60)
    assert a.working
    await a.stop()


async def test_work_that_ends_gives_the_lease_back() -> None:
    world = World()
    client = world.api.client(clock=world.clock)
    elector = LeaderElector(client, "lock", "kube-system", "a", DURATION_S, DEADLINE_S, RETRY_S)

    async def work() -> None:
        await world.clock.sleep(3)

    task = asyncio.ensure_future(elector.run(work))
    await world.clock.advance(4)
    await task
    assert world.lease()["holderIdentity"] == ""


async def test_failing_work_is_reported() -> None:
    world = World()
    client = world.api.client(clock=world.clock)
    elector = LeaderElector(client, "lock", "kube-system", "a", DURATION_S, DEADLINE_S, RETRY_S)

    async def work() -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        await elector.run(work)


@pytest.mark.parametrize(
    "durations", [(10, 10, 2), (15, 2, 2), (15, 10, 0)], ids=["deadline", "retry", "zero"]
)
def test_durations_must_fit(durations: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        LeaderElector(FakeApi().client(), "x", "y", "z", *durations)

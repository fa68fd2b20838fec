"""The work queue's guarantees, one test each, with virtual time."""

from __future__ import annotations

import asyncio

import pytest

from control_plane.client.errors import ShutDown
from control_plane.client.workers import run_workers
from control_plane.client.workqueue import WorkQueue
from tests.control_plane.virtual_clock import VirtualClock, settle


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def queue(clock: VirtualClock) -> WorkQueue[str]:
    return WorkQueue(clock)


async def test_fair_and_deduplicated(queue: WorkQueue[str]) -> None:
    for key in ("a", "b", "a", "c", "b"):
        queue.add(key)
    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]
    assert len(queue) == 0


async def test_a_key_is_never_with_two_workers(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert len(queue) == 1
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_delays_are_kept_and_the_shortest_counts(queue: WorkQueue[str], clock: VirtualClock) -> None:
    queue.add_after("a", 10)
    queue.add_after("b", 5)
    queue.add_after("a", 3)
    queue.add_after("a", 20)
    arrivals: list[tuple[float, str]] = []

    async def take() -> None:
        while True:
            key = await queue.get()
            arrivals.append((clock.monotonic(), key))
            queue.done(key)

    task = asyncio.ensure_future(take())
    await clock.advance(60)
    task.cancel()
    assert arrivals == [(3.0, "a"), (5.0, "b")]


async def test_backoff_doubles_per_key_until_forgotten(queue: WorkQueue[str], clock: VirtualClock) -> None:
    waits: list[float] = []
    for _ in range(4):
        start_s = clock.monotonic()
        queue.add_rate_limited("a")
        taking = asyncio.ensure_future(queue.get())
        await clock.advance(0)
        while not taking.done():
            await clock.advance(0.005)
        waits.append(round(clock.monotonic() - start_s, 3))
        queue.done("a")
    assert waits == pytest.approx([0.005, 0.01, 0.02, 0.04], abs=0.0051)  # the clock is turned in steps
    assert queue.num_requeues("a") == 4
    assert queue.num_requeues("b") == 0
    queue.forget("a")
    assert queue.num_requeues("a") == 0


async def test_backoff_is_bounded(clock: VirtualClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock, base_delay_s=1, max_delay_s=30)
    for _ in range(100):
        queue.add_rate_limited("a")
        await clock.advance(30)
        assert await queue.get() == "a"
        queue.done("a")


async def test_shut_down_hands_out_what_is_ready_then_ends(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add_after("later", 1)
    waiting = [asyncio.ensure_future(queue.get()) for _ in range(2)]
    await settle()
    queue.shut_down()
    queue.add("b")
    await settle()
    assert waiting[0].result() == "a"
    assert isinstance(waiting[1].exception(), ShutDown)


async def test_a_cancelled_getter_passes_its_wake_up_on(queue: WorkQueue[str]) -> None:
    first, second = (asyncio.ensure_future(queue.get()) for _ in range(2))
    await settle()
    queue.add("a")
    first.cancel()
    await settle()
    assert second.result() == "a"


async def test_workers_are_bounded_retry_and_drain(queue: WorkQueue[str], clock: VirtualClock) -> None:
    running = peak = 0
    tries: dict[str, int] = {}

    async def reconcile(key: str) -> float | None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await clock.sleep(1)
        running -= 1
        tries[key] = tries.get(key, 0) + 1
        if tries[key] < 3 and key == "fails":
            raise RuntimeError("not yet")
        return 5 if key == "again" and tries[key] < 3 else None

    for key in ("fails", "again", "x", "y", "z"):
        queue.add(key)
    task = asyncio.ensure_future(run_workers(queue, reconcile, workers=2))
    await clock.advance(60)
    assert tries == {"fails": 3, "again": 3, "x": 1, "y": 1, "z": 1}
    assert peak == 2
    queue.shut_down()
    await task

"""The queue's state machine, with virtual time: what waits where, and what brings it back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.pod_info import PodInfo, pod_info
from control_plane.scheduler.framework.status import Status, unresolvable
from control_plane.scheduler.queue import ACTIVE, BACKOFF, GATED, UNSCHEDULABLE, QueuedPod, SchedulingQueue
from tests.control_plane.scheduler.build import pod
from tests.control_plane.virtual_clock import VirtualClock, settle

NODE_ADDED = ClusterEvent(Kind.NODE, Action.ADD)
POD_DELETED = ClusterEvent(Kind.ASSIGNED_POD, Action.DELETE)
NODE_LABELLED = ClusterEvent(Kind.NODE, Action.UPDATE_NODE_LABEL)


def only_big(waiting: PodInfo, old: Obj | None, new: Obj | None) -> bool:
    return new is not None and bool(new.get("big"))


INTERESTS: dict[str, dict[str, Sequence[Interest]]] = {
    "default-scheduler": {
        "Fit": (Interest(NODE_ADDED, only_big), Interest(POD_DELETED)),
        "Affinity": (Interest(NODE_LABELLED),),
        "Silent": (),
    }
}


def gate(info: PodInfo) -> Status | None:
    return unresolvable("gated").by("Gates") if info.pod["spec"].get("schedulingGates") else None


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.queue = SchedulingQueue(
            self.clock, lambda info, at_s: (-info.priority, at_s), gate, INTERESTS, unschedulable_limit_s=300
        )

    def add(self, name: str, **fields: object) -> PodInfo:
        info = pod_info(pod(name, **fields))  # type: ignore[arg-type]
        self.queue.add(info)
        return info

    def take(self) -> QueuedPod:
        queued = self.queue.take()
        assert queued is not None
        return queued

    def where(self, info: PodInfo) -> str:
        queued = self.queue.get(info.uid)
        return queued.where if queued else ""

    def park(self, name: str, *plugins: str) -> PodInfo:
        info = self.add(name)
        self.queue.park(self.take(), plugins)
        return info


@pytest.fixture
def world() -> World:
    return World()


async def test_priority_then_age(world: World) -> None:
    for name, priority in (("old", 0), ("young", 0), ("vip", 10)):
        world.add(name, priority=priority)
        await world.clock.advance(1)
    assert [world.take().pod.name for _ in range(3)] == ["vip", "old", "young"]
    assert world.queue.take() is None


async def test_backoff_doubles_to_its_limit(world: World) -> None:
    info = world.add("a")
    waits = []
    for _ in range(6):
        queued = world.take()
        world.queue.requeue(queued)
        assert world.where(info) == BACKOFF
        start_s = world.clock.monotonic()
        waiter = asyncio.ensure_future(world.queue.wait())
        while not waiter.done():
            await world.clock.advance(0.5)
        waits.append(world.clock.monotonic() - start_s)
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@pytest.mark.parametrize(
    ("plugins", "event", "new", "back"),
    [
        pytest.param(("Fit",), POD_DELETED, None, True, id="an event it cares for"),
        pytest.param(("Fit",), NODE_LABELLED, None, False, id="an event it does not care for"),
        pytest.param(("Fit",), NODE_ADDED, {"big": True}, True, id="the hint agrees"),
        pytest.param(("Fit",), NODE_ADDED, {"big": False}, False, id="the hint does not"),
        pytest.param(("Fit", "Affinity"), NODE_LABELLED, None, True, id="one of several plugins is enough"),
        pytest.param(("Silent",), NODE_LABELLED, None, True, id="a plugin without interests takes all"),
        pytest.param(("Unknown",), NODE_LABELLED, None, True, id="so does one that is not known"),
        pytest.param((), NODE_LABELLED, None, True, id="rejected by nobody in particular"),
    ],
)
async def test_events_bring_back(
    world: World, plugins: tuple[str, ...], event: ClusterEvent, new: Obj | None, back: bool
) -> None:
    info = world.park("a", *plugins)
    assert world.where(info) == UNSCHEDULABLE
    await world.clock.advance(5)
    world.queue.happened(event, None, new)
    assert world.where(info) == (ACTIVE if back else UNSCHEDULABLE)


async def test_an_early_event_still_costs_the_backoff(world: World) -> None:
    info = world.park("a", "Fit")
    world.queue.happened(POD_DELETED)
    assert world.where(info) == BACKOFF
    await world.clock.advance(1.1)
    assert world.take().pod is info


async def test_an_event_while_in_flight_is_not_lost(world: World) -> None:
    info = world.add("a")
    queued = world.take()
    world.queue.happened(POD_DELETED)
    world.queue.park(queued, ["Fit"])
    assert world.where(info) == BACKOFF


async def test_an_event_before_the_flight_does_not_count(world: World) -> None:
    other = world.add("other")
    world.take()
    world.queue.happened(POD_DELETED)
    info = world.add("a")
    world.queue.park(world.take(), ["Fit"])
    assert world.where(info) == UNSCHEDULABLE
    world.queue.done(other.uid)


async def test_too_many_events_count_as_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control_plane.scheduler.queue.MAX_REMEMBERED_EVENTS", 3)
    info = world.add("a")
    queued = world.take()
    for _ in range(5):
        world.queue.happened(NODE_LABELLED)
    world.queue.park(queued, ["Fit"])
    assert world.where(info) == BACKOFF


async def test_nobody_waits_for_ever(world: World) -> None:
    info = world.park("a", "Fit")
    await world.clock.advance(299)
    world.queue.flush_unschedulable()
    assert world.where(info) == UNSCHEDULABLE
    await world.clock.advance(2)
    world.queue.flush_unschedulable()
    assert world.where(info) == ACTIVE


async def test_gates(world: World) -> None:
    info = world.add("a", schedulingGates=[{"name": "g"}])
    assert world.where(info) == GATED
    assert world.queue.take() is None
    opened = {**info.pod, "spec": {**info.pod["spec"], "schedulingGates": []}}
    world.queue.update(pod_info(opened))
    assert world.where(info) == ACTIVE


@pytest.mark.parametrize(
    ("change", "back"),
    [
        pytest.param({"spec": {"tolerations": []}}, True, id="spec"),
        pytest.param({"status": {"phase": "Pending", "conditions": []}}, False, id="status"),
    ],
)
async def test_updates(world: World, change: Obj, back: bool) -> None:
    info = world.park("a", "Fit")
    await world.clock.advance(5)
    world.queue.update(pod_info({**info.pod, **change}))
    assert world.where(info) == (ACTIVE if back else UNSCHEDULABLE)


async def test_deleted_pods_leave(world: World) -> None:
    waiting, parked = world.add("a"), world.park("b", "Fit")
    world.queue.delete(waiting.uid)
    world.queue.delete(parked.uid)
    assert len(world.queue) == 0 or world.take().pod.name == "b"
    assert [world.queue.count(where) for where in (ACTIVE, BACKOFF, UNSCHEDULABLE, GATED)] == [0, 0, 0, 0]


async def test_backoff_is_cut_short_when_there_is_nothing_else(world: World) -> None:
    helped = world.park("helped", "Fit")
    world.queue.happened(POD_DELETED)
    assert world.where(helped) == BACKOFF
    other = world.add("other")
    assert world.take().pod.uid == other.uid, "who waits for nothing goes first"
    await asyncio.wait_for(world.queue.wait(), 1)
    assert world.take().pod.uid == helped.uid


async def test_backoff_of_what_went_wrong_is_not_cut_short(world: World) -> None:
    broken = world.add("broken")
    world.queue.requeue(world.take())
    assert world.where(broken) == BACKOFF
    assert world.queue.take() is None
    await world.clock.advance(1.1)
    assert world.take().pod.uid == broken.uid


async def test_what_happened_is_remembered_for_those_in_flight_only(world: World) -> None:
    first, _second = world.add("first"), world.add("second")
    taken = world.take()
    world.queue.happened(NODE_LABELLED)
    late = world.take()
    world.queue.done(first.uid)
    world.queue.park(late, ["Affinity"])
    assert world.where(late.pod) == UNSCHEDULABLE, "it came before that one was taken"
    assert taken.pod.uid == first.uid


async def test_wait_wakes_for_new_pods_and_for_backoffs(world: World) -> None:
    waiter = asyncio.ensure_future(world.queue.wait())
    await settle()
    assert not waiter.done()
    world.add("a")
    await settle()
    assert waiter.done()
    world.queue.requeue(world.take())
    waiter = asyncio.ensure_future(world.queue.wait())
    await world.clock.advance(0.9)
    assert not waiter.done()
    await world.clock.advance(0.2)
    assert waiter.done()

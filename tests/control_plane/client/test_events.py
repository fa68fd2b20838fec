"""Events: counted up, folded, filtered, written in order, never in the way."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api import errors
from control_plane.client import events
from control_plane.client.errors import ConnectionFailed
from control_plane.client.event_correlator import EventCorrelator
from control_plane.client.events import BUSY_REQUESTS, NORMAL, WARNING, EventRecorder
from control_plane.client.gvr import EVENTS
from control_plane.client.types import Obj
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock

POD: Obj = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "ns", "uid": "u1"}}


class World:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = VirtualClock()
        self.recorder = EventRecorder(self.api.client(clock=self.clock), "default-scheduler")

    def stored(self) -> list[Obj]:
        return self.api.list(EVENTS)


async def test_what_kubectl_shows() -> None:
    world = World()
    world.recorder.event(POD, NORMAL, "Scheduled", "Successfully assigned ns/p to n1", action="Binding")
    await world.clock.advance(1)
    (event,) = world.stored()
    assert event["metadata"]["namespace"] == "ns"
    assert event["metadata"]["name"].startswith("p.")
    assert event["involvedObject"] == {
        "kind": "Pod",
        "namespace": "ns",
        "name": "p",
        "uid": "u1",
        "apiVersion": "v1",
    }
    assert event["source"] == {"component": "default-scheduler"}
    assert event["reportingComponent"] == "default-scheduler"
    assert (event["type"], event["reason"], event["count"]) == ("Normal", "Scheduled", 1)
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2023-11-14T22:13:20Z"
    await world.recorder.close()


async def test_cluster_scoped_objects_have_their_events_in_default() -> None:
    world = World()
    world.recorder.event({"kind": "Node", "metadata": {"name": "n"}}, NORMAL, "NodeReady", "ready")
    await world.clock.advance(1)
    assert world.stored()[0]["metadata"]["namespace"] == "default"
    await world.recorder.close()


async def test_the_same_again_is_counted_up() -> None:
    world = World()
    for _ in range(5):
        world.recorder.event(POD, WARNING, "FailedScheduling", "no nodes")
        await world.clock.advance(10)
    (event,) = world.stored()
    assert event["count"] == 5
    assert event["firstTimestamp"] < event["lastTimestamp"]
    assert [request.method for request in world.api.log] == ["POST", "PATCH", "PATCH", "PATCH", "PATCH"]
    await world.recorder.close()


async def test_an_event_that_outlived_its_time_is_written_anew() -> None:
    world = World()
    world.recorder.event(POD, WARNING, "FailedScheduling", "no nodes")
    await world.clock.advance(1)
    world.api.delete(EVENTS, world.stored()[0]["metadata"]["name"], "ns")
    world.recorder.event(POD, WARNING, "FailedScheduling", "no nodes")
    await world.clock.advance(1)
    assert [event["count"] for event in world.stored()] == [2]
    await world.recorder.close()


async def test_a_silent_server_is_tried_again_and_a_refusal_is_not() -> None:
    world = World()
    world.api.fail_next(lambda *_: True, lambda: ConnectionFailed("down"), times=3)
    world.recorder.event(POD, NORMAL, "A", "first")
    await world.clock.advance(30)
    assert len(world.stored()) == 1
    world.api.fail_next(lambda *_: True, lambda: errors.forbidden("", "events", "", "no"))
    world.recorder.event(POD, NORMAL, "B", "second")
    await world.clock.advance(30)
    assert len(world.stored()) == 1
    await world.recorder.close()


async def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By fewer than there really are, which take longer to write than closing waits."""
    monkeypatch.setattr(events, "MAX_QUEUED", 160)
    world = World()
    sent = 200
    for number in range(sent):
        pod = {"kind": "Pod", "metadata": {"name": f"p{number}", "namespace": "ns", "uid": str(number)}}
        world.recorder.event(pod, NORMAL, "A", "x")
    assert world.recorder.dropped >= sent - 160
    await world.recorder.close()
    assert len(world.stored()) == sent - world.recorder.dropped


async def test_a_busy_component_is_not_held_up_by_its_events() -> None:
    world = World()
    client = world.api.client(clock=world.clock)
    world.recorder = EventRecorder(client, "c")
    client.under_way = BUSY_REQUESTS + 1
    world.recorder.event(POD, NORMAL, "First", "waits")
    await world.clock.advance(1)
    assert world.stored() == []
    await world.clock.advance(1.5)
    assert [each["reason"] for each in world.stored()] == ["First"], "not for ever"
    world.recorder.event(POD, NORMAL, "Second", "waits, too")
    client.under_way = BUSY_REQUESTS
    await world.clock.advance(0.1)
    assert len(world.stored()) == 2
    await world.recorder.close()


def event(message: str, reason: str = "R", name: str = "p", uid: str = "u") -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}.{message}"},
        "involvedObject": {"name": name, "uid": uid},
        "source": {"component": "c"},
        "type": "Normal",
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": "t",
        "lastTimestamp": "t",
    }


def test_similar_events_are_folded() -> None:
    correlator = EventCorrelator()
    verdicts = [correlator.correlate(event(f"m{n}"), 0.0) for n in range(12)]
    messages = [verdict.event["message"] for verdict in verdicts if verdict.event]
    assert messages[8] == "m8"
    assert messages[9:] == [f"(combined from similar events): m{n}" for n in (9, 10, 11)]
    assert verdicts[9].patch is None
    assert verdicts[11].patch == {"count": 3, "lastTimestamp": "t", "message": messages[11]}
    assert verdicts[11].event is not None
    assert verdicts[11].event["metadata"]["name"] == "p.m9"


def test_folding_forgets_after_ten_minutes() -> None:
    correlator = EventCorrelator()
    for number in range(12):
        correlator.correlate(event(f"m{number}"), 0.0)
    late = correlator.correlate(event("late"), 601.0)
    assert late.event is not None
    assert late.event["message"] == "late"


@pytest.mark.parametrize(
    ("at_s", "passed"),
    [pytest.param(0.0, 25, id="burst"), pytest.param(300.0, 26, id="one more after five minutes")],
)
def test_spam_is_filtered_per_object(at_s: float, passed: int) -> None:
    correlator = EventCorrelator()
    for _ in range(24):
        assert correlator.correlate(event("same"), 0.0).event is not None
    more = [
        correlator.correlate(event("same"), 0.0),
        *(correlator.correlate(event("same"), at_s) for _ in "123"),
    ]
    assert 24 + sum(verdict.event is not None for verdict in more) == passed
    assert correlator.correlate(event("same", uid="other"), at_s).event is not None

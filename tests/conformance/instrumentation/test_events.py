"""test/e2e/instrumentation/core_events.go, events.go"""

from __future__ import annotations

from typing import Any

from tests.conformance.client import Client
from tests.e2e.conftest import until

Object = dict[str, Any]


def core_event(name: str, namespace: str) -> Object:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"testevent-constant": "true"}},
        "message": "This is a test event",
        "reason": "Test",
        "type": "Normal",
        "count": 1,
        "involvedObject": {"namespace": namespace},
    }


def new_event(name: str, namespace: str) -> Object:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"testevent-set": "true"}},
        "eventTime": "2017-09-19T13:49:16.000001Z",
        "note": "This is " + name,
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
        "regarding": {"namespace": namespace},
    }


def test_life_of_an_event(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-instrumentation] Events should manage the lifecycle of an event"""
    of = client.of("v1", "events", "Event", namespace)
    selector = {"labelSelector": "testevent-constant=true"}
    with of.watch(**selector) as events:
        of.create(core_event("event-test", namespace))
        assert "event-test" in [each["metadata"]["name"] for each in of.everywhere().list(**selector)]
        patch = {"message": "This is a test event - patched"}
        assert of.patch("event-test", patch, "strategic")["message"] == patch["message"]
        found = dynamic.of("v1", "events", "Event", namespace).get("event-test")
        assert found["message"] == patch["message"]
        series = {"count": 100, "lastObservedTime": "2024-01-02T00:00:00.000000Z"}
        updated = of.change("event-test", lambda obj: obj.update(series=series))
        assert updated["series"]["count"] == 100
        assert of.get("event-test")["series"] == updated["series"]
        events.until("ADDED")
        events.until("MODIFIED")
        of.delete("event-test")
        events.until("DELETED")
    assert of.everywhere().list(**selector, fieldSelector=f"metadata.namespace={namespace}") == []


def test_collection_of_events(client: Client, namespace: str) -> None:
    """[sig-instrumentation] Events should delete a collection of events"""
    of = client.of("v1", "events", "Event", namespace)
    for number in (1, 2, 3):
        of.create(core_event(f"test-event-{number}", namespace))
    assert len(of.list(labelSelector="testevent-constant=true")) == 3
    of.delete_collection(labelSelector="testevent-constant=true")
    until("they are gone", lambda: of.list(labelSelector="testevent-constant=true") == [])


def test_life_of_an_event_of_the_new_group(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed"""
    of = client.of("events.k8s.io/v1", "events", "Event", namespace)
    core = client.of("v1", "events", "Event", namespace)
    made = of.create(new_event("event-test", namespace))
    selector = {"labelSelector": "testevent-set=true"}
    assert [each["metadata"]["name"] for each in of.list(**selector)] == ["event-test"]
    assert "event-test" in [each["metadata"]["name"] for each in of.everywhere().list(**selector)]
    for field, value in (("reportingController", "test-controller"), ("type", "Normal"), ("reason", "Test")):
        listed = of.list(fieldSelector=f"{field}={value}", **selector)
        assert [each["metadata"]["name"] for each in listed] == ["event-test"]
    assert of.list(fieldSelector="reportingController=x") == []
    found = of.get("event-test")
    assert found == made
    changed = {**found, "series": {"count": 2, "lastObservedTime": "2014-09-19T13:49:16.000000Z"}}
    patched = of.patch("event-test", {"series": changed["series"]}, "strategic")
    assert {**patched, "metadata": None} == {**changed, "metadata": None}
    series = {"count": 100, "lastObservedTime": "2014-09-20T13:49:16.000000Z"}
    updated = of.change("event-test", lambda obj: obj.update(series=series))
    assert of.get("event-test") == updated
    assert dynamic.of("events.k8s.io/v1", "events", "Event", namespace).get("event-test")["series"] == series
    assert core.get("event-test")["message"] == "This is event-test"
    of.delete("event-test")
    assert not of.exists("event-test")
    assert of.list(**selector) == []


def test_collection_of_events_of_the_new_group(client: Client, namespace: str) -> None:
    """[sig-instrumentation] Events API should delete a collection of events"""
    of = client.of("events.k8s.io/v1", "events", "Event", namespace)
    for number in (1, 2, 3):
        of.create(new_event(f"test-event-{number}", namespace))
    assert len(of.list(labelSelector="testevent-set=true")) == 3
    of.delete_collection(labelSelector="testevent-set=true")
    until("they are gone", lambda: of.list(labelSelector="testevent-set=true") == [])

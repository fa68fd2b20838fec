"""test/e2e/scheduling: what of preemption.go and limit_range.go needs no running pod"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.client import ApiError, Client
from tests.e2e.conftest import until

Object = dict[str, Any]


def test_priority_class_endpoints(client: Client, namespace: str) -> None:
    """[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be
    operated with different HTTP methods
    """
    classes = client.of("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass")
    names = [f"{namespace}-p{number}" for number in (1, 2)]
    for value, name in enumerate(names, start=1):
        classes.create({"metadata": {"name": name}, "value": value})
    assert set(names) <= {each["metadata"]["name"] for each in classes.list()}
    classes.change(names[0], lambda obj: obj["metadata"].setdefault("labels", {}).update(e2e="p1"))
    assert classes.change(names[0], lambda obj: obj.update(description="updated"))["description"] == "updated"
    assert classes.patch(names[1], {"description": "patched"})["description"] == "patched"
    assert classes.patch(names[1], [{"op": "add", "path": "/globalDefault", "value": False}], "json")
    with pytest.raises(ApiError) as refused:
        classes.change(names[0], lambda obj: obj.update(value=10))
    assert refused.value.reason == "Invalid"
    with pytest.raises(ApiError) as refused:
        classes.patch(names[1], [{"op": "replace", "path": "/value", "value": 20}], "json")
    assert refused.value.reason == "Invalid"
    for name in names:
        assert classes.get(name)["value"] == names.index(name) + 1
        classes.delete(name)


MIN = {"cpu": "50m", "memory": "100Mi", "ephemeral-storage": "100Gi"}
MAX = {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"}
DEFAULT = MAX
DEFAULT_REQUEST = {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "200Gi"}


def _range(name: str, minimum: Object = MIN, **labels: str) -> Object:
    item = {
        "type": "Container",
        "min": minimum,
        "max": MAX,
        "default": DEFAULT,
        "defaultRequest": DEFAULT_REQUEST,
        "maxLimitRequestRatio": {},
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": {"limits": [item]}}


def _pod(name: str, requests: Object, limits: Object) -> Object:
    container = {
        "name": "pause",
        "image": "pause",
        "resources": {"requests": requests, "limits": limits},
    }
    return {"metadata": {"name": name}, "spec": {"containers": [container]}}


def _resources(pod: Object) -> tuple[Object, Object]:
    found = pod["spec"]["containers"][0]["resources"]
    return found["requests"], found["limits"]


def test_limit_range_defaults(client: Client, namespace: str) -> None:
    """[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults
    applied.
    """
    ranges = client.of("v1", "limitranges", "LimitRange", namespace)
    pods = client.of("v1", "pods", "Pod", namespace)
    with ranges.watch(labelSelector="time=now") as events:
        ranges.create(_range("limit-range", time="now"))
        events.until("ADDED")
    found = ranges.get("limit-range")["spec"]["limits"][0]
    assert (found["min"], found["max"], found["defaultRequest"]) == (MIN, MAX, DEFAULT_REQUEST)
    until("it counts", lambda: _resources(pods.create(_pod("pod-no-resources", {}, {}))) is not None)
    assert _resources(pods.get("pod-no-resources")) == (DEFAULT_REQUEST, DEFAULT)
    requests = {"memory": "150Mi", "ephemeral-storage": "150Gi"}
    pods.create(_pod("pod-partial-resources", requests, {"cpu": "300m"}))
    assert _resources(pods.get("pod-partial-resources")) == (
        {**requests, "cpu": "300m"},  # a limit of its own goes before the range's default request
        {**DEFAULT, "cpu": "300m"},
    )
    small = {"cpu": "10m", "memory": "50Mi", "ephemeral-storage": "50Gi"}
    with pytest.raises(ApiError, match="minimum"):
        pods.create(_pod("pod-too-small", small, {}))
    great = {"cpu": "600m", "memory": "600Mi", "ephemeral-storage": "600Gi"}
    for limits, words in (({}, "must be less than or equal to cpu limit of 500m"), (great, "maximum")):
        with pytest.raises(ApiError, match=words):
            pods.create(_pod("pod-too-great", great, limits))
    lower = {"cpu": "9m", "memory": "49Mi", "ephemeral-storage": "49Gi"}
    ranges.change("limit-range", lambda obj: obj["spec"]["limits"][0].update(min=lower))
    assert ranges.get("limit-range")["spec"]["limits"][0]["min"] == lower

    def small_is_refused() -> bool:
        try:
            pods.create(_pod("pod-small", small, {}))
        except ApiError as error:
            if error.code != 403:
                raise
            return True
        return False

    until("the changed range counts", lambda: not small_is_refused())
    with pytest.raises(ApiError, match="maximum"):
        pods.create(_pod("pod-too-great", great, great))
    ranges.delete("limit-range", gracePeriodSeconds=30)
    until("it is gone", lambda: not ranges.exists("limit-range"))
    pods.create(_pod("pod-great", great, {}))
    pods.delete_collection()


def test_limit_range_collection(client: Client, new_namespace: Callable[..., str]) -> None:
    """[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection"""
    one, two = new_namespace(), new_namespace()
    label = {"e2e-limitrange": one}
    selector = {"labelSelector": f"e2e-limitrange={one}"}
    for namespace in (one, two):
        client.of("v1", "limitranges", "LimitRange", namespace).create(_range("limits", **label))
    everywhere = client.of("v1", "limitranges", "LimitRange")
    assert len(everywhere.list(**selector)) == 2
    ranges = client.of("v1", "limitranges", "LimitRange", one)
    patch = {
        "metadata": {"labels": {one: "patched"}},
        "spec": {"limits": [{"type": "Container", "min": {"cpu": "10m"}}]},
    }
    patched = ranges.patch("limits", patch, "strategic")
    assert patched["metadata"]["labels"][one] == "patched"
    assert len(patched["spec"]["limits"]) == 1
    assert patched["spec"]["limits"][0]["min"]["cpu"] == "10m"
    ranges.delete_collection(labelSelector=f"{one}=patched")
    assert [each["metadata"]["namespace"] for each in everywhere.list(**selector)] == [two]

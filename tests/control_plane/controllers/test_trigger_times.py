"""When did the change happen that a service's endpoints follow?"""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.controllers.trigger_times import ANNOTATION, TriggerTimes, annotate

Pods = dict[str, str]  # when each became ready, or stopped to be


def at(minute: int) -> str:
    return f"2026-11-30T10:{minute:02}:00Z"


SERVICE = {"metadata": {"name": "web", "creationTimestamp": at(1)}}


def pod(name: str, since: str) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True", **({"lastTransitionTime": since} if since else {})}
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Initialized"}, ready]}}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        pytest.param(None, {"a": at(5)}, at(1), id="a new service: when it was made"),
        pytest.param({}, {"a": at(5)}, at(5), id="a pod became ready"),
        pytest.param({}, {"a": at(5), "b": at(3)}, at(3), id="the first of several"),
        pytest.param({"a": at(2)}, {"a": at(2), "b": at(4)}, at(4), id="not what was seen before"),
        pytest.param({"a": at(2)}, {"a": at(6)}, at(6), id="the same pod again"),
        pytest.param({"a": at(2), "b": at(3)}, {"a": at(2)}, "", id="a pod that goes is not dated"),
        pytest.param({}, {"a": ""}, "", id="nor one that never was ready"),
    ],
)
def test_the_earliest_new_change(before: Pods | None, now: Pods, expected: str) -> None:
    times = TriggerTimes()
    if before is not None:
        times.observe("x/web", SERVICE, [pod(*each) for each in before.items()])
    assert times.observe("x/web", SERVICE, [pod(*each) for each in now.items()]) == expected


def test_a_service_made_again_is_a_change() -> None:
    times = TriggerTimes()
    times.observe("x/web", SERVICE, [])
    again = {"metadata": {"name": "web", "creationTimestamp": at(9)}}
    assert times.observe("x/web", again, []) == at(9)
    assert times.observe("x/web", again, []) == ""
    times.forget("x/web")
    assert times.observe("x/web", again, []) == at(9)


@pytest.mark.parametrize(
    ("annotations", "changed_at", "expected"),
    [
        pytest.param(None, at(1), {ANNOTATION: at(1)}, id="first"),
        pytest.param({"a": "b", ANNOTATION: at(1)}, at(2), {"a": "b", ANNOTATION: at(2)}, id="newer"),
        pytest.param({"a": "b", ANNOTATION: at(1)}, "", {"a": "b"}, id="an older one goes"),
        pytest.param({ANNOTATION: at(1)}, "", None, id="and leaves nothing"),
    ],
)
def test_annotate(
    annotations: dict[str, str] | None, changed_at: str, expected: dict[str, str] | None
) -> None:
    metadata = {"name": "web"} if annotations is None else {"name": "web", "annotations": annotations}
    slice_: dict[str, Any] = {"metadata": metadata}
    annotate(slice_, changed_at)
    assert slice_["metadata"].get("annotations") == expected

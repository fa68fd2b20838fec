"""Counting without loss, and what a job does next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.controllers.job import indexes, plan
from tests.control_plane.controllers.objects import NOW, Obj, owner, pod


def job(status: Obj | None = None, **spec: Any) -> Obj:
    made = owner("Job", "job", "batch/v1", **{"parallelism": 2, "completions": 4, "backoffLimit": 2, **spec})
    return {**made, "status": status or {}}


def job_pod(name: str, phase: str, index: int | None = None, **more: Any) -> Obj:
    annotations = {} if index is None else {plan.INDEX: str(index)}
    return pod(name, phase=phase, finalizers=[plan.FINALIZER], annotations=annotations, **more)


@given(st.sets(st.integers(0, 60)))
def test_indexes_round_trip(wanted: set[int]) -> None:
    assert indexes.parse(indexes.form(wanted), 61) == wanted


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", set()), ("1,3-5,7", {1, 3, 4, 5, 7}), ("3-100", {3, 4, 5, 6, 7, 8, 9}), ("x,2", {2})],
)
def test_indexes_are_read_within_the_range(text: str, expected: set[int]) -> None:
    assert indexes.parse(text, 10) == expected


def test_a_pod_is_counted_once_over_three_rounds() -> None:
    ended = job_pod("a", "Succeeded")
    first = plan.count(job(), [ended])
    assert (first.succeeded, first.uncounted["succeeded"], first.release) == (0, ["uid-a"], [ended])
    status = plan.status(job(), [ended], first, None, NOW)
    second = plan.count(job(status), [ended])  # the finalizer's removal was lost
    assert (second.succeeded, second.uncounted["succeeded"]) == (0, ["uid-a"])
    ended["metadata"]["finalizers"] = []
    third = plan.count(job(status), [ended])
    assert (third.succeeded, third.uncounted["succeeded"], third.release) == (1, [], [])
    assert plan.count(job(status), []).succeeded == 1  # or the pod is gone altogether


@pytest.mark.parametrize(
    ("spec", "owned", "expected"),
    [
        pytest.param({}, [], [None, None], id="start: as many as may run at once"),
        pytest.param({}, [job_pod("a", "Running")], [None], id="one missing"),
        pytest.param({"suspend": True}, [], [], id="suspended"),
        pytest.param({"completions": 1}, [], [None], id="no more than are needed"),
        pytest.param({"completions": None}, [], [None, None], id="work queue"),
        pytest.param(
            {"completions": None}, [job_pod("a", "Succeeded"), job_pod("b", "Running")], [],
            id="work queue that is done makes no more",
        ),
        pytest.param(
            {"completionMode": "Indexed"}, [job_pod("a", "Succeeded", 0), job_pod("b", "Running", 2)], [1],
            id="indexed: the lowest free",
        ),
    ],
)  # fmt: skip
def test_creates(spec: Obj, owned: list[Obj], expected: list[int | None]) -> None:
    wanted = job(**spec)
    assert plan.plan(wanted, owned, plan.count(wanted, owned), None, NOW).create == expected


@pytest.mark.parametrize(
    ("spec", "status", "owned", "expected"),
    [
        pytest.param({}, {"succeeded": 4}, [], "CompletionsReached", id="complete"),
        pytest.param({}, {"failed": 3}, [], "BackoffLimitExceeded", id="too many failures"),
        pytest.param({}, {"failed": 2}, [], None, id="as many failures as allowed"),
        pytest.param({}, {}, [job_pod("a", "Running", deleting=True)], None, id="a pod that was deleted failed"),
        pytest.param(
            {"activeDeadlineSeconds": 10}, {"startTime": "2023-11-14T22:13:00Z"}, [], "DeadlineExceeded",
            id="deadline",
        ),
        pytest.param({"completions": None}, {"succeeded": 1}, [], "CompletionsReached", id="work queue"),
    ],
)  # fmt: skip
def test_ends(spec: Obj, status: Obj, owned: list[Obj], expected: str | None) -> None:
    wanted = job(status, **spec)
    over = plan.plan(wanted, owned, plan.count(wanted, owned), None, NOW).over
    assert (over and over["reason"]) == expected


def test_failures_delay_the_next_pod() -> None:
    wanted = job({"failed": 2})
    planned = plan.plan(wanted, [], plan.count(wanted, []), NOW - 5, NOW)
    assert (planned.create, planned.wait_s) == ([], 15.0)


def test_the_end_is_announced_before_the_last_pod_has_gone() -> None:
    wanted = job({"succeeded": 4, "startTime": "2023-11-14T22:13:00Z"})
    running = [job_pod("a", "Running")]
    counted = plan.count(wanted, running)
    over = plan.plan(wanted, running, counted, None, NOW).over
    types = [each["type"] for each in plan.status(wanted, running, counted, over, NOW)["conditions"]]
    assert types == ["SuccessCriteriaMet"]
    types = [
        each["type"] for each in plan.status(wanted, [], plan.count(wanted, []), over, NOW)["conditions"]
    ]
    assert types == ["SuccessCriteriaMet", "Complete"]

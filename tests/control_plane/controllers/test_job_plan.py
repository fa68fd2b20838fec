"""Counting without loss, and what a job does next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.controllers.job import counting, indexes, per_index, plan
from control_plane.controllers.job import status as statuses
from tests.control_plane.controllers.objects import NOW, Obj, owner, pod, rfc3339


def job(status: Obj | None = None, **spec: Any) -> Obj:
    made = owner("Job", "job", "batch/v1", **{"parallelism": 2, "completions": 4, "backoffLimit": 2, **spec})
    return {**made, "status": status or {}}


def job_pod(name: str, phase: str, index: int | None = None, **more: Any) -> Obj:
    annotations = {} if index is None else {per_index.INDEX: str(index)}
    return pod(name, phase=phase, finalizers=[counting.FINALIZER], annotations=annotations, **more)


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
    first = counting.count(job(), [ended])
    assert (first.succeeded, first.uncounted["succeeded"], first.release) == (0, ["uid-a"], [ended])
    status = statuses.status(job(), [ended], first, None, NOW)
    second = counting.count(job(status), [ended])  # the finalizer's removal was lost
    assert (second.succeeded, second.uncounted["succeeded"]) == (0, ["uid-a"])
    ended["metadata"]["finalizers"] = []
    third = counting.count(job(status), [ended])
    assert (third.succeeded, third.uncounted["succeeded"], third.release) == (1, [], [])
    assert counting.count(job(status), []).succeeded == 1  # or the pod is gone altogether


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
    assert plan.plan(wanted, owned, counting.count(wanted, owned), NOW).create == expected


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
    over = plan.plan(wanted, owned, counting.count(wanted, owned), NOW).over
    assert (over and over["reason"]) == expected


def test_the_end_is_announced_before_the_last_pod_has_gone() -> None:
    wanted = job({"succeeded": 4, "startTime": "2023-11-14T22:13:00Z"})
    running = [job_pod("a", "Running")]
    counted = counting.count(wanted, running)
    over = plan.plan(wanted, running, counted, NOW).over
    types = [each["type"] for each in statuses.status(wanted, running, counted, over, NOW)["conditions"]]
    assert types == ["SuccessCriteriaMet"]
    types = [
        each["type"]
        for each in statuses.status(wanted, [], counting.count(wanted, []), over, NOW)["conditions"]
    ]
    assert types == ["SuccessCriteriaMet", "Complete"]


def failed_pod(name: str, index: int | None = None, code: int = 1, **more: Any) -> Obj:
    made = job_pod(name, "Failed", index)
    made["metadata"]["annotations"].update(more.get("annotations", {}))
    terminated = {"exitCode": code, "finishedAt": rfc3339(NOW - 1000)}
    made["status"]["containerStatuses"] = [
        {"name": "c", "restartCount": 0, "state": {"terminated": terminated}}
    ]
    made["status"]["conditions"] = [{"type": each, "status": "True"} for each in more.get("conditions", ())]
    return made


def policy(action: str, *values: int, operator: str = "In", **rule: Any) -> Obj:
    on_exit = {"onExitCodes": {"operator": operator, "values": list(values)}} if values else {}
    return {"podFailurePolicy": {"rules": [{"action": action, **on_exit, **rule}]}}


DISRUPTED: Obj = {"onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


@pytest.mark.parametrize(
    ("spec", "failed", "over", "counted"),
    [
        pytest.param(policy("FailJob", 42), failed_pod("a", code=42), "PodFailurePolicy", 1, id="fail the job"),
        pytest.param(policy("FailJob", 42), failed_pod("a", code=1), None, 1, id="another code"),
        pytest.param(
            policy("FailJob", 42, operator="NotIn"), failed_pod("a"), "PodFailurePolicy", 1, id="not in"
        ),
        pytest.param(policy("Ignore", **DISRUPTED), failed_pod("a", conditions=["DisruptionTarget"]), None, 0,
                     id="ignore"),
        pytest.param(policy("Ignore", **DISRUPTED), failed_pod("a"), None, 1, id="no such condition"),
        pytest.param(policy("Count", 1), failed_pod("a"), None, 1, id="count"),
    ],
)  # fmt: skip
def test_pod_failure_policy(spec: Obj, failed: Obj, over: str | None, counted: int) -> None:
    wanted = job(**spec)
    found = counting.count(wanted, [failed])
    assert counting.total(found, "failed") == counted
    assert found.release == [failed]
    ended = plan.plan(wanted, [failed], found, NOW).over
    assert (ended and ended["reason"]) == over


def test_the_failure_policys_message_names_pod_code_and_rule() -> None:
    wanted = job(**policy("FailJob", 42))
    failed = [failed_pod("a", code=42)]
    over = plan.plan(wanted, failed, counting.count(wanted, failed), NOW).over
    text = "Container c for pod default/a failed with exit code 42 matching FailJob rule at index 0"
    assert over is not None
    assert over["message"] == text


PER_INDEX: Obj = {"completionMode": "Indexed", "backoffLimitPerIndex": 1, "backoffLimit": 2**31 - 1}


@pytest.mark.parametrize(
    ("spec", "status", "owned", "created", "failed_indexes", "over"),
    [
        pytest.param({}, {}, [failed_pod("a", 0)], [0, 1], set(), None, id="once more"),
        pytest.param(
            {}, {}, [failed_pod("a", 0, annotations={per_index.FAILURES: "1"})], [1, 2], {0}, None, id="given up"
        ),
        pytest.param(
            policy("FailIndex", 9), {}, [failed_pod("a", 0, code=9)], [1, 2], {0}, None, id="fail the index"
        ),
        pytest.param(
            {}, {"failedIndexes": "0,2", "completedIndexes": "1,3"}, [], [], {0, 2}, "FailedIndexes",
            id="all have ended",
        ),
        pytest.param(
            {"maxFailedIndexes": 1}, {"failedIndexes": "0,2"}, [], [], {0, 2}, "MaxFailedIndexesExceeded",
            id="too many",
        ),
    ],
)  # fmt: skip
def test_limits_per_index(
    spec: Obj, status: Obj, owned: list[Obj], created: list[int], failed_indexes: set[int], over: str | None
) -> None:
    wanted = job(status, **{**PER_INDEX, **spec})
    counted = counting.count(wanted, owned)
    planned = plan.plan(wanted, owned, counted, NOW)
    assert (planned.create, counted.failed_indexes) == (created, failed_indexes)
    assert (planned.over and planned.over["reason"]) == over


def test_a_failed_pod_is_kept_until_its_replacement_carries_its_count_on() -> None:
    wanted, first = job(**PER_INDEX), failed_pod("a", 0, annotations={per_index.FAILURES: "0"})
    assert counting.count(wanted, [first]).release == []
    assert per_index.next_annotations(wanted, 0, [first]) == {per_index.FAILURES: "1"}
    second = job_pod("b", "Running", 0)
    second["metadata"]["annotations"][per_index.FAILURES] = "1"
    assert counting.count(wanted, [first, second]).release == [first]


@pytest.mark.parametrize(
    ("rules", "completed", "expected"),
    [
        pytest.param([{"succeededIndexes": "0"}], "0", "Matched rules at index 0", id="the leader"),
        pytest.param([{"succeededIndexes": "0,2"}], "0", "", id="not all of them"),
        pytest.param([{"succeededIndexes": "0-2", "succeededCount": 2}], "1-2", "Matched rules at index 0",
                     id="so many of them"),
        pytest.param([{"succeededCount": 3}], "0,2", "", id="not enough"),
        pytest.param([{"succeededIndexes": "3"}, {"succeededCount": 1}], "1", "Matched rules at index 1",
                     id="the second rule"),
    ],
)  # fmt: skip
def test_success_policy(rules: list[Obj], completed: str, expected: str) -> None:
    spec = {"completionMode": "Indexed", "successPolicy": {"rules": rules}}
    wanted = job({"completedIndexes": completed}, **spec)
    over = plan.plan(wanted, [], counting.count(wanted, []), NOW).over
    assert (over["message"] if over else "") == expected


def test_a_terminating_pod_is_replaced_only_when_it_is_gone_if_the_job_says_so() -> None:
    owned = [job_pod("a", "Running", deleting=True)]
    for spec, missing, failed in (({}, 2, 1), ({"podReplacementPolicy": "Failed"}, 1, 0)):
        wanted = job(**spec)
        counted = counting.count(wanted, owned)
        made = plan._keep_going(wanted, owned, [], counted, NOW + 1000).create
        assert (len(made), counting.total(counted, "failed")) == (missing, failed)

"""test/e2e/apps/job.go: the indexes that may fail, and those that suffice"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.apps.test_job import Object, complete, job, jobs
from tests.conformance.client import Client
from tests.conformance.workload import condition, settled

FAIL = ["sh", "-c", "exit 1"]
FAIL_ODD = ["sh", "-c", "exit $(expr $JOB_COMPLETION_INDEX % 2)"]
FAIL_INDEX = {
    "rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}}],
}


def indexed(name: str, command: list[str], **spec: Any) -> Object:
    """The limit for the whole is the default's where there is one for each index."""
    made = job(name, command, completionMode="Indexed", **spec)
    if "backoffLimitPerIndex" in spec:
        del made["spec"]["backoffLimit"]
    return made


@pytest.mark.parametrize(
    ("command", "spec", "expected"),
    [
        pytest.param(
            FAIL_ODD,
            {"backoffLimitPerIndex": 1},
            {"failedIndexes": "1,3", "completedIndexes": "0,2", "failed": 4, "succeeded": 2},
            id="should execute all indexes despite some failing when using backoffLimitPerIndex",
        ),
        pytest.param(
            FAIL,
            {"backoffLimitPerIndex": 0, "maxFailedIndexes": 0, "parallelism": 1},
            {"failedIndexes": "0", "failed": 1},
            id="should terminate job execution when the number of failed indexes exceeds maxFailedIndexes",
        ),
        pytest.param(
            FAIL_ODD,
            {"backoffLimitPerIndex": 1, "completions": 2, "podFailurePolicy": FAIL_INDEX},
            {"failedIndexes": "1", "completedIndexes": "0", "failed": 1, "succeeded": 1},
            id="should mark indexes as failed when the FailIndex action is matched in podFailurePolicy",
        ),
    ],
)
def test_failed_indexes(
    client: Client, namespace: str, command: list[str], spec: Object, expected: Object
) -> None:
    """[sig-apps] Job should execute all indexes …, terminate job execution …, mark indexes as failed …"""
    of = jobs(client, namespace)
    of.create(indexed("failing", command, **spec))
    found = settled(of, "failing", lambda obj: condition(obj, "Failed").get("status") == "True")
    assert found["status"] == {**found["status"], **expected}


@pytest.mark.parametrize(
    ("command", "spec", "rule", "expected"),
    [
        pytest.param(
            ["true"],
            {"completions": 2},
            {"succeededCount": 2},
            {"succeeded": 2, "failed": 0},
            id="should succeeded when all indexes succeeded",
        ),
        pytest.param(
            FAIL_ODD,
            {"completions": 5},
            {"succeededIndexes": "0"},
            {"succeeded": 1, "completedIndexes": "0"},
            id="succeededIndexes rule should succeeded even when some indexes remain pending",
        ),
        pytest.param(
            FAIL_ODD,
            {"completions": 5, "backoffLimit": 2**31 - 1},
            {"succeededCount": 1},
            {"succeeded": 1, "completedIndexes": "0"},
            id="succeededCount rule should succeeded even when some indexes remain pending",
        ),
    ],
)
def test_success_policy(
    client: Client, namespace: str, command: list[str], spec: Object, rule: Object, expected: Object
) -> None:
    """[sig-apps] Job with successPolicy …"""
    of = jobs(client, namespace)
    of.create(indexed("succeeding", command, successPolicy={"rules": [rule]}, **spec))

    def met(obj: Object) -> bool:
        return bool(condition(obj, "SuccessCriteriaMet").get("reason") == "SuccessPolicy")

    settled(of, "succeeding", met)
    found = complete(of, "succeeding")
    wanted = {"active": 0, "ready": 0, "terminating": 0, **expected}
    status = found["status"]
    assert {key: status.get(key, 0) for key in wanted} == wanted
    assert status["ready"] == status["terminating"] == 0

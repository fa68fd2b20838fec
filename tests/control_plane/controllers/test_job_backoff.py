"""How long the next pod of a job waits, and how many restarts are too many: the cases of the job controller of
Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api.meta import rfc3339
from control_plane.controllers.job import backoff, counting, plan
from tests.control_plane.controllers.objects import NOW, TEMPLATE, Obj, owner, pod


def ended(seconds_ago: float | None = None) -> Obj:
    finished = {} if seconds_ago is None else {"finishedAt": rfc3339(NOW - seconds_ago)}
    return {"name": "c", "restartCount": 0, "state": {"terminated": finished}}


RUNS = {"name": "c", "restartCount": 0, "state": {"running": {}}}


def job(restart_policy: str = "Never", **spec: Any) -> Obj:
    template = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": restart_policy}}
    return owner("Job", "j", "batch/v1", **{"parallelism": 1, "completions": 4, **spec, "template": template})


def finished(phase: str, number: int, seconds_ago: float) -> Obj:
    made = pod(f"{phase}-{number}", phase=phase, owner=job())
    made["status"]["containerStatuses"] = [ended(seconds_ago)]
    return made


@pytest.mark.parametrize(
    ("succeeded", "failed", "expected"),
    [
        ([], [], 0.0),
        ([], [0], 10.0),
        ([], [4], 6.0),
        ([], [10], 0.0),
        ([], [0, 1], 20.0),
        ([0], [2, 1], 0.0),
        ([2], [0, 4, 3, 1], 20.0),
        ([0], [0], 0.0),
        ([0], [], 0.0),
        ([9, 3], [1], 9.0),
        ([], [0, 1, 2, 3, 4, 5], 320.0),
        ([], list(range(7)), 600.0),
        ([], list(range(40)), 600.0),
    ],
    ids=[
        "nothing has ended", "one failure", "one failure a while ago", "long enough ago", "two failures",
        "a success after them", "two since the last success", "at the same time as a success", "a success alone",
        "the last of two successes counts", "doubled each time", "ten minutes at most", "however many",
    ],
)  # fmt: skip
def test_after_failures(succeeded: list[float], failed: list[float], expected: float) -> None:
    owned = [finished("Succeeded", number, at) for number, at in enumerate(succeeded)]
    owned += [finished("Failed", number, at) for number, at in enumerate(failed)]
    assert backoff.of_job(job(), owned, NOW) == expected


def test_the_next_pod_is_made_when_the_wait_is_over() -> None:
    wanted, owned = job(backoffLimit=6), [finished("Failed", 1, 5)]
    wanted["status"] = {"failed": 5}  # long ago, with successes since
    owned.append(finished("Succeeded", 1, 7))
    counted = counting.count(wanted, owned)
    waiting = plan.plan(wanted, owned, counted, NOW)
    assert (waiting.create, waiting.wait_s) == ([], 5.0)
    assert plan.plan(wanted, owned, counted, NOW + 5).create == [None]


def one(statuses: list[Obj], ready: str = "", **more: Any) -> Obj:
    made: Obj = {"metadata": {"creationTimestamp": rfc3339(NOW - 90)}, "spec": {}, "status": {}}
    made["status"]["containerStatuses"] = statuses
    if ready:
        made["status"]["conditions"] = [
            {"type": "Ready", "status": ready, "lastTransitionTime": rfc3339(NOW - 50)}
        ]
    for key, value in more.items():
        made[
            "spec" if key == "initContainers" else "status" if key == "initContainerStatuses" else "metadata"
        ][key] = value
    return made


DELETED = {"deletionTimestamp": rfc3339(NOW - 30)}
SIDECAR = {"name": "s", "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("obj", "seconds_ago"),
    [
        (one([ended(2), ended(1), ended(3)]), 1),
        (one([ended(2), RUNS, ended(3)], **DELETED), 30),
        (one([RUNS], **DELETED), 30),
        (one([RUNS], **DELETED, deletionGracePeriodSeconds=20), 50),
        (one([ended()], "False"), 50),
        (one([ended()], "True", **DELETED), 30),
        (one([ended()]), 90),
        (one([ended(5)], initContainers=[SIDECAR], initContainerStatuses=[{**ended(2), "name": "s"}]), 2),
        (one([ended(5)], initContainers=[{"name": "s"}], initContainerStatuses=[{**ended(2), "name": "s"}]), 5),
    ],
    ids=[
        "the last of its containers", "one runs still", "deleted", "deleted with a grace", "unready",
        "ready and deleted", "made", "a sidecar ends last", "an init container has ended before",
    ],
)  # fmt: skip
def test_when_a_pod_has_ended(obj: Obj, seconds_ago: float) -> None:
    assert backoff.ended_at(obj) == NOW - seconds_ago


@pytest.mark.parametrize(
    ("policy", "limit", "restarts", "phases", "over"),
    [
        ("Never", 0, [5], ["Running"], False),
        ("OnFailure", 1, [0], ["Running"], False),
        ("OnFailure", 1, [1], ["Running"], True),
        ("OnFailure", 1, [2], ["Pending"], True),
        ("OnFailure", 3, [1, 1], ["Running", "Pending"], False),
        ("OnFailure", 3, [1, 2], ["Running", "Running"], True),
        ("OnFailure", 0, [0], ["Running"], False),
        ("OnFailure", 0, [1], ["Running"], True),
        ("OnFailure", 2, [5], ["Succeeded"], False),
    ],
    ids=[
        "pods are not restarted", "no restart", "as many as allowed", "more than that", "fewer, together",
        "as many, together", "none allowed, none made", "none allowed", "of one that has ended",
    ],
)  # fmt: skip
def test_restarts_in_place_count_alone(
    policy: str, limit: int, restarts: list[int], phases: list[str], over: bool
) -> None:
    owned = [
        pod(f"p{number}", phase=phase, restarts=count, owner=job())
        for number, (count, phase) in enumerate(zip(restarts, phases, strict=True))
    ]
    wanted = job(policy, backoffLimit=limit)
    found = plan.plan(wanted, owned, counting.count(wanted, owned), NOW).over
    assert (found is not None) == over
    if found is not None:
        assert found["reason"] == "BackoffLimitExceeded"


def test_restarts_of_all_containers_count() -> None:
    made = pod("p", restarts=1, owner=job())
    made["status"]["initContainerStatuses"] = [{"name": "i", "restartCount": 2}]
    wanted = job("OnFailure", backoffLimit=3)
    assert plan.plan(wanted, [made], counting.count(wanted, [made]), NOW).over is not None

"""The life of a hollow pod, step by step."""

from __future__ import annotations

from typing import Any

import pytest

from node.hollow import behaviour, pod
from node.hollow.behaviour import PREFIX, Defaults
from node.hollow.pod import HollowPod, Stage

T0 = 1_700_000_000.0


def made(policy: str = "Always", deleting: bool = False, status: Any = None, **said: str) -> HollowPod:
    obj: dict[str, Any] = {
        "metadata": {
            "name": "p", "uid": "u", "generation": 1,
            "annotations": {PREFIX + key.replace("_", "-"): text for key, text in said.items()},
        },
        "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": policy},
        "status": status or {},
    }  # fmt: skip
    if deleting:
        obj["metadata"]["deletionTimestamp"] = "2023-11-14T22:13:20Z"
    each = pod.adopt(obj, behaviour.of(obj, Defaults(1.0, 2.0, 0.5)), T0, "100.64.0.1", "172.31.0.1")
    each.deleted_s = T0
    return each


@pytest.mark.parametrize(
    ("each", "trace"),
    [
        pytest.param(made(), [(0, "created", 1), (1, "running", None)], id="a server"),
        pytest.param(
            made("Never"), [(0, "created", 1), (1, "running", 3), (3, "ended", None)], id="one shot"
        ),
        pytest.param(
            made("OnFailure", exit_code="1"),
            [(1, "running", 3), (3, "running", 5), (5, "back-off", 15), (15, "running", 17)],
            id="a crash loop backs off",
        ),
        pytest.param(made("Never"), [(60, "ended", None)], id="several steps at once"),
        pytest.param(made(waiting="ErrImagePull"), [(99, "created", None)], id="never starts"),
        pytest.param(made(deleting=True), [(0, "created", 0.5), (1, "gone", None)], id="deleted"),
        pytest.param(
            made(status={"phase": "Running", "startTime": "2023-11-14T22:13:10Z"}),
            [(0, "running", None)],
            id="resumed",
        ),
        pytest.param(made(status={"phase": "Succeeded"}), [(9, "ended", None)], id="ended before"),
    ],
)
def test_steps(each: HollowPod, trace: list[tuple[float, str, float | None]]) -> None:
    for after_s, stage, due_s in trace:
        due = pod.step(each, T0 + after_s)
        assert (each.stage, due) == (Stage(stage), None if due_s is None else T0 + due_s), after_s


@pytest.mark.parametrize(
    ("each", "after_s", "phase", "state", "ready"),
    [
        pytest.param(made(), 0, "Pending", "waiting", "False", id="being created"),
        pytest.param(made(waiting="ErrImagePull"), 9, "Pending", "waiting", "False", id="image missing"),
        pytest.param(made(), 2, "Running", "running", "True", id="running"),
        pytest.param(made(ready="false"), 2, "Running", "running", "False", id="running, not ready"),
        pytest.param(made("Never"), 9, "Succeeded", "terminated", "False", id="succeeded"),
        pytest.param(made("Never", exit_code="2"), 9, "Failed", "terminated", "False", id="failed"),
        pytest.param(made(exit_code="2", run_for="1s"), 4, "Running", "waiting", "False", id="back-off"),
        pytest.param(made(deleting=True), 9, "Failed", "terminated", "False", id="killed"),
    ],
)
def test_status(each: HollowPod, after_s: float, phase: str, state: str, ready: str) -> None:
    pod.step(each, T0 + after_s)
    status = pod.status(each)
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert (status["phase"], conditions["Ready"]) == (phase, ready)
    assert list(status["containerStatuses"][0]["state"]) == [state]
    assert status["containerStatuses"][0]["ready"] is (ready == "True")


def test_a_pod_that_ended_before_it_was_deleted_keeps_its_phase() -> None:
    each = made("Never", deleting=True, status={"phase": "Succeeded"})
    pod.step(each, T0)
    assert (each.stage, pod.status(each)["phase"]) == (Stage.GONE, "Succeeded")

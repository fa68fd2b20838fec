"""What a hollow pod will do: from its command, its annotations and labels, its restart policy."""

from __future__ import annotations

from typing import Any

import pytest

from node.hollow import behaviour
from node.hollow.behaviour import Behaviour, Defaults, command_outcome

DEFAULTS = Defaults(start_delay_s=0.2, run_duration_s=0.5, stop_delay_s=0.1)


def pod(
    command: list[str] | None = None,
    policy: str = "Always",
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    grace_s: int = 30,
) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "image": "i", **({"command": command} if command else {})}
    prefixed = [
        {f"hollow.balsa.dev/{key}": text for key, text in (each or {}).items()}
        for each in (annotations, labels)
    ]
    return {
        "metadata": {"name": "p", "uid": "u", "annotations": prefixed[0], "labels": prefixed[1]},
        "spec": {
            "containers": [container],
            "restartPolicy": policy,
            "terminationGracePeriodSeconds": grace_s,
        },
    }


def made(**fields: Any) -> Behaviour:
    plain = {
        "start_delay_s": 0.2, "runs_for_s": None, "exit_code": 0, "ready": True, "waiting": "",
        "stop_delay_s": 0.1, "restarts": True,
    }  # fmt: skip
    return Behaviour(**{**plain, **fields})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["sleep", "5"], (5.0, 0), id="sleep"),
        pytest.param(["/bin/sleep", "2m"], (120.0, 0), id="sleep minutes"),
        pytest.param(["sleep", "infinity"], (float("inf"), 0), id="sleep for ever"),
        pytest.param(["true"], (0.0, 0), id="true"),
        pytest.param(["false"], (0.0, 1), id="false"),
        pytest.param(["sh", "-c", "echo hello; sleep 1 && exit 3"], (1.0, 3), id="script"),
        pytest.param(["/bin/bash", "-ec", "false"], (0.0, 1), id="the last one's code"),
        pytest.param(["sh", "-c", "while true; do sleep 1; done"], None, id="a loop is not understood"),
        pytest.param(["nginx"], None, id="a server is not understood"),
        pytest.param(["sleep", "soon"], None, id="sleep of nonsense"),
        pytest.param([], None, id="the image's own"),
    ],
)
def test_commands(words: list[str], expected: tuple[float, int] | None) -> None:
    assert command_outcome(words) == expected


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(pod(), made(), id="a server runs for ever"),
        pytest.param(pod(policy="Never"), made(runs_for_s=0.5, restarts=False), id="a one-shot pod ends"),
        pytest.param(
            pod(["false"], "OnFailure"), made(runs_for_s=0.0, exit_code=1), id="on failure: restarts"
        ),
        pytest.param(pod(["true"], "OnFailure"), made(runs_for_s=0.0, restarts=False), id="on success: ends"),
        pytest.param(
            pod(policy="Never", annotations={"run-for": "3s", "exit-code": "7"}),
            made(runs_for_s=3.0, exit_code=7, restarts=False),
            id="annotations",
        ),
        pytest.param(
            pod(["true"], "Never", labels={"run-for": "forever"}), made(restarts=False), id="a label"
        ),
        pytest.param(
            pod(annotations={"waiting": "ErrImagePull"}), made(waiting="ErrImagePull"), id="waiting"
        ),
        pytest.param(pod(annotations={"ready": "false"}), made(ready=False), id="never ready"),
        pytest.param(
            pod(annotations={"start-after": "soon", "exit-code": "-"}), made(), id="nonsense is ignored"
        ),
        pytest.param(
            pod(annotations={"stop-after": "60s"}, grace_s=5),
            made(stop_delay_s=5),
            id="never beyond the grace",
        ),
    ],
)
def test_behaviour(obj: dict[str, Any], expected: Behaviour) -> None:
    assert behaviour.of(obj, DEFAULTS) == expected

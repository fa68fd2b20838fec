"""What the status says, by cases."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from node.agent.view import Outcome, Probes
from tests.node.agent.conftest import make_pod, sidecar
from tests.node.agent.test_pod_state import up
from tests.node.agent.world import PodWorld

Obj = dict[str, Any]
PROBE = {"readinessProbe": {"exec": {}}}


def condition(world: PodWorld, kind: str) -> Obj:
    world.step()
    return next(each for each in world.status["conditions"] if each["type"] == kind)


def shown(world: PodWorld, kind: str) -> tuple[str, str, str]:
    found = condition(world, kind)
    return found["status"], found.get("reason", ""), found.get("message", "")


def test_before_anything_is_there() -> None:
    world = PodWorld(make_pod(init=["a"]))
    assert shown(world, "PodScheduled") == ("True", "", "")
    assert shown(world, "PodReadyToStartContainers") == ("False", "", "")
    reason = "containers with incomplete status: [a]"
    assert shown(world, "Initialized") == ("False", "ContainersNotInitialized", reason)
    reason = "containers with unready status: [main]"
    assert shown(world, "Ready") == ("False", "ContainersNotReady", reason)
    assert world.status["phase"] == "Pending"
    assert world.status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_running_pod() -> None:
    world = up(make_pod())
    for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"):
        assert shown(world, kind) == ("True", "", "")
    status = world.status
    assert (status["podIP"], status["podIPs"]) == ("10.244.1.7", [{"ip": "10.244.1.7"}])
    assert (status["hostIP"], status["hostIPs"]) == ("172.30.0.11", [{"ip": "172.30.0.11"}])
    assert status["startTime"] == "1970-01-12T13:46:40Z"
    container = status["containerStatuses"][0]
    assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)
    assert container["containerID"] == "process://main-0"


@pytest.mark.parametrize(
    ("probes", "started", "ready"),
    [
        pytest.param(Probes(), False, False, id="no verdict yet"),
        pytest.param(Probes(startup=True), True, False, id="started, not ready"),
        pytest.param(Probes(startup=True, readiness=True), True, True, id="ready"),
        pytest.param(Probes(startup=True, readiness=False), True, False, id="not ready any more"),
    ],
)
def test_probes_gate_started_and_ready(probes: Probes, started: bool, ready: bool) -> None:
    container = {"name": "main", "startupProbe": {"exec": {}}, **PROBE}
    world = up(make_pod(containers=[container]))
    world.probes["main-0"] = probes
    world.step()
    status = world.status["containerStatuses"][0]
    assert (status["started"], status["ready"]) == (started, ready)


@pytest.mark.parametrize(
    ("conditions", "status", "message"),
    [
        pytest.param(
            [], "False", 'corresponding condition of pod readiness gate "lb" does not exist.', id="not there"
        ),
        pytest.param(
            [{"type": "lb", "status": "False"}], "False",
            'the status of pod readiness gate "lb" is not "True", but False', id="false",
        ),
        pytest.param([{"type": "lb", "status": "True"}], "True", "", id="true"),
    ],
)  # fmt: skip
def test_readiness_gates(conditions: list[Obj], status: str, message: str) -> None:
    world = PodWorld(make_pod(readinessGates=[{"conditionType": "lb"}]))
    world.status = {"conditions": conditions}
    world.settle()
    found = shown(world, "Ready")
    assert (found[0], found[2]) == (status, message)
    assert condition(world, "ContainersReady")["status"] == "True"
    assert [each for each in world.status["conditions"] if each["type"] == "lb"] == conditions


def test_transition_times_change_only_with_the_status() -> None:
    world = up(make_pod(containers=[{"name": "main", **PROBE}]))
    before = condition(world, "Ready")["lastTransitionTime"]
    world.now_s += 60
    assert condition(world, "Ready")["lastTransitionTime"] == before
    world.probes["main-0"] = Probes(readiness=True)
    assert condition(world, "Ready")["lastTransitionTime"] != before


@pytest.mark.parametrize(
    ("code", "reason"), [(0, "PodCompleted"), (1, "PodFailed")], ids=["succeeded", "failed"]
)
def test_an_ended_pod_is_not_ready(code: int, reason: str) -> None:
    world = up(make_pod(restartPolicy="Never"))
    world.exit("main-0", code)
    world.settle()
    assert shown(world, "Ready")[:2] == ("False", reason)
    assert shown(world, "ContainersReady")[:2] == ("False", reason)
    assert world.status["podIP"] == "10.244.1.7", "an ended pod keeps showing its address"
    ended = world.status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (code, "Error" if code else "Completed")


def test_sidecars_count_for_readiness_and_init_containers_do_not() -> None:
    world = up(make_pod(init=[sidecar("s", **PROBE)]))
    assert shown(world, "Ready") == ("False", "ContainersNotReady", "containers with unready status: [s]")


def test_host_network_pods_have_the_nodes_address() -> None:
    world = up(make_pod(hostNetwork=True))
    config = world.sandboxes[0].config
    host = dataclasses.replace(config, host_network=True)
    world.sandboxes[0] = dataclasses.replace(world.sandboxes[0], config=host, ips=())
    world.step()
    assert world.status["podIP"] == "172.30.0.11"


def test_a_rejected_pod_says_why_and_shows_no_containers() -> None:
    world = PodWorld(make_pod())
    world.outcome = Outcome("Failed", "OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu")
    world.step()
    assert (world.status["phase"], world.status["reason"]) == ("Failed", "OutOfcpu")
    assert "containerStatuses" not in world.status


def test_containers_are_listed_by_name_and_init_containers_in_order() -> None:
    world = up(make_pod(containers=["b", "a"], init=[sidecar("z"), sidecar("y")]))
    assert [each["name"] for each in world.status["containerStatuses"]] == ["a", "b"]
    assert [each["name"] for each in world.status["initContainerStatuses"]] == ["z", "y"]


def test_a_lost_container_of_a_deleted_pod_has_failed() -> None:
    world = up(make_pod())
    world.containers.clear()
    world.delete(30)
    world.settle()
    lost = world.status["containerStatuses"][0]["state"]["terminated"]
    assert (lost["exitCode"], lost["reason"]) == (137, "ContainerStatusUnknown")
    assert world.status["phase"] == "Failed"

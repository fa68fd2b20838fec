"""The pod state machine by cases: what is there -> what is done next, and what the status says."""

from __future__ import annotations

from typing import Any

import pytest

from node.agent.view import (
    BackOff,
    CreateSandbox,
    Finish,
    ImageBackOff,
    Probes,
    Problem,
    SetUpVolumes,
    StartContainer,
    StopContainer,
    StopSandbox,
)
from tests.node.agent.conftest import make_pod, sidecar
from tests.node.agent.world import PodWorld

Obj = dict[str, Any]


def up(pod: Obj) -> PodWorld:
    """A world whose pod has come as far as it does by itself."""
    world = PodWorld(pod)
    world.settle()
    return world


def in_sandbox(pod: Obj) -> PodWorld:
    """Volumes and sandbox are there, no container yet."""
    world = PodWorld(pod)
    for _ in range(2):
        world.step()
        world.work()
    return world


def started(world: PodWorld) -> list[str]:
    return [name for name, _ in world.starts]


def waiting(world: PodWorld, index: int = 0) -> Obj:
    world.step()
    return dict(world.status["containerStatuses"][index]["state"].get("waiting") or {})


# ---- the way up


def test_volumes_come_before_the_sandbox_and_that_before_containers() -> None:
    world = PodWorld(make_pod())
    assert world.step().actions == (SetUpVolumes(),)
    world.work()
    assert world.step().actions == (CreateSandbox(0),)
    world.work()
    assert [type(each) for each in world.step().actions] == [StartContainer]


def test_nothing_is_asked_for_twice() -> None:
    world = PodWorld(make_pod())
    for _ in range(3):
        world.step()
        assert world.step().actions == ()
        world.work()


@pytest.mark.parametrize(
    ("init", "order"),
    [
        pytest.param(["a", "b"], ["a"], id="one init container at a time"),
        pytest.param([sidecar("s"), "a"], ["s", "a"], id="a started sidecar lets the next begin"),
        pytest.param([sidecar("s"), sidecar("t")], ["s", "t", "main"], id="sidecars before main containers"),
        pytest.param(
            [sidecar("s", startupProbe={"exec": {}}), "a"],
            ["s"],
            id="a sidecar that has not started up holds back",
        ),
    ],
)
def test_init_order(init: list[Any], order: list[str]) -> None:
    assert started(up(make_pod(init=init))) == order


def test_main_containers_start_when_the_last_init_container_has_succeeded() -> None:
    world = up(make_pod(init=["a"]))
    world.exit("a-0", 0)
    world.settle()
    assert started(world) == ["a", "main"]


@pytest.mark.parametrize(
    ("policy", "again"),
    [("Always", True), ("OnFailure", True), ("Never", False)],
    ids=["Always", "OnFailure", "Never"],
)
def test_a_failed_init_container(policy: str, again: bool) -> None:
    world = up(make_pod(init=["a"], restartPolicy=policy))
    world.exit("a-0", 1)
    world.settle()
    assert started(world) == (["a", "a"] if again else ["a"])
    assert world.status["phase"] == ("Pending" if again else "Failed")


def test_a_dead_sidecar_comes_back_while_an_init_container_runs() -> None:
    world = up(make_pod(init=[sidecar("s"), "a"]))
    world.exit("s-0", 1)
    world.settle()
    assert started(world) == ["s", "a", "s"]


# ---- restarts


@pytest.mark.parametrize(
    ("policy", "code", "phase", "restarts"),
    [
        pytest.param("Always", 0, "Running", 1, id="Always, well"),
        pytest.param("Always", 1, "Running", 1, id="Always, badly"),
        pytest.param("OnFailure", 0, "Succeeded", 0, id="OnFailure, well"),
        pytest.param("OnFailure", 1, "Running", 1, id="OnFailure, badly"),
        pytest.param("Never", 0, "Succeeded", 0, id="Never, well"),
        pytest.param("Never", 1, "Failed", 0, id="Never, badly"),
    ],
)
def test_restart_policy(policy: str, code: int, phase: str, restarts: int) -> None:
    world = up(make_pod(restartPolicy=policy))
    world.exit("main-0", code)
    world.settle()
    world.step()
    assert world.status["phase"] == phase
    assert world.status["containerStatuses"][0]["restartCount"] == restarts


@pytest.mark.parametrize(
    ("code", "restarted"), [(42, True), (1, False)], ids=["a code of the rule", "another code"]
)
def test_restart_rules_of_a_container_win_over_the_policy(code: int, restarted: bool) -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    container = {"name": "main", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    world = up(make_pod(containers=[container], restartPolicy="Never"))
    world.exit("main-0", code)
    world.settle()
    assert (len(world.starts) == 2) is restarted


def test_the_backoff_doubles_to_its_limit_and_is_reset_by_a_long_run() -> None:
    world = up(make_pod())
    waits: list[float] = []
    for attempt in range(8):
        world.exit(f"main-{attempt}", 1)
        before_s = world.now_s
        plan = world.step()
        while not world.starting:
            assert plan.wake_at_s is not None
            world.now_s = plan.wake_at_s
            plan = world.step()
        waits.append(world.now_s - before_s)
        world.work()
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]
    world.now_s += 601
    world.exit("main-8", 1)
    world.step()
    assert world.starting, "a run of ten minutes forgets the back-off"


def test_crash_loop_back_off_is_shown_and_said() -> None:
    world = up(make_pod())
    world.exit("main-0", 1)
    world.settle()
    world.exit("main-1", 1)
    assert BackOff("main", 1) in world.step().actions
    assert waiting(world) == {
        "reason": "CrashLoopBackOff",
        "message": "back-off 10s restarting failed container=main pod=web_default(uid-web)",
    }
    assert world.status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1


@pytest.mark.parametrize(
    ("policy", "code", "restarted"),
    [("Always", 0, True), ("OnFailure", 0, True), ("Never", 0, False)],
    ids=["Always", "OnFailure, though it ended well", "Never"],
)
def test_a_container_killed_by_its_liveness_probe(policy: str, code: int, restarted: bool) -> None:
    world = up(make_pod(containers=[{"name": "main", "livenessProbe": {"exec": {}}}], restartPolicy=policy))
    world.probes["main-0"] = Probes(liveness=False)
    (stop,) = world.step().actions
    assert isinstance(stop, StopContainer)
    suffix = ", will be restarted" if policy != "Never" else ""
    assert stop.message == f"Container main failed liveness probe{suffix}"
    world.finish_stop("main-0", code)
    world.settle()
    assert (len(world.starts) == 2) is restarted


def test_the_grace_of_a_failed_probe_is_its_own() -> None:
    probe = {"exec": {}, "terminationGracePeriodSeconds": 5}
    world = up(make_pod(containers=[{"name": "main", "livenessProbe": probe}]))
    world.probes["main-0"] = Probes(liveness=False)
    (stop,) = world.step().actions
    assert isinstance(stop, StopContainer)
    assert stop.deadline_s == world.now_s + 5


def test_a_changed_image_restarts_the_container() -> None:
    pod = make_pod()
    world = up(pod)
    changed = {**pod["spec"], "containers": [{**pod["spec"]["containers"][0], "image": "busybox:2"}]}
    world.pod = {**pod, "spec": changed}
    (stop,) = world.step().actions
    assert isinstance(stop, StopContainer)
    assert stop.message == "Container main definition changed, will be restarted"


# ---- images and configuration


def image_problem(world: PodWorld) -> Problem:
    return Problem("main", "ErrImagePull", "no such image", world.now_s, world.now_s + 10, 1, "nginx")


def test_a_failed_pull_is_shown_then_backs_off_then_is_tried_again() -> None:
    world = in_sandbox(make_pod())
    world.problems["main"] = image_problem(world)
    plan = world.step()
    assert plan.actions == ()
    assert waiting(world) == {"reason": "ErrImagePull", "message": "no such image"}
    assert plan.wake_at_s is not None
    world.now_s = plan.wake_at_s
    assert world.step().actions == (ImageBackOff("main", "nginx", 1),)
    assert waiting(world) == {
        "reason": "ImagePullBackOff",
        "message": 'Back-off pulling image "nginx": ErrImagePull: no such image',
    }
    world.now_s += 10
    assert [type(each) for each in world.step().actions] == [StartContainer]


def test_another_container_starts_while_one_has_a_problem() -> None:
    world = in_sandbox(make_pod(containers=["main", "other"]))
    world.problems["main"] = Problem("main", "CreateContainerConfigError", "x", world.now_s, world.now_s + 2)
    world.settle(1)
    assert started(world) == ["other"]
    assert world.status["phase"] == "Pending"


# ---- sandboxes


def test_a_lost_sandbox_is_followed_by_another_and_everything_runs_again() -> None:
    world = up(make_pod(init=["a"]))
    world.exit("a-0", 0)
    world.settle()
    world.kill_sandbox("s0")
    world.settle()
    assert [each.config.attempt for each in world.sandboxes] == [0, 1]
    assert world.starts[-1] == ("a", 1)


def test_a_pod_that_may_not_restart_fails_with_its_sandbox() -> None:
    world = up(make_pod(restartPolicy="Never"))
    world.kill_sandbox("s0")
    world.settle()
    assert (world.status["phase"], len(world.sandboxes)) == ("Failed", 1)


# ---- the way down


def deleted(pod: Obj, grace_s: int = 30) -> PodWorld:
    world = up(pod)
    world.delete(grace_s)
    return world


def test_deletion_stops_containers_then_the_sandbox_then_finishes() -> None:
    world = deleted(make_pod(containers=["main", "other"]))
    assert [type(each) for each in world.step().actions] == [StopContainer, StopContainer]
    world.work()
    assert world.step().actions == (StopSandbox("s0"),)
    world.work()
    assert world.step().actions == (Finish(),)


def test_sidecars_end_last_and_in_reverse() -> None:
    world = deleted(make_pod(init=[sidecar("s"), sidecar("t")]))
    order = []
    while not world.finished:
        for each in world.step().actions:
            if isinstance(each, StopContainer):
                order.append(each.name)
        world.work()
    assert order == ["main", "t", "s"]


def test_past_the_deadline_sidecars_do_not_wait() -> None:
    world = deleted(make_pod(init=[sidecar("s")]), grace_s=10)
    world.step()
    world.now_s += 11
    assert [each.name for each in world.step().actions if isinstance(each, StopContainer)] == ["s"]


def test_a_shorter_grace_moves_the_deadline_and_a_longer_one_does_not() -> None:
    world = deleted(make_pod(), grace_s=30)
    (first,) = world.step().actions
    world.delete(5)
    (again,) = world.step().actions
    assert isinstance(first, StopContainer)
    assert isinstance(again, StopContainer)
    assert again.deadline_s == first.deadline_s - 25
    assert not again.run_pre_stop
    world.delete(60)
    assert world.step().actions == ()


def test_a_deleted_pod_that_never_started_just_finishes() -> None:
    world = PodWorld(make_pod())
    world.delete(30)
    assert world.step().actions == (Finish(),)


def test_a_pod_that_is_gone_is_stopped_too() -> None:
    world = up(make_pod())
    world.gone = True
    world.settle()
    assert world.finished


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_an_ended_pod_never_runs_again(phase: str) -> None:
    pod = make_pod()
    pod["status"] = {"phase": phase}
    world = PodWorld(pod)
    assert world.step().actions == (Finish(),)
    assert world.status["phase"] == phase


def test_the_active_deadline() -> None:
    world = up(make_pod(activeDeadlineSeconds=60))
    assert world.step().wake_at_s == 1_000_060
    world.now_s += 60
    world.settle()
    status = world.status
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    assert status["message"] == "Pod was active on the node longer than the specified deadline"


def test_the_end_is_told_only_when_nothing_runs() -> None:
    world = up(make_pod(init=[sidecar("s")], restartPolicy="Never"))
    world.exit("main-0", 0)
    world.step()
    assert world.status["phase"] == "Running"
    world.settle()
    assert world.status["phase"] == "Succeeded"

"""Preemption: who goes, from where, and when nobody does."""

from __future__ import annotations

import pytest

from control_plane.client.types import Obj
from control_plane.scheduler.framework.fit_error import FitError
from control_plane.scheduler.framework.pod_info import pod_info
from tests.control_plane.scheduler.build import World, node, pod


def started(minute: int) -> Obj:
    return {"phase": "Running", "startTime": f"2026-01-01T00:{minute:02}:00Z"}


def preempt(world: World, obj: Obj) -> tuple[str | None, str]:
    """(the node promised, what is said)."""
    info = pod_info(obj)
    try:
        world.algorithm.place(world.profile, info)
    except FitError as error:
        state = world.algorithm.state_for(world.profile, info)
        result, status = world.profile.run_post_filters(state, info, error.diagnosis.statuses)
        return (result.nominated_node if result else None), status.message if status else ""
    raise AssertionError("it fits")


def low(name: str, on: str, cpu: str = "2", priority: int = 0, minute: int = 0, **more: object) -> Obj:
    return pod(name, on=on, cpu=cpu, priority=priority, status=started(minute), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("existing", "cpu", "expected"),
    [
        pytest.param([low("a", "x"), low("b", "x")], "2", ("x", ["b"]), id="as few as possible"),
        pytest.param(
            [low("a", "x", minute=5), low("b", "x", minute=1)], "2", ("x", ["a"]), id="the younger goes"
        ),
        pytest.param(
            [low("a", "x", priority=2), low("b", "x", priority=1)],
            "2",
            ("x", ["b"]),
            id="the less important goes",
        ),
        pytest.param([low("a", "x"), low("b", "x")], "4", ("x", ["a", "b"]), id="all if need be"),
        pytest.param(
            [low("a", "x", "4", priority=3), low("b", "y", "4", priority=1)],
            "4",
            ("y", ["b"]),
            id="the node whose first victim matters least",
        ),
        pytest.param(
            [low("a", "x"), low("b", "x"), low("c", "y", "4")],
            "4",
            ("y", ["c"]),
            id="the node with fewer victims",
        ),
        pytest.param(
            [low("a", "x", "4", minute=1), low("b", "y", "4", minute=9)], "4", ("y", ["b"]), id="the youngest"
        ),
    ],
)
def test_victims(existing: list[Obj], cpu: str, expected: tuple[str, list[str]]) -> None:
    nodes = sorted({each["spec"]["nodeName"] for each in existing})
    world = World([node(name) for name in nodes], existing)
    promised, _ = preempt(world, pod("vip", cpu=cpu, priority=10))
    assert world.preempted == [expected]
    assert promised == expected[0]


def budget(labels: dict[str, str], allowed: int) -> Obj:
    return {
        "metadata": {"name": "pdb", "namespace": "default", "uid": "pdb"},
        "spec": {"selector": {"matchLabels": labels}},
        "status": {"disruptionsAllowed": allowed},
    }


@pytest.mark.parametrize(
    ("allowed", "victim"),
    [pytest.param(0, "b", id="protected"), pytest.param(1, "a", id="one may go: then the younger one")],
)
def test_budgets_are_respected_while_there_is_a_choice(allowed: int, victim: str) -> None:
    existing = [low("a", "x", minute=9, labels={"app": "db"}), low("b", "x", labels={"app": "web"})]
    world = World([node("x")], existing)
    world.budgets = [budget({"app": "db"}, allowed)]
    preempt(world, pod("vip", cpu="2", priority=10))
    assert world.preempted == [("x", [victim])]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        pytest.param(
            pod(cpu="2"),
            "no new claims to deallocate, preemption: 0/2 nodes are available: "
            "1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.",
            id="nobody is less important",
        ),
        pytest.param(
            pod(cpu="2", priority=10, preemptionPolicy="Never"),
            "no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.",
            id="it does not preempt",
        ),
        pytest.param(
            pod(cpu="9", priority=10),
            "no new claims to deallocate, preemption: 0/2 nodes are available: "
            "2 Preemption is not helpful for scheduling.",
            id="no node is big enough",
        ),
    ],
)
def test_no_preemption(wanted: Obj, said: str) -> None:
    world = World([node("x"), node("t", taints=["k=v:NoSchedule"])], [low("a", "x", "4")])
    assert preempt(world, wanted) == (None, said)
    assert world.preempted == []


def test_it_waits_for_its_victims_to_leave() -> None:
    leaving = low("a", "x", "4", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    leaving["status"]["conditions"] = [
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    ]
    world = World([node("x")], [leaving])
    vip = pod("vip", cpu="2", priority=10, status={"nominatedNodeName": "x"})
    assert preempt(world, vip) == (
        None,
        "no new claims to deallocate, preemption: not eligible due to a terminating pod on the nominated node.",
    )


def test_less_important_promises_are_taken_back() -> None:
    world = World([node("x")], [low("a", "x", "4")])
    world.nominator.nominate(pod_info(pod("other", cpu="1", priority=1)), "x")
    preempt(world, pod("vip", cpu="4", priority=10))
    assert world.nominator.on("x") == []

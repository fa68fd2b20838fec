"""In-place resize: the judgement, what follows from it in the plan and the status, and a pod's whole resize."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from control_plane.client import gvr
from node.agent import pod_state, resize, status_patch
from node.agent.resize import NO_RESIZE, Pending, Resizing, Trouble
from node.agent.view import ResizeContainer, StopContainer
from node.runtime.interface import BelowUsage, PodResources, Resources
from tests.node.agent.conftest import eventually, make_pod
from tests.node.agent.whole_agent import Node
from tests.node.agent.world import PodWorld

Obj = dict[str, Any]
NODE = {
    "metadata": {"name": "node-1"},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"}},
}

NO_ROOM = "Node didn't have enough"
WHOLE = {"requests": {"cpu": "1", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}}
MORE = {"requests": {"cpu": "1500m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}}
GIB = 2**30


def sized(name: str = "web", cpu: str = "500m", memory: str = "128Mi", **more: Any) -> Obj:
    amounts = {"cpu": cpu, "memory": memory}
    container = {"name": "main", "resources": {"requests": amounts, "limits": amounts}, **more}
    return make_pod(name, containers=[container])


def as_a_whole(name: str = "web", resources: Obj = WHOLE, **more: Any) -> Obj:
    return make_pod(name, containers=[{"name": "main"}, {"name": "side"}], resources=resources, **more)


@pytest.mark.parametrize(
    ("pod", "others", "expected"),
    [
        pytest.param(sized(cpu="1"), [sized("other", cpu="1")], None, id="fits"),
        pytest.param(
            sized(cpu="1500m"), [sized("other", cpu="1")],
            Pending("Deferred", f"{NO_ROOM} resource: cpu, requested: 1500, used: 1000, capacity: 2000"),
            id="not-beside-the-others",
        ),
        pytest.param(
            sized(cpu="6"), [],
            Pending("Infeasible", f"{NO_ROOM} capacity: cpu, requested: 6000, capacity: 2000"),
            id="never",
        ),
        pytest.param(
            sized(memory="2Gi"), [],
            Pending("Infeasible", f"{NO_ROOM} capacity: memory, requested: {2 * GIB}, capacity: {GIB}"),
            id="never-memory",
        ),
        pytest.param(as_a_whole(), [as_a_whole("other")], None, id="pods-as-a-whole"),
        pytest.param(
            as_a_whole(resources=MORE), [as_a_whole("other")],
            Pending("Deferred", f"{NO_ROOM} resource: cpu, requested: 1500, used: 1000, capacity: 2000"),
            id="a-pod-as-a-whole-not-beside-another",
        ),
    ],
)  # fmt: skip
def test_judgement(pod: Obj, others: list[Obj], expected: Pending | None) -> None:
    assert resize.judge(pod, NODE, others) == expected


def test_a_static_pod_keeps_its_size() -> None:
    pod = sized()
    pod["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert resize.judge(pod, NODE, []) == Pending("Infeasible", resize.STATIC_MESSAGE)


@pytest.mark.parametrize(
    ("one", "other", "changed"),
    [
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "1000m"}}, set()),
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1024Mi"}}, set()),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "2"}}, {"cpu"}),
        ({}, {"limits": {"memory": "1Gi"}}, {"memory"}),
        ({"requests": {"ephemeral-storage": "1"}}, {}, set()),
    ],
)
def test_what_a_resize_changes(one: Obj, other: Obj, changed: set[str]) -> None:
    assert resize.changed_resources(one, other) == changed


def test_the_pod_as_it_is_allocated() -> None:
    before, after = sized(cpu="500m"), sized(cpu="1")
    given = resize.allocation(before)
    assert resize.differs(after, given)
    assert resize.with_allocation(after, given)["spec"] == before["spec"]
    assert resize.with_allocation(before, given) is before
    assert (resize.grows(after, given), resize.grows(sized(cpu="100m"), given)) == (True, False)


def test_a_pod_as_a_whole_as_it_is_allocated() -> None:
    before, after = as_a_whole(), as_a_whole(resources=MORE)
    given = resize.allocation(before)
    assert resize.differs(after, given)
    assert resize.with_allocation(after, given)["spec"]["resources"] == WHOLE
    assert resize.with_allocation(before, given) is before
    assert (resize.grows(after, given), resize.grows(before, given)) == (True, False)
    text = json.loads(resize.event_text("started", after).removeprefix("Pod resize started: "))
    assert text["resources"] == MORE
    assert [each["name"] for each in text["containers"]] == ["main", "side"]


def test_what_an_earlier_agent_had_given_a_pod_as_a_whole() -> None:
    world = Running(as_a_whole())
    after = as_a_whole(resources=MORE)
    assert resize.adopted(after, world.containers)[resize.POD] == WHOLE
    world = Running(make_pod("web", containers=[{"name": "main"}, {"name": "side"}]))
    assert resize.adopted(after, world.containers)[resize.POD] == {}, "it has to be judged first"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            BelowUsage("pod 1000 2000"),
            "cannot decrease memory limits: attempting to set pod memory limit (1000) below current usage (2000)",
        ),
        (
            BelowUsage("1000 2000"),
            'cannot decrease memory limits: attempting to set container "main" memory limit (1000) below '
            "current usage (2000)",
        ),
    ],
)
def test_what_went_wrong(error: BelowUsage, text: str) -> None:
    assert resize.trouble_message("main", error) == text


class Running(PodWorld):
    """A world in which the containers run with the amounts of `before`."""

    def __init__(self, before: Obj) -> None:
        super().__init__(before)
        self.settle()
        self.actuate(before)
        self.resizing = NO_RESIZE

    def actuate(self, pod: Obj, *names: str) -> None:
        """Those with these names, or all."""
        notes = {each["name"]: resize.notes(pod, each) for each in pod["spec"]["containers"]}
        self.containers = [
            replace(each, config=replace(each.config, annotations={**each.config.annotations, **note}))
            if (note := notes[each.config.name]) and (not names or each.config.name in names)
            else each
            for each in self.containers
        ]

    def view(self) -> Any:
        return replace(super().view(), resizing=getattr(self, "resizing", NO_RESIZE))

    def condition(self, kind: str) -> Obj | None:
        self.step()
        return next((each for each in self.status["conditions"] if each["type"] == kind), None)


def actions(world: Running) -> tuple[Any, ...]:
    return pod_state.plan(world.view()).actions


def test_what_is_allocated_is_given_once() -> None:
    world = Running(sized(cpu="500m"))
    assert actions(world) == ()
    world.pod = sized(cpu="1")
    assert actions(world) == (ResizeContainer("main-0", "main"),)
    world.resizing = Resizing(under_way=frozenset({"main-0"}))
    assert actions(world) == ()
    world.resizing = NO_RESIZE
    world.actuate(world.pod)
    assert actions(world) == ()


def test_every_container_takes_what_its_pod_is_allocated() -> None:
    world = Running(as_a_whole())
    assert actions(world) == ()
    world.pod = as_a_whole(resources=MORE)
    assert set(actions(world)) == {ResizeContainer("main-0", "main"), ResizeContainer("side-0", "side")}
    world.actuate(world.pod, "main")
    assert actions(world) == (ResizeContainer("side-0", "side"),)
    world.step()
    assert (world.status["resources"], world.status["allocatedResources"]) == (WHOLE, MORE["requests"])
    assert world.condition("PodResizeInProgress") is not None
    world.actuate(world.pod, "side")
    assert actions(world) == ()
    assert world.condition("PodResizeInProgress") is None
    assert world.status["resources"] == MORE


RESTART_FOR_MEMORY = [
    {"resourceName": "cpu", "restartPolicy": "NotRequired"},
    {"resourceName": "memory", "restartPolicy": "RestartContainer"},
]


@pytest.mark.parametrize(
    ("after", "restarts"),
    [
        pytest.param(sized(cpu="1", resizePolicy=RESTART_FOR_MEMORY), False, id="cpu"),
        pytest.param(sized(memory="256Mi", resizePolicy=RESTART_FOR_MEMORY), True, id="memory"),
        pytest.param(sized(cpu="1", memory="256Mi", resizePolicy=RESTART_FOR_MEMORY), True, id="both"),
    ],
)
def test_the_policy_says_which_change_restarts(after: Obj, restarts: bool) -> None:
    world = Running(sized(resizePolicy=RESTART_FOR_MEMORY))
    world.pod = after
    (action,) = actions(world)
    assert isinstance(action, StopContainer if restarts else ResizeContainer)
    if isinstance(action, StopContainer):
        assert action.message == "Container main resize requires restart"


def test_one_that_did_not_take_it_is_tried_again_later() -> None:
    world = Running(sized())
    world.pod = sized(memory="64Mi")
    world.resizing = Resizing(trouble=Trouble("too little", world.now_s + 5))
    plan = pod_state.plan(world.view())
    assert (plan.actions, plan.wake_at_s) == ((), world.now_s + 5)
    world.now_s += 6
    assert actions(world) == (ResizeContainer("main-0", "main"),)


def test_conditions() -> None:
    world = Running(sized())
    assert world.condition("PodResizePending") is None
    world.resizing = Resizing(pending=Pending("Deferred", "no room"))
    pending = world.condition("PodResizePending") or {}
    assert (pending["status"], pending["reason"], pending["message"]) == ("True", "Deferred", "no room")
    world.resizing = Resizing(trouble=Trouble("too little", 0), begun=True)
    progress = world.condition("PodResizeInProgress") or {}
    assert (progress["reason"], progress["message"]) == ("Error", "too little")
    assert world.condition("PodResizePending") is None


def test_a_condition_that_has_passed_is_taken_away() -> None:
    old = {
        "conditions": [{"type": "PodResizePending", "status": "True"}, {"type": "Foreign", "status": "True"}]
    }
    patch = status_patch.make("uid", old, {"conditions": []}) or {}
    assert patch["status"] == {"conditions": [{"type": "PodResizePending", "$patch": "delete"}]}


def test_the_status_shows_what_runs_and_what_is_allocated() -> None:
    world = Running(sized(cpu="500m"))
    world.pod = sized(cpu="1")
    world.resizing = Resizing(under_way=frozenset({"main-0"}))
    world.step()
    (status,) = world.status["containerStatuses"]
    assert status["resources"]["limits"]["cpu"] == "500m"
    assert status["allocatedResources"]["cpu"] == "1"


# ---- the whole agent


def events(node: Node, reason: str) -> list[str]:
    return [each["message"] for each in node.api.list(gvr.EVENTS) if each.get("reason") == reason]


async def asks(node: Node, cpu: str, memory: str = "128Mi") -> None:
    """What `pods/resize` makes of the object."""
    pod = node.pod("web")
    amounts = {"cpu": cpu, "memory": memory}
    pod["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    pod["metadata"]["generation"] += 1
    node.api.update(gvr.PODS, pod)


async def started(node: Node) -> None:
    pod = sized()
    del pod["metadata"]["uid"]
    node.api.create(gvr.PODS, pod)
    await eventually(lambda: node.phase("web") == "Running")


def shown(node: Node) -> Obj:
    status: Obj = node.pod("web")["status"]["containerStatuses"][0]
    return status


def condition(node: Node, kind: str) -> Obj | None:
    return next((each for each in node.pod("web")["status"]["conditions"] if each["type"] == kind), None)


async def test_a_resize_from_spec_to_runtime(node: Node) -> None:
    await started(node)
    await asks(node, "1")
    await eventually(lambda: shown(node)["resources"]["limits"]["cpu"] == "1")
    (container,) = node.runtime.containers.values()
    assert isinstance(container.config.resources, Resources)
    assert container.config.resources.cpu_quota_us == 100_000
    assert shown(node)["restartCount"] == 0
    await eventually(lambda: condition(node, "PodResizeInProgress") is None)
    await eventually(lambda: events(node, "ResizeCompleted"))
    text = events(node, "ResizeStarted")[0].removeprefix("Pod resize started: ")
    assert json.loads(text)["containers"][0]["resources"]["limits"] == {"cpu": "1", "memory": "128Mi"}


async def test_a_resize_of_the_pod_as_a_whole(node: Node) -> None:
    pod = as_a_whole()
    del pod["metadata"]["uid"]
    node.api.create(gvr.PODS, pod)
    await eventually(lambda: node.phase("web") == "Running")
    assert node.pod("web")["status"]["resources"] == WHOLE
    pod = node.pod("web")
    pod["spec"]["resources"] = {**MORE, "limits": {"cpu": "4", "memory": "1Gi"}}
    pod["metadata"]["generation"] += 1
    node.api.update(gvr.PODS, pod)
    await eventually(lambda: node.pod("web")["status"]["resources"] == pod["spec"]["resources"])
    given = [each.config.resources for each in node.runtime.containers.values()]
    assert [each.pod for each in given] == [PodResources(1536, 400_000, 100_000, GIB)] * 2
    assert {each.memory_limit_bytes for each in given} == {GIB}, "they have no limit of their own"
    await eventually(lambda: events(node, "ResizeCompleted"))
    await eventually(lambda: condition(node, "PodResizeInProgress") is None)


async def test_a_resize_that_does_not_fit_waits(node: Node) -> None:
    await started(node)
    await asks(node, "9999")
    found = await eventually(lambda: condition(node, "PodResizePending"))
    assert found["reason"] == "Infeasible"
    assert shown(node)["resources"]["limits"]["cpu"] == "500m"
    await asks(node, "500m")
    await eventually(lambda: condition(node, "PodResizePending") is None)


async def test_a_restarted_agent_goes_on_with_what_was_given(node: Node) -> None:
    await started(node)
    await node.stop()
    await asks(node, "1")
    await node.start()
    await eventually(lambda: shown(node)["resources"]["limits"]["cpu"] == "1")
    assert [name for call, name in node.runtime.calls if call == "update"] == ["main"]


async def test_a_limit_below_usage_is_an_error_until_it_fits(node: Node) -> None:
    await started(node)
    node.runtime.refuses_update = BelowUsage("67108864 100000000")
    await asks(node, "500m", "64Mi")
    await eventually(lambda: (condition(node, "PodResizeInProgress") or {}).get("reason") == "Error")
    assert "below current usage (100000000)" in (condition(node, "PodResizeInProgress") or {})["message"]
    await eventually(lambda: events(node, "ResizeError"))
    node.runtime.refuses_update = None
    await asks(node, "500m", "128Mi")
    await eventually(lambda: condition(node, "PodResizeInProgress") is None)

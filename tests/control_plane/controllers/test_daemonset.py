"""Which nodes get a daemon, which pods go, how an update goes on: the cases of the daemon set controller of
Kubernetes; then the loop over an API in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from control_plane.api import meta
from control_plane.client.gvr import DAEMON_SETS, EVENTS, PODS
from control_plane.client.gvr import NODES as NODE_KIND
from control_plane.controllers.context import Options
from control_plane.controllers.daemonset import DaemonSetController, loop, plan
from control_plane.controllers.daemonset.patience import Patience
from control_plane.controllers.daemonset.status import status
from control_plane.controllers.daemonset.update import HASH_LABEL, target_node
from control_plane.controllers.main import Manager
from tests.control_plane.controllers.objects import NOW, Obj, node, owner, pod, reference
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle


def daemon(**spec: Any) -> Obj:
    return owner("DaemonSet", "web", **spec)


def daemon_pod(name: str, on: str, digest: str = "new", **more: Any) -> Obj:
    labels = {"app": "web", HASH_LABEL: digest}
    return pod(name, node=on, labels=labels, owner=daemon(), **{"ready": True, **more})


def rolling(**how: Any) -> Obj:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": how}}


NODES = [node("n1"), node("n2"), node("n3")]
SURGE = rolling(maxSurge=1, maxUnavailable=0)


def names(pods: list[Obj]) -> list[str]:
    return [meta.name_of(each) for each in pods]


@pytest.mark.parametrize(
    ("spec", "nodes", "owned", "created", "deleted"),
    [
        pytest.param({}, NODES, [], ["n1", "n2", "n3"], [], id="one on each"),
        pytest.param({}, NODES[:1], [daemon_pod("a", "n1")], [], [], id="there already"),
        pytest.param(
            {}, [node("n1", taints=[{"key": "k", "effect": "NoSchedule"}])], [daemon_pod("a", "n1")], [], [],
            id="may stay behind NoSchedule",
        ),
        pytest.param(
            {}, [node("n1", taints=[{"key": "k", "effect": "NoExecute"}])], [daemon_pod("a", "n1")], [], ["a"],
            id="must leave for NoExecute",
        ),
        pytest.param({}, NODES[:1], [daemon_pod("a", "gone")], ["n1"], ["a"], id="node is gone"),
        pytest.param({}, NODES[:1], [daemon_pod("a", "n1", phase="Failed", ready=False)], [], ["a"], id="failed"),
        pytest.param(
            {}, NODES[:2], [daemon_pod("a", "n1", "old"), daemon_pod("b", "n2", "old")], [], ["a"],
            id="update one at a time",
        ),
        pytest.param(
            {}, NODES[:2], [daemon_pod("a", "n1", ready=False), daemon_pod("b", "n2", "old")], [], [],
            id="wait for the new one",
        ),
        pytest.param(
            {"updateStrategy": {"type": "OnDelete"}}, NODES[:1], [daemon_pod("a", "n1", "old")], [], [],
            id="on delete",
        ),
        pytest.param(
            {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}},
            NODES[:2], [daemon_pod("a", "n1", "old"), daemon_pod("b", "n2", "old")], ["n1"], [],
            id="surge: the new one first",
        ),
    ],
)  # fmt: skip
def test_what_comes_and_goes(
    spec: Obj, nodes: list[Obj], owned: list[Obj], created: list[str], deleted: list[str]
) -> None:
    planned = plan.plan(daemon(**spec), nodes, owned, "new", NOW)
    assert (planned.create, names([*planned.delete, *planned.ended])) == (created, deleted)


def old(name: str, on: str, **more: Any) -> Obj:
    return daemon_pod(name, on, "old", **more)


@pytest.mark.parametrize(
    ("spec", "owned", "created", "deleted"),
    [
        pytest.param(
            rolling(maxUnavailable=2), [old("a", "n1"), old("b", "n2"), old("c", "n3")], [], ["a", "b"],
            id="two at a time",
        ),
        pytest.param(
            rolling(maxUnavailable="50%"), [old("a", "n1"), old("b", "n2"), old("c", "n3")], [], ["a", "b"],
            id="half of them, rounded up",
        ),
        pytest.param(
            {}, [old("a", "n1"), old("b", "n2", ready=False), old("c", "n3", ready=False)], [], ["b", "c", "a"],
            id="those that do not work cost nothing",
        ),
        pytest.param(
            {}, [daemon_pod("a", "n1"), old("b", "n2"), old("c", "n3", deleting=True)], [], [],
            id="a node whose pod is going has none",
        ),
        pytest.param(
            {"minReadySeconds": 30}, [daemon_pod("a", "n1", ready_s=10), old("b", "n2", ready_s=99)], ["n3"], [],
            id="ready, but not for long enough",
        ),
        pytest.param(
            {"minReadySeconds": 30, **rolling(maxUnavailable=2)},
            [daemon_pod("a", "n1", ready_s=40), old("b", "n2", ready_s=99), old("c", "n3", ready_s=9)],
            [], ["c", "b"],
            id="an old one that is not available yet costs nothing",
        ),
        pytest.param(
            SURGE, [old("a", "n1"), daemon_pod("A", "n1", ready=False), old("b", "n2"), old("c", "n3")], [], [],
            id="surge: wait for the new one",
        ),
        pytest.param(
            SURGE, [old("a", "n1"), daemon_pod("A", "n1"), old("b", "n2"), old("c", "n3")], ["n2"], ["a"],
            id="surge: the old one goes, the next one comes",
        ),
        pytest.param(
            SURGE, [old("a", "n1", ready=False), old("b", "n2", ready=False), old("c", "n3")],
            ["n1", "n2", "n3"], [],
            id="surge: what does not work is beside the limit",
        ),
        pytest.param(
            {"minReadySeconds": 30, **SURGE},
            [old("a", "n1", ready_s=99), daemon_pod("A", "n1", ready_s=9), old("b", "n2", ready_s=99),
             old("c", "n3", ready_s=99)], [], [], id="surge: the new one is not available yet",
        ),
        pytest.param(
            SURGE, [old("a", "n1", ready=False), daemon_pod("A", "n1", ready=False), daemon_pod("b", "n2"),
                    daemon_pod("c", "n3")], [], ["a"], id="surge: of two that do not work the new one stays",
        ),
        pytest.param(
            SURGE, [daemon_pod("a", "n1", created_s=90), daemon_pod("A", "n1", created_s=10), daemon_pod("b", "n2"),
                    daemon_pod("c", "n3")], [], ["A"], id="surge: not two of one revision",
        ),
        pytest.param(
            {}, [daemon_pod("a", "n1", created_s=90, ready=False), daemon_pod("A", "n1", created_s=10),
                 daemon_pod("b", "n2"), daemon_pod("c", "n3")], [], ["A"], id="of two the older one stays",
        ),
    ],
)  # fmt: skip
def test_an_update(spec: Obj, owned: list[Obj], created: list[str], deleted: list[str]) -> None:
    planned = plan.plan(daemon(**spec), NODES, owned, "new", NOW)
    assert (planned.create, names(planned.delete)) == (created, deleted)


def test_a_daemons_pod_names_its_node() -> None:
    made = loop.pod_for(daemon(), "n2", "digest")
    assert target_node(made) == "n2"
    assert made["metadata"]["ownerReferences"] == [reference(daemon())]


@pytest.mark.parametrize(
    ("owned", "expected"),
    [
        ([], {"currentNumberScheduled": 0, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 0,
              "numberUnavailable": 2}),
        ([daemon_pod("a", "n1", ready_s=50), daemon_pod("b", "n2", ready_s=5)],
         {"currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 2,
          "numberAvailable": 1, "numberUnavailable": 1, "updatedNumberScheduled": 2}),
        ([old("a", "n1", created_s=90), daemon_pod("A", "n1", created_s=9, ready=False)],
         {"currentNumberScheduled": 1, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 1,
          "numberUnavailable": 2}),
        ([daemon_pod("a", "n1", deleting=True, ready=False)],
         {"currentNumberScheduled": 1, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 0,
          "numberUnavailable": 2, "updatedNumberScheduled": 1}),
        ([daemon_pod("a", "n1", deleting=True, phase="Failed", ready=False), daemon_pod("x", "n3")],
         {"currentNumberScheduled": 0, "desiredNumberScheduled": 2, "numberMisscheduled": 1, "numberReady": 0,
          "numberUnavailable": 2}),
    ],
    ids=[
        "none", "ready, one for long enough", "the oldest counts", "one that is going",
        "one that has gone; a stray",
    ],
)  # fmt: skip
def test_status(owned: list[Obj], expected: Obj) -> None:
    wanted = daemon(minReadySeconds=30)
    apart = node("n3", labels={"zone": "x"})
    wanted["spec"]["template"] = {"spec": {"nodeSelector": {"in": "it"}, "containers": []}}
    nodes = [node("n1", labels={"in": "it"}), node("n2", labels={"in": "it"}), apart]
    made = status(wanted, nodes, owned, "new", NOW)
    assert {key: value for key, value in made.items() if key != "observedGeneration"} == expected


# ---- pods that fail again and again


def test_patience_grows_and_is_regained() -> None:
    patience, key, now = Patience(), ("uid", "n1"), 1000.0
    waits = []
    for _ in range(12):
        assert patience.left_s(key, now) == 0
        waits.append(patience.left_s(key, now))
        now += waits[-1]
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == 900
    assert patience.left_s(("uid", "n2"), now) == 0, "of another node"
    assert patience.left_s(key, now + 5000) == 0
    assert patience.left_s(key, now + 5000) == 1, "a long time ago"
    patience.forget("uid")
    assert patience.left_s(key, now + 5000) == 0


async def test_a_daemon_that_fails_at_once_is_not_made_in_a_loop() -> None:
    clock = VirtualClock()
    api = FakeApi(now=clock.wall)
    manager = Manager(api.client(clock=clock), Options(), [DaemonSetController])
    running = asyncio.ensure_future(manager.run())
    api.create(NODE_KIND, node("n1"))
    api.create(DAEMON_SETS, daemon())
    for _ in range(300):  # half a minute
        await clock.advance(0.1)
        await settle()
        for each in api.list(PODS):
            if not meta.is_deleting(each) and (each.get("status") or {}).get("phase") != "Failed":
                status_ = {"phase": "Failed", "reason": "OutOfcpu"}
                api.update(PODS, {**each, "spec": {**each["spec"], "nodeName": "n1"}, "status": status_})
    made = len(api.requests("POST", "pods"))
    assert 4 <= made <= 7, "after 0, 1, 2, 4, 8 and 16 seconds"
    assert {each["reason"] for each in api.list(EVENTS)} >= {"FailedDaemonPod"}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await manager.stop()

"""Which volumes are attached where: tables of the plan, then the loop with a hand that plays the attacher."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.api import errors, meta
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import (
    CSI_DRIVERS,
    EVENTS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    VOLUME_ATTACHMENTS,
)
from control_plane.controllers.context import Options
from control_plane.controllers.main import Manager
from control_plane.controllers.volumes import AttachDetachController, attachments
from tests.control_plane.controllers.objects import NOW, Obj
from tests.control_plane.controllers.objects import node as any_node
from tests.control_plane.controllers.objects import pod as any_pod
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle

UNIQUE = "kubernetes.io/csi/d.io^h-v"
OUT_OF_SERVICE = [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]


def volume(*modes: str, name: str = "v", claim: str = "c") -> Obj:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {
            "accessModes": list(modes or ("ReadWriteOnce",)),
            "csi": {"driver": "d.io", "volumeHandle": f"h-{name}"},
            "claimRef": {"namespace": "default", "name": claim},
        },
    }


def claim(name: str = "c", volume_name: str = "v") -> Obj:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"volumeName": volume_name}}


def pod(name: str, on: str, phase: str = "Running", claim_name: str = "c", **more: Any) -> Obj:
    source = {"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}
    made = any_pod(name, node=on, phase=phase, spec={"volumes": [source]}, **more)
    return {"apiVersion": "v1", "kind": "Pod", **made}


def node(name: str, in_use: bool = False, managed: bool = True, **more: Any) -> Obj:
    made = any_node(name, **more)
    made["metadata"]["annotations"] = {attachments.MANAGED: "true"} if managed else {}
    made["status"]["volumesInUse"] = [UNIQUE] if in_use else []
    return made


def attached(on: str, deleting: bool = False) -> Obj:
    made = attachments.attachment(volume(), on)
    made["metadata"]["uid"] = f"uid-{on}"
    made["status"] = {"attached": True}
    if deleting:
        made["metadata"]["deletionTimestamp"] = meta.rfc3339(NOW)
    return made


N1, N2 = node("n1"), node("n2")
ALREADY = "Volume is already exclusively attached to one node and can't be attached to another"


@pytest.mark.parametrize(
    ("modes", "users", "there", "nodes", "attach", "detach", "refused"),
    [
        pytest.param((), [], [], [N1], [], [], {}, id="nobody wants it"),
        pytest.param((), [pod("p", "n1")], [], [N1], ["n1"], [], {}, id="attach"),
        pytest.param((), [pod("p", "")], [], [N1], [], [], {}, id="a pod without a node"),
        pytest.param((), [pod("p", "n1", "Succeeded")], [], [N1], [], [], {}, id="a finished pod"),
        pytest.param((), [pod("p", "n1", deleting=True)], [], [N1], ["n1"], [], {}, id="a pod that is going"),
        pytest.param((), [pod("p", "n1")], [attached("n1")], [N1], [], [], {}, id="it is attached"),
        pytest.param(
            (), [pod("p", "n1")], [attached("n1", True)], [N1], [], [], {}, id="it is being detached"
        ),
        pytest.param((), [pod("p", "n1")], [], [node("n1", managed=False)], [], [], {}, id="not ours to do"),
        pytest.param((), [pod("p", "n1")], [], [], [], [], {}, id="no such node"),
        pytest.param((), [], [attached("n1")], [N1], [], ["n1"], {}, id="detach"),
        pytest.param((), [], [attached("n1")], [node("n1", True)], [], [], {}, id="it is still mounted"),
        pytest.param((), [], [attached("n1")], [], [], ["n1"], {}, id="its node is gone"),
        pytest.param(
            (), [], [attached("n1")], [node("n1", True, taints=OUT_OF_SERVICE)], [], ["n1"], {},
            id="its node is out of service",
        ),
        pytest.param(
            (), [pod("old", "n1"), pod("new", "n2", created_s=1)], [attached("n1")], [N1, N2], [], [],
            {"uid-new": "Volume is already used by pod(s) old"}, id="one at a time",
        ),
        pytest.param(
            (), [pod("new", "n2")], [attached("n1")], [node("n1", True), N2], [], [],
            {"uid-new": ALREADY}, id="it is not free yet",
        ),
        pytest.param(
            (), [pod("old", "n1"), pod("new", "n2", created_s=1)], [], [N1, N2], ["n1"], [],
            {"uid-new": "Volume is already used by pod(s) old"}, id="the oldest pod is first",
        ),
        pytest.param(
            ("ReadWriteMany",), [pod("a", "n1"), pod("b", "n2")], [], [N1, N2], ["n1", "n2"], [], {},
            id="by many at once",
        ),
        pytest.param(
            ("ReadWriteOnce", "ReadOnlyMany"), [pod("b", "n2")], [attached("n1")], [N1, N2], ["n2"], ["n1"], {},
            id="moving what can be shared",
        ),
    ],
)  # fmt: skip
def test_plan(
    modes: tuple[str, ...], users: list[Obj], there: list[Obj], nodes: list[Obj], attach: list[str],
    detach: list[str], refused: dict[str, str],
) -> None:  # fmt: skip
    by_name = {meta.name_of(each): each for each in nodes}
    found = attachments.plan(volume(*modes), users, there, by_name, {}, NOW)
    assert list(found.attach) == attach
    assert [each["spec"]["nodeName"] for each in found.detach] == detach
    wanted = {uid: f'Multi-Attach error for volume "v" {why}' for uid, why in refused.items()}
    assert found.refused == wanted


@pytest.mark.parametrize(
    ("ready", "waited_s", "expected"),
    [("True", 0, False), ("Unknown", 359, False), ("Unknown", 360, True), ("True", 9999, False)],
)
def test_a_node_that_does_not_answer_loses_its_volumes(ready: str, waited_s: float, expected: bool) -> None:
    silent = {"n1": node("n1", in_use=True, ready=ready)}
    found = attachments.plan(volume(), [], [attached("n1")], silent, {"n1": NOW - waited_s}, NOW)
    assert bool(found.detach) == expected
    assert (found.look_again_s is None) == expected


def test_names_are_those_that_attachers_expect() -> None:
    digest = "cbe794f284eeb0dfbcc4c5098f967d320de829bb44880ecc090276510c461dd2"  # sha256 of h-v d.io n1
    assert attachments.attachment_name(volume(), "n1") == f"csi-{digest}"
    assert attachments.unique_name(volume()) == UNIQUE


# ---- the loop


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.api = FakeApi(now=self.clock.wall)
        self.api.create(PERSISTENT_VOLUMES, volume())
        self.api.create(PERSISTENT_VOLUME_CLAIMS, claim())
        for name in ("n1", "n2"):
            self.api.create(NODES, node(name))
        self._start()

    def _start(self) -> None:
        self._manager = Manager(self.api.client(clock=self.clock), Options(), [AttachDetachController])
        self._running = asyncio.ensure_future(self._manager.run())

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._manager.stop()

    async def restart(self) -> None:
        await self.stop()
        self._start()

    async def turn(self, seconds: float = 1.0) -> None:
        await self.clock.advance(seconds)
        await settle()

    def on(self) -> list[str]:
        return sorted(each["spec"]["nodeName"] for each in self.api.list(VOLUME_ATTACHMENTS))

    def told(self, name: str) -> list[str]:
        found = self.api.get(NODES, name) or {}
        return [each["name"] for each in found["status"].get("volumesAttached") or ()]

    def play_attacher(self) -> None:
        for each in self.api.list(VOLUME_ATTACHMENTS):
            if not attachments.is_attached(each):
                self.api.update(VOLUME_ATTACHMENTS, {**each, "status": {"attached": True}})

    def mount(self, name: str, mounted: bool) -> None:
        """As the node's agent says, which mounts only what it was told of."""
        found = copy.deepcopy(self.api.get(NODES, name))
        if found is not None:
            found["status"]["volumesInUse"] = [UNIQUE] if mounted else []
            self.api.update(NODES, found)

    def events(self) -> list[str]:
        return [each["message"] for each in self.api.list(EVENTS)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.stop()


async def test_a_volume_follows_its_pod(world: World) -> None:
    world.api.create(PODS, pod("p", "n1"))
    await world.turn()
    assert world.on() == ["n1"]
    assert world.told("n1") == [], "not before it is attached"
    world.play_attacher()
    await world.turn()
    assert world.told("n1") == [UNIQUE]
    assert 'AttachVolume.Attach succeeded for volume "v"' in world.events()
    world.mount("n1", True)
    world.api.delete(PODS, "p", "default")
    world.api.create(PODS, pod("q", "n2"))
    await world.turn()
    assert world.on() == ["n1"]
    assert any("Multi-Attach error" in each for each in world.events())
    world.mount("n1", False)
    await world.turn(35)
    assert world.on() == ["n2"]
    assert world.told("n1") == []


async def test_the_node_hears_before_its_volume_goes(world: World) -> None:
    world.api.create(PODS, pod("p", "n1"))
    await world.turn()
    world.play_attacher()
    await world.turn()
    world.api.delete(PODS, "p", "default")
    await world.turn()
    writes = [each.path for each in world.api.log if each.method in ("PATCH", "DELETE")]
    name = attachments.attachment_name(volume(), "n1")
    expected = ["/api/v1/nodes/n1/status", f"/apis/storage.k8s.io/v1/volumeattachments/{name}"]
    assert writes[1:3] == expected


async def test_a_driver_that_attaches_nothing(world: World) -> None:
    world.api.create(CSI_DRIVERS, {"metadata": {"name": "d.io"}, "spec": {"attachRequired": False}})
    world.api.create(PODS, pod("p", "n1"))
    await world.turn()
    assert world.on() == []


async def test_what_the_driver_says_is_told(world: World) -> None:
    world.api.create(PODS, pod("p", "n1"))
    await world.turn()
    (found,) = world.api.list(VOLUME_ATTACHMENTS)
    failed = {"attached": False, "attachError": {"message": "no such disk"}}
    world.api.update(VOLUME_ATTACHMENTS, {**found, "status": failed})
    await world.turn()
    assert 'AttachVolume.Attach failed for volume "v" : no such disk' in world.events()


async def test_a_lost_node_loses_its_volumes(world: World) -> None:
    world.api.create(PODS, pod("p", "n1"))
    await world.turn()
    world.play_attacher()
    world.mount("n1", True)
    world.api.delete(PODS, "p", "default")
    world.api.delete(NODES, "n1", "")
    await world.turn()
    assert world.on() == []


async def test_an_attachment_of_somebody_else_is_left_alone(world: World) -> None:
    spec = {"attacher": "x", "nodeName": "n1", "source": {"persistentVolumeName": "unknown"}}
    world.api.create(VOLUME_ATTACHMENTS, {"metadata": {"name": "theirs"}, "spec": spec})
    await world.turn()
    assert [meta.name_of(each) for each in world.api.list(VOLUME_ATTACHMENTS)] == ["theirs"]


STEPS = [
    "run",
    "end",
    "remove",
    "mount",
    "unmount",
    "attach",
    "conflict",
    "reset",
    "break",
    "compact",
    "restart",
]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 2)), max_size=30))
def test_random_histories_converge(history: list[tuple[str, int]]) -> None:
    asyncio.run(_play(history))


async def _play(history: list[tuple[str, int]]) -> None:
    world = World()
    try:
        for what, number in history:
            await _step(world, what, number)
            await world.turn(0.5)
            assert len(world.on()) <= 1, "a volume for one node, on two"
        for _ in range(6):
            world.play_attacher()
            for name in ("n1", "n2"):
                world.mount(name, False)
            await world.turn(40)
        users = {each["spec"]["nodeName"] for each in world.api.list(PODS) if attachments.wants(each)}
        assert len(world.on()) == min(1, len(users))
        assert set(world.on()) <= users
        for name in ("n1", "n2"):
            assert world.told(name) == ([UNIQUE] if name in world.on() else [])
    finally:
        await world.stop()


async def _step(world: World, what: str, number: int) -> None:
    api, name, on = world.api, f"p{number}", f"n{number}"
    found = api.get(PODS, name, "default")
    match what:
        case "run" if found is None:
            api.create(PODS, pod(name, on))
        case "end" if found is not None:
            api.update(PODS, {**found, "status": {"phase": "Succeeded"}})
        case "remove" if found is not None:
            api.delete(PODS, name, "default")
        case "mount" if UNIQUE in world.told(on):
            world.mount(on, True)
        case "unmount":
            world.mount(on, False)
        case "attach":
            world.play_attacher()
        case "conflict":
            api.fail_next(lambda method, _: method != "GET", lambda: errors.conflict("", "x", "x"))
        case "reset":
            api.fail_next(lambda method, _: method == "POST", lambda: ConnectionFailed("reset"))
        case "break":
            api.break_watches()
        case "compact":
            api.compact()
        case "restart":
            await world.restart()

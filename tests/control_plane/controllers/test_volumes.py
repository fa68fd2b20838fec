"""Which volume a claim gets, and what becomes of a volume; then the binder over an API in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from control_plane.client.gvr import (
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STORAGE_CLASSES,
)
from control_plane.controllers.context import Options
from control_plane.controllers.main import Manager
from control_plane.controllers.volumes import (
    ClaimProtectionController,
    EphemeralVolumeController,
    PersistentVolumeBinder,
    PersistentVolumeExpander,
    VolumeProtectionController,
    claims,
    local_path,
    volumes,
)
from tests.control_plane.controllers.objects import Obj, node
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock

RWO, RWX = "ReadWriteOnce", "ReadWriteMany"


def claim(name: str = "c", size: str = "1Gi", **spec: Any) -> Obj:
    annotations = spec.pop("annotations", {})
    status = spec.pop("status", {})
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "annotations": annotations},
        "spec": {
            "accessModes": [RWO],
            "storageClassName": "",
            "resources": {"requests": {"storage": size}},
            **spec,
        },
        "status": status,
    }


def volume(name: str = "v", size: str = "1Gi", phase: str = "Available", **spec: Any) -> Obj:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "annotations": spec.pop("annotations", {}),
            "labels": spec.pop("labels", {}),
        },
        "spec": {
            "capacity": {"storage": size},
            "accessModes": [RWO, RWX],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": f"/tmp/{name}"},
            **spec,
        },
        "status": {"phase": phase},
    }


def at_node(name: str) -> Obj:
    term = {"matchExpressions": [{"key": local_path.HOSTNAME, "operator": "In", "values": [name]}]}
    return {"required": {"nodeSelectorTerms": [term]}}


def reference(name: str, uid: str | None = None) -> Obj:
    return {"namespace": "default", "name": name, **({"uid": uid} if uid else {})}


@pytest.mark.parametrize(
    ("wanted", "available", "expected"),
    [
        pytest.param(claim(), [], None, id="none"),
        pytest.param(claim(), [volume("big", "5Gi"), volume("fits", "2Gi")], "fits", id="smallest that fits"),
        pytest.param(claim(size="3Gi"), [volume()], None, id="too small"),
        pytest.param(claim(), [volume(phase="Released")], None, id="not free"),
        pytest.param(claim(), [volume(claimRef=reference("other"))], None, id="reserved for another"),
        pytest.param(claim(), [volume("a"), volume("b", "9Gi", claimRef=reference("c"))], "b", id="reserved"),
        pytest.param(claim(), [volume(claimRef=reference("c", "old-uid"))], None, id="of a former claim"),
        pytest.param(claim(storageClassName="fast"), [volume()], None, id="another class"),
        pytest.param(
            claim(storageClassName="fast"), [volume(storageClassName="fast")], "v", id="the same class"
        ),
        pytest.param(claim(accessModes=["ReadOnlyMany"]), [volume()], None, id="access mode"),
        pytest.param(claim(volumeMode="Block"), [volume()], None, id="block from a filesystem"),
        pytest.param(
            claim(selector={"matchLabels": {"tier": "gold"}}),
            [volume("a"), volume("b", labels={"tier": "gold"})], "b", id="selector",
        ),
    ],
)  # fmt: skip
def test_find(wanted: Obj, available: list[Obj], expected: str | None) -> None:
    found = claims.find(wanted, available)
    assert (found["metadata"]["name"] if found else None) == expected


def test_find_at_a_node() -> None:
    here, there = volume("here", nodeAffinity=at_node("n1")), volume("a", nodeAffinity=at_node("n2"))
    n1 = node("n1", labels={local_path.HOSTNAME: "n1"})
    assert claims.find(claim(), [there, here], n1) is here


BOUND = reference("c", "uid-c")
OURS = {claims.BOUND_BY_CONTROLLER: "yes"}


@pytest.mark.parametrize(
    ("obj", "its_claim", "expected"),
    [
        pytest.param(volume(), None, volumes.Plan("Available"), id="free"),
        pytest.param(volume(claimRef=reference("c")), None, volumes.Plan("Available"), id="reserved"),
        pytest.param(volume(claimRef=BOUND), None, volumes.Plan("Released", reclaim=True), id="claim is gone"),
        pytest.param(
            volume(claimRef=BOUND), claim(volumeName="v", status={"phase": "Bound"}), volumes.Plan("Bound"),
            id="bound",
        ),
        pytest.param(
            volume(claimRef=BOUND), claim(), volumes.Plan("Available", look_at_claim=True), id="half bound"
        ),
        pytest.param(
            volume(phase="Failed", claimRef=BOUND), None, volumes.Plan("Failed", reclaim=True),
            id="failed stays failed",
        ),
    ],
)  # fmt: skip
def test_volume_plan(obj: Obj, its_claim: Obj | None, expected: volumes.Plan) -> None:
    assert volumes.plan(obj, its_claim) == expected


@pytest.mark.parametrize(
    ("annotations", "left"), [(OURS, None), ({}, reference("c"))], ids=["reserved by us", "reserved by hand"]
)
def test_a_claim_that_went_elsewhere_frees_the_volume(annotations: Obj, left: Obj | None) -> None:
    planned = volumes.plan(volume(claimRef=BOUND, annotations=annotations), claim(volumeName="other"))
    assert planned.phase == "Available"
    assert planned.release is not None
    assert planned.release["spec"].get("claimRef") == left


STANDARD: Obj = {
    "metadata": {"name": "standard", "annotations": {claims.DEFAULT_CLASS: "true"}},
    "provisioner": local_path.PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
}


class World:
    def __init__(self) -> None:
        self.api, self.clock = FakeApi(), VirtualClock()
        for name in ("n1", "n2"):
            made = node(name, labels={local_path.HOSTNAME: name})
            made["metadata"]["annotations"] = {local_path.ROOT_ANNOTATION: f"/data/{name}"}
            self.api.create(NODES, made)

    def claim(self, name: str = "c") -> Obj:
        return self.api.get(PERSISTENT_VOLUME_CLAIMS, name, "default") or {}

    def volume(self, name: str) -> Obj:
        return self.api.get(PERSISTENT_VOLUMES, name) or {}

    def phases(self) -> tuple[str, ...]:
        items = [*self.api.list(PERSISTENT_VOLUME_CLAIMS), *self.api.list(PERSISTENT_VOLUMES)]
        return tuple(each["status"].get("phase", "") for each in items)

    def pod(self, name: str, node_name: str, **volume_source: Any) -> None:
        spec = {"nodeName": node_name, "volumes": [{"name": "d", **volume_source}]}
        self.api.create(PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})


@asynccontextmanager
async def loops(world: World) -> AsyncIterator[None]:
    controllers = [
        PersistentVolumeBinder,
        PersistentVolumeExpander,
        EphemeralVolumeController,
        ClaimProtectionController,
        VolumeProtectionController,
    ]
    manager = Manager(world.api.client(clock=world.clock), Options(), controllers)  # type: ignore[arg-type]
    running = asyncio.ensure_future(manager.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.stop()


def no_uid(made: Obj) -> Obj:
    del made["metadata"]["uid"]
    return made


async def test_static_volume_is_bound_released_and_kept() -> None:
    world = World()
    async with loops(world):
        world.api.create(PERSISTENT_VOLUMES, volume(phase="Pending"))
        await world.clock.advance(1)
        assert world.phases() == ("Available",)
        world.api.create(PERSISTENT_VOLUME_CLAIMS, claim())
        await world.clock.advance(1)
        assert world.phases() == ("Bound", "Bound")
        assert world.claim()["spec"]["volumeName"] == "v"
        assert world.claim()["status"]["capacity"] == {"storage": "1Gi"}
        client = world.api.client()
        await client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
        await world.clock.advance(1)
        assert world.phases() == ("Released",)
        world.api.create(PERSISTENT_VOLUME_CLAIMS, no_uid(claim()))
        await world.clock.advance(1)
        assert world.phases() == ("Pending", "Released")  # never another one's data


async def test_dynamic_volume_waits_for_its_consumer_and_goes_with_its_claim() -> None:
    world = World()
    async with loops(world):
        world.api.create(STORAGE_CLASSES, STANDARD)
        world.api.create(PERSISTENT_VOLUME_CLAIMS, claim(storageClassName=None))
        await world.clock.advance(1)
        assert world.phases() == ("Pending",)
        assert world.claim()["spec"]["storageClassName"] == "standard"
        world.pod("p", "n2", persistentVolumeClaim={"claimName": "c"})
        await world.clock.advance(1)
        assert world.phases() == ("Bound", "Bound")
        made = world.volume("pvc-uid-c")
        assert made["spec"]["hostPath"]["path"] == "/data/n2/pvc-uid-c"
        assert local_path.hostname_of(made) == "n2"
        hold(world, "n2", "pvc-uid-c")
        client = world.api.client()
        await client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
        await world.clock.advance(1)
        assert world.phases() == ("Bound", "Bound")  # the pod has it
        world.api.delete(PODS, "p", "default")
        await world.clock.advance(20)
        assert world.phases() == ("Released",)  # the node holds it
        hold(world, "n2", "")
        await world.clock.advance(20)
        assert world.phases() == ()


def hold(world: World, name: str, held: str) -> None:
    changed = world.api.get(NODES, name) or {}
    changed["metadata"]["annotations"][local_path.HELD_ANNOTATION] = held
    world.api.update(NODES, changed)


async def test_a_lost_volume_is_said_to_be_lost() -> None:
    world = World()
    async with loops(world):
        world.api.create(PERSISTENT_VOLUMES, volume())
        world.api.create(PERSISTENT_VOLUME_CLAIMS, claim())
        await world.clock.advance(1)
        world.api.delete(PERSISTENT_VOLUMES, "v")
        await world.clock.advance(1)
        assert world.phases() == ("Lost",)


async def test_two_claims_never_share_a_volume() -> None:
    world = World()
    async with loops(world):
        for name in ("a", "b", "c"):
            world.api.create(PERSISTENT_VOLUME_CLAIMS, claim(name))
        for name in ("v1", "v2"):
            world.api.create(PERSISTENT_VOLUMES, volume(name))
        await world.clock.advance(60)
        assert sorted(world.phases()) == ["Bound"] * 4 + ["Pending"]
        bound = [world.claim(name)["spec"].get("volumeName") for name in ("a", "b", "c")]
        assert sorted(filter(None, bound)) == ["v1", "v2"]


async def test_ephemeral_claim_is_made_and_another_ones_is_not_used() -> None:
    world = World()
    template = {"spec": {"accessModes": [RWO], "resources": {"requests": {"storage": "1Mi"}}}}
    async with loops(world):
        world.api.create(PERSISTENT_VOLUME_CLAIMS, claim("thief-d"))
        for name in ("p", "thief"):
            world.pod(name, "n1", ephemeral={"volumeClaimTemplate": template})
        await world.clock.advance(1)
        owner = world.claim("p-d")["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"]) == ("Pod", "p")
        assert "ownerReferences" not in world.claim("thief-d")["metadata"]


async def test_expansion() -> None:
    world = World()
    async with loops(world):
        world.api.create(STORAGE_CLASSES, {**STANDARD, "volumeBindingMode": "Immediate"})
        world.api.create(PERSISTENT_VOLUME_CLAIMS, claim(storageClassName="standard"))
        await world.clock.advance(1)
        assert world.phases() == ("Bound", "Bound")
        grown = world.claim()
        grown["spec"]["resources"]["requests"]["storage"] = "3Gi"
        world.api.update(PERSISTENT_VOLUME_CLAIMS, grown)
        await world.clock.advance(1)
        assert world.claim()["status"]["capacity"] == {"storage": "3Gi"}
        assert world.volume("pvc-uid-c")["spec"]["capacity"] == {"storage": "3Gi"}

"""Pods with claims: what each of the volume plugins says of each node, and how claims come to be bound."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from control_plane.client.gvr import (
    EVENTS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STORAGE_CLASSES,
)
from control_plane.client.types import Obj
from control_plane.scheduler.volumes.binding import BIND_COMPLETED, SELECTED_NODE
from tests.control_plane.scheduler.build import HOST, ZONE, FakeStorage, World, node, pod
from tests.control_plane.scheduler.test_scheduler import Cluster
from tests.control_plane.virtual_clock import settle

LATE, NOW, HAND = "late", "now", "hand"


def storage_class(name: str, mode: str = "Immediate", provisioner: str = "csi.x", **more: Any) -> Obj:
    return {
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": mode,
        **more,
    }


CLASSES = [
    storage_class(LATE, "WaitForFirstConsumer"),
    storage_class(NOW),
    storage_class(HAND, "WaitForFirstConsumer", "kubernetes.io/no-provisioner"),
    storage_class(
        "zoned", "WaitForFirstConsumer",
        allowedTopologies=[{"matchLabelExpressions": [{"key": ZONE, "values": ["a"]}]}],
    ),
]  # fmt: skip


def claim(name: str, class_name: str = LATE, size: str = "1Gi", volume: str = "", **metadata: Any) -> Obj:
    spec: Obj = {
        "storageClassName": class_name,
        "accessModes": metadata.pop("modes", ["ReadWriteOnce"]),
        "resources": {"requests": {"storage": size}},
    }
    annotations = metadata.pop("annotations", {})
    if volume:
        spec["volumeName"] = volume
        annotations[BIND_COMPLETED] = "yes"
    full = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "annotations": annotations,
        **metadata,
    }
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": full,
        "spec": spec,
        "status": metadata.pop("status", {}),
    }


def volume(name: str, size: str = "1Gi", class_name: str = HAND, on: str = "", **more: Any) -> Obj:
    spec: Obj = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": class_name,
    }
    if on:
        term = {"matchExpressions": [{"key": HOST, "operator": "In", "values": [on]}]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    labels = more.pop("labels", {})
    return {
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": labels, "resourceVersion": "1", "uid": f"uid-{name}"},
        "spec": {**spec, **more},
        "status": {"phase": "Available"},
    }


def using(*claims: str, **fields: Any) -> Obj:
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return pod(fields.pop("name", "p"), volumes=volumes, **fields)


def world(
    *claims: Obj, volumes: tuple[Obj, ...] = (), others: tuple[Obj, ...] = (), pods: tuple[Obj, ...] = ()
) -> World:
    nodes = [node("n1", labels={HOST: "n1", ZONE: "a"}), node("n2", labels={HOST: "n2", ZONE: "b"})]
    return World(nodes, pods, storage=FakeStorage(claims, volumes, [*CLASSES, *others]))


CONFLICT = "node(s) had volume node affinity conflict"
NONE = "node(s) didn't find available persistent volumes to bind"
SPACE = "node(s) did not have enough free storage"
GONE = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
EPHEMERAL = pod("p", volumes=[{"name": "e", "ephemeral": {"volumeClaimTemplate": {}}}])
CAPACITY = {
    "kind": "CSIStorageCapacity", "metadata": {"name": "c"}, "storageClassName": LATE, "capacity": "1Gi",
    "nodeTopology": {"matchLabels": {ZONE: "b"}},
}  # fmt: skip
DRIVER = {"kind": "CSIDriver", "metadata": {"name": "csi.x"}, "spec": {"storageCapacity": True}}


@pytest.mark.parametrize(
    ("made", "obj", "expected"),
    [
        pytest.param(
            world(), using("a"), ['persistentvolumeclaim "a" not found'] * 2, id="no claim"
        ),
        pytest.param(
            world(claim("a", NOW)), using("a"), ["pod has unbound immediate PersistentVolumeClaims"] * 2,
            id="immediate, unbound",
        ),
        pytest.param(
            world(claim("a", status={"phase": "Lost"}, volume="v")), using("a"),
            ['persistentvolumeclaim "a" bound to non-existent persistentvolume "v"'] * 2, id="lost",
        ),
        pytest.param(
            world(claim("a", deletionTimestamp="2024-01-01T00:00:00Z")), using("a"),
            ['persistentvolumeclaim "a" is being deleted'] * 2, id="being deleted",
        ),
        pytest.param(
            world(), EPHEMERAL,
            ['waiting for ephemeral volume controller to create the persistentvolumeclaim "p-e"'] * 2,
            id="the pod's own, not there yet",
        ),
        pytest.param(
            world(claim("p-e")), EPHEMERAL,
            ["PVC default/p-e was not created for pod default/p (pod is not owner)"] * 2, id="somebody else's",
        ),
        pytest.param(
            world(claim("a", volume="v", status={"phase": "Bound"}), claim("b", HAND)), using("a", "b"),
            [f"{NONE}, {GONE}"] * 2, id="everything that is wrong",
        ),
        pytest.param(world(claim("a")), using("a"), ["", ""], id="to be provisioned anywhere"),
        pytest.param(world(claim("a", "zoned")), using("a"), ["", NONE], id="allowed topologies"),
        pytest.param(
            world(claim("a"), others=(DRIVER, CAPACITY)), using("a"), [SPACE, ""], id="capacity in one zone"
        ),
        pytest.param(
            world(claim("a", size="2Gi"), others=(DRIVER, CAPACITY)), using("a"), [SPACE] * 2,
            id="capacity too small",
        ),
        pytest.param(world(claim("a"), others=(DRIVER,)), using("a"), [SPACE] * 2, id="no capacity at all"),
        pytest.param(
            world(claim("a"), others=(CAPACITY,)), using("a"), ["", ""], id="a driver that does not track it"
        ),
        pytest.param(
            world(claim("a", annotations={SELECTED_NODE: "n2"})), using("a"), [NONE, ""], id="node chosen before"
        ),
        pytest.param(
            world(claim("a", HAND, volume="v"), volumes=(volume("v", on="n1"),)), using("a"), ["", CONFLICT],
            id="bound to a local volume",
        ),
        pytest.param(
            world(claim("a", HAND, volume="v")), using("a"),
            [GONE] * 2, id="volume gone",
        ),
        pytest.param(
            world(claim("a", HAND), volumes=(volume("v", on="n2"),)), using("a"), [NONE, ""], id="a volume matches"
        ),
        pytest.param(
            world(claim("a", HAND, "2Gi"), volumes=(volume("v"),)), using("a"), [NONE, NONE], id="volume too small"
        ),
        pytest.param(
            world(claim("a", HAND), claim("b", HAND), volumes=(volume("v"),)), using("a", "b"), [NONE, NONE],
            id="one volume for two claims",
        ),
        pytest.param(
            world(claim("a", HAND), volumes=(volume("v", claimRef={"name": "other", "namespace": "default"}),)),
            using("a"), [NONE, NONE], id="the volume is another's",
        ),
        pytest.param(
            world(claim("a", HAND), volumes=(volume("v", claimRef={"name": "a", "namespace": "default"}),)),
            using("a"), ["", ""], id="the volume was kept for it",
        ),
    ],
)  # fmt: skip
def test_volume_binding(made: World, obj: Obj, expected: list[str]) -> None:
    assert list(made.feasible("VolumeBinding", obj).values()) == expected


@pytest.mark.parametrize(
    ("plugin", "made", "obj", "expected"),
    [
        pytest.param(
            "VolumeZone", world(claim("a", volume="v"), volumes=(volume("v", labels={ZONE: "b__c"}),)), using("a"),
            ["node(s) had no available volume zone", ""], id="zone",
        ),
        pytest.param(
            "VolumeRestrictions",
            world(claim("a", modes=["ReadWriteOncePod"]), pods=(using("a", name="other", on="n1"),)), using("a"),
            ["node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"] * 2,
            id="claim for one pod",
        ),
        pytest.param(
            "VolumeRestrictions",
            world(pods=(pod("other", on="n1", volumes=[{"name": "d", "gcePersistentDisk": {"pdName": "x"}}]),)),
            pod("p", volumes=[{"name": "d", "gcePersistentDisk": {"pdName": "x", "readOnly": True}}]),
            ["node(s) had no available disk", ""], id="disk is mounted for writing",
        ),
        pytest.param(
            "NodeVolumeLimits",
            world(
                claim("a"), claim("b"), pods=(using("b", name="other", on="n1"),),
                others=({"kind": "CSINode", "metadata": {"name": "n1"},
                         "spec": {"drivers": [{"name": "csi.x", "allocatable": {"count": 1}}]}},),
            ),
            using("a"), ["node(s) exceed max volume count", ""], id="no more attachments",
        ),
        pytest.param(
            "NodeVolumeLimits",
            world(
                claim("a"), volumes=(volume("v", csi={"driver": "csi.x", "volumeHandle": "h"}),),
                others=(
                    {"kind": "CSINode", "metadata": {"name": "n1"},
                     "spec": {"drivers": [{"name": "csi.x", "allocatable": {"count": 1}}]}},
                    {"kind": "VolumeAttachment", "metadata": {"name": "t"},
                     "spec": {"nodeName": "n1", "source": {"persistentVolumeName": "v"}}},
                ),
            ),
            using("a"), ["node(s) exceed max volume count", ""], id="attached for a pod that has gone",
        ),
    ],
)  # fmt: skip
def test_other_volume_plugins(plugin: str, made: World, obj: Obj, expected: list[str]) -> None:
    assert list(made.feasible(plugin, obj).values()) == expected


def test_the_smallest_volume_that_fits_is_taken_by_the_smallest_claim() -> None:
    made = world(
        claim("big", HAND, "3Gi"), claim("small", HAND), volumes=(volume("v5", "5Gi"), volume("v2", "2Gi"))
    )
    placement = made.place(using("big", "small"))
    plan = placement.state["VolumeBinding"].plans[placement.node_name]
    assert {c["metadata"]["name"]: v["metadata"]["name"] for c, v in plan.static} == {
        "small": "v2",
        "big": "v5",
    }


# ---- with the whole scheduler


@pytest.fixture
async def cluster() -> Any:
    made = Cluster()
    made.add(node("n1"))
    for each in CLASSES:
        made.api.create(STORAGE_CLASSES, each)
    await made.start()
    yield made
    await made.stop()


def bind(cluster: Cluster, name: str, to: str) -> None:
    """As the volume binder does."""
    current = cluster.api.get(PERSISTENT_VOLUME_CLAIMS, name, "default")
    assert current is not None
    current["spec"]["volumeName"] = to
    current["metadata"]["annotations"] = {
        **(current["metadata"].get("annotations") or {}),
        BIND_COMPLETED: "yes",
    }
    cluster.api.update(PERSISTENT_VOLUME_CLAIMS, current)


async def test_a_claim_is_told_the_node_and_the_pod_waits_until_it_is_bound(cluster: Cluster) -> None:
    cluster.api.create(PERSISTENT_VOLUME_CLAIMS, claim("a"))
    cluster.add(using("a"))
    await settle()
    found = cluster.api.get(PERSISTENT_VOLUME_CLAIMS, "a", "default") or {}
    assert found["metadata"]["annotations"][SELECTED_NODE] == "n1"
    assert cluster.node_of("p") == ""
    cluster.api.create(PERSISTENT_VOLUMES, volume("made", class_name=LATE))
    bind(cluster, "a", "made")
    await cluster.clock.advance(2)
    assert cluster.node_of("p") == "n1"


async def test_a_volume_is_claimed_for_the_pod(cluster: Cluster) -> None:
    cluster.api.create(PERSISTENT_VOLUME_CLAIMS, claim("a", HAND))
    cluster.api.create(PERSISTENT_VOLUMES, volume("v"))
    cluster.add(using("a"))
    await settle()
    reference = (cluster.api.get(PERSISTENT_VOLUMES, "v") or {})["spec"]["claimRef"]
    assert (reference["name"], reference["namespace"], reference["uid"]) == ("a", "default", "uid-a")
    bind(cluster, "a", "v")
    await cluster.clock.advance(2)
    assert cluster.node_of("p") == "n1"


async def test_a_provisioner_that_cannot_sends_the_pod_back(cluster: Cluster) -> None:
    cluster.api.create(PERSISTENT_VOLUME_CLAIMS, claim("a"))
    cluster.add(using("a"))
    await settle()
    current = cluster.api.get(PERSISTENT_VOLUME_CLAIMS, "a", "default") or {}
    current["metadata"]["annotations"] = {}
    cluster.api.update(PERSISTENT_VOLUME_CLAIMS, current)
    await cluster.clock.advance(0.1)
    messages = [each["message"] for each in cluster.api.list(EVENTS)]
    assert any('provisioning failed for PVC "a"' in each for each in messages)
    await cluster.clock.advance(5)
    again = cluster.api.get(PERSISTENT_VOLUME_CLAIMS, "a", "default") or {}
    assert again["metadata"]["annotations"] == {SELECTED_NODE: "n1"}, "it is tried again"


async def test_a_claim_that_appears_brings_its_pod_back(cluster: Cluster) -> None:
    cluster.add(using("a"))
    await settle()
    assert "not found" in cluster.condition("p")["message"]
    cluster.api.create(PERSISTENT_VOLUMES, volume("v"))
    cluster.api.create(PERSISTENT_VOLUME_CLAIMS, claim("a", HAND, volume="v"))
    await cluster.clock.advance(3)
    assert cluster.node_of("p") == "n1"


async def test_pods_that_wait_for_volumes_do_not_hold_up_others(cluster: Cluster) -> None:
    for number in range(200):
        cluster.api.create(PERSISTENT_VOLUME_CLAIMS, claim(f"c{number}"))
        cluster.api.create(PODS, using(f"c{number}", name=f"p{number}"))
    cluster.api.create(NODES, node("n2"))
    await cluster.clock.advance(1)
    cluster.add(pod("quick"))
    await cluster.clock.advance(1)
    assert cluster.node_of("quick") != ""
    await asyncio.sleep(0)

"""test/e2e/storage: csi_inline.go, csi_node.go, csistoragecapacity.go, persistent_volumes.go, storageclass.go,
volume_attachment.go, volumeattributesclass.go
"""

from __future__ import annotations

from typing import Any

from tests.conformance import operations
from tests.conformance.client import Client, Resource
from tests.e2e.conftest import until

Object = dict[str, Any]
STORAGE = "storage.k8s.io/v1"


def lifecycle(of: Resource, make: Any) -> None:
    """create, get, patch, list, delete; a second one: update, deletecollection."""
    name, again = f"e2e-{of.plural}-1", f"e2e-{of.plural}-2"
    made = of.create(make(name))
    assert of.get(name)["metadata"]["name"] == made["metadata"]["name"]
    patched = of.patch(name, {"metadata": {"labels": {name: "patched"}}}, "strategic")
    assert patched["metadata"]["labels"][name] == "patched"
    assert len(of.list(labelSelector=f"{name}=patched")) == 1
    of.delete(name)
    until("it is gone", lambda: of.list(labelSelector=f"{name}=patched") == [])
    of.create(make(again))
    updated = of.change(
        again, lambda obj: obj["metadata"].setdefault("labels", {}).update({again: "updated"})
    )
    assert updated["metadata"]["labels"][again] == "updated"
    assert len(of.list(labelSelector=f"{again}=updated")) == 1
    of.delete_collection(labelSelector=f"{again}=updated")
    until("they are gone", lambda: of.list(labelSelector=f"{again}=updated") == [])


def test_csi_driver(client: Client) -> None:
    """[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver"""
    spec = {"volumeLifecycleModes": ["Ephemeral"]}
    lifecycle(
        client.of(STORAGE, "csidrivers", "CSIDriver"), lambda name: {"metadata": {"name": name}, "spec": spec}
    )


def test_csi_inline_volume(client: Client, namespace: str) -> None:
    """[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API"""
    drivers = client.of(STORAGE, "csidrivers", "CSIDriver")
    driver = f"inline-driver-{namespace}"
    spec = {"volumeLifecycleModes": ["Ephemeral"]}
    drivers.create({"metadata": {"name": driver}, "spec": spec})
    pods = client.of("v1", "pods", "Pod", namespace)
    pod = {
        "metadata": {"name": "pod-csi-inline-volumes"},
        "spec": {
            "containers": [
                {
                    "name": "csi-volume-tester",
                    "image": "busybox",
                    "volumeMounts": [{"name": "my-csi-volume", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "my-csi-volume", "csi": {"driver": driver}}],
        },
    }
    created = pods.create(pod)
    assert created["spec"]["volumes"][0]["csi"]["driver"] == driver
    assert pods.get("pod-csi-inline-volumes")["spec"]["volumes"][0]["csi"]["driver"] == driver
    patch = {"metadata": {"labels": {"test": "patched"}}}
    assert pods.patch("pod-csi-inline-volumes", patch, "strategic")["metadata"]["labels"]["test"] == "patched"
    assert len(pods.list()) == 1
    pods.delete("pod-csi-inline-volumes", gracePeriodSeconds=0)
    drivers.delete(driver)


def test_csi_node(client: Client) -> None:
    """[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode"""
    lifecycle(
        client.of(STORAGE, "csinodes", "CSINode"),
        lambda name: {"metadata": {"name": name}, "spec": {"drivers": []}},
    )


def test_csi_storage_capacity(client: Client, namespace: str) -> None:
    """[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations"""
    operations.discoverable(client, "storage.k8s.io", "v1", "csistoragecapacities")
    capacities = client.of(STORAGE, "csistoragecapacities", "CSIStorageCapacity", namespace)
    template = {"nodeTopology": {}, "storageClassName": "my-sc", "capacity": "10Gi"}
    operations.walk(capacities, template, edit=lambda obj: obj.update(capacity="20Gi"))


def test_storage_class(client: Client) -> None:
    """[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass"""
    classes = client.of(STORAGE, "storageclasses", "StorageClass")
    lifecycle(classes, lambda name: {"metadata": {"name": name}, "provisioner": "e2e-fake-provisioner"})


def test_volume_attributes_class(client: Client) -> None:
    """[sig-storage] VolumeAttributesClass should run through the lifecycle of a VolumeAttributesClass"""
    classes = client.of(STORAGE, "volumeattributesclasses", "VolumeAttributesClass")
    lifecycle(
        classes,
        lambda name: {
            "metadata": {"name": name},
            "driverName": "e2e-fake-csi-driver",
            "parameters": {"a": "b"},
        },
    )


def _attachment(name: str) -> Object:
    spec = {
        "attacher": "e2e-test.csi.example.com",
        "nodeName": "e2e-no-such-node",
        "source": {"persistentVolumeName": f"pv-{name}"},
    }
    return {"metadata": {"name": name}, "spec": spec}


def test_volume_attachment(client: Client) -> None:
    """[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment"""
    lifecycle(client.of(STORAGE, "volumeattachments", "VolumeAttachment"), _attachment)


def test_volume_attachment_status(client: Client) -> None:
    """[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status"""
    attachments = client.of(STORAGE, "volumeattachments", "VolumeAttachment")
    attachments.create(_attachment("va-e2e-status"))
    attachments.patch("va-e2e-status", {"metadata": {"labels": {"va-e2e": "patched"}}}, "strategic")
    assert attachments.get("va-e2e-status", "status")["status"]["attached"] is False
    patched = attachments.patch("va-e2e-status", {"status": {"attached": True}}, "merge", "status")
    assert patched["status"]["attached"] is True
    updated = attachments.change("va-e2e-status", lambda obj: obj["status"].update(attached=False), "status")
    assert updated["status"]["attached"] is False
    attachments.delete("va-e2e-status")
    until("it is gone", lambda: not attachments.exists("va-e2e-status"))


def _volume(name: str, namespace: str) -> Object:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": namespace,
        "csi": {"driver": "e2e-driver-name", "volumeHandle": "e2e-volume-handle"},
    }
    return {"metadata": {"name": name, "labels": {"e2e-pv-pool": namespace}}, "spec": spec}


def _claim(name: str, namespace: str) -> Object:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": namespace,
    }
    return {"metadata": {"name": name, "labels": {"e2e-pv-pool": namespace}}, "spec": spec}


def test_volume_and_claim_lifecycle(client: Client, namespace: str) -> None:
    """[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC"""
    volumes = client.of("v1", "persistentvolumes", "PersistentVolume")
    claims = client.of("v1", "persistentvolumeclaims", "PersistentVolumeClaim", namespace)
    selector = {"labelSelector": f"e2e-pv-pool={namespace}"}
    volume, claim = f"pv-{namespace}", f"pvc-{namespace}"
    volumes.create(_volume(volume, namespace))
    claims.create(_claim(claim, namespace))
    assert [each["metadata"]["name"] for each in volumes.list(**selector)] == [volume]
    assert [each["metadata"]["name"] for each in claims.list()] == [claim]
    for of, name in ((volumes, volume), (claims, claim)):
        patched = of.patch(name, {"metadata": {"labels": {name: "patched"}}}, "strategic")
        assert patched["metadata"]["labels"][name] == "patched"
        assert of.get(name)["metadata"]["uid"] == patched["metadata"]["uid"]
    for of, name in ((claims, claim), (volumes, volume)):
        of.delete(name)
        until(f"{name} is gone", lambda of=of, name=name: not of.exists(name))
    volumes.create(_volume(volume, namespace))
    claims.create(_claim(claim, namespace))
    for of, name in ((volumes, volume), (claims, claim)):
        updated = of.change(name, lambda obj, name=name: obj["metadata"]["labels"].update({name: "updated"}))
        assert updated["metadata"]["labels"][name] == "updated"
    for of, name in ((claims, claim), (volumes, volume)):
        assert len(of.list(labelSelector=f"{name}=updated")) == 1
        of.delete_collection(labelSelector=f"{name}=updated")
        until(f"{name} is gone", lambda of=of, name=name: of.list(labelSelector=f"{name}=updated") == [])


def test_volume_and_claim_status(client: Client, namespace: str) -> None:
    """[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status"""
    volumes = client.of("v1", "persistentvolumes", "PersistentVolume")
    claims = client.of("v1", "persistentvolumeclaims", "PersistentVolumeClaim", namespace)
    volume, claim = f"pv-{namespace}", f"pvc-{namespace}"
    volumes.create(_volume(volume, namespace))
    claims.create(_claim(claim, namespace))
    assert claims.get(claim, "status")["status"]["phase"]
    assert volumes.get(volume, "status")["status"]["phase"]
    patched_condition = {"type": "StatusPatched", "status": "True"}
    patched = claims.patch(claim, {"status": {"conditions": [patched_condition]}}, "merge", "status")
    assert [each["type"] for each in patched["status"]["conditions"]] == ["StatusPatched"]
    words = {"message": "StatusPatched", "reason": "E2E patchStatus"}
    patched = volumes.patch(volume, {"status": words}, "merge", "status")
    assert (patched["status"]["message"], patched["status"]["reason"]) == tuple(words.values())
    update = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    updated = claims.change(claim, lambda obj: obj["status"]["conditions"].append(update), "status")
    assert any(each["type"] == "StatusUpdate" for each in updated["status"]["conditions"])
    words = {"message": "StatusUpdated", "reason": "E2E updateStatus"}
    updated = volumes.change(volume, lambda obj: obj["status"].update(words), "status")
    assert (updated["status"]["message"], updated["status"]["reason"]) == tuple(words.values())
    claims.delete(claim)
    volumes.delete(volume)

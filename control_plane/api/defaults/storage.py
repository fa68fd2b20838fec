"""Volumes, claims and classes; secrets."""

from __future__ import annotations

from control_plane.api.defaults.registry import Object, defaults, fill, struct


@defaults("v1", "PersistentVolume")
def persistent_volume(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(spec, {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})
    if "hostPath" in spec:
        fill(spec["hostPath"], {"type": ""})
    if "iscsi" in spec:
        fill(spec["iscsi"], {"iscsiInterface": "default"})
    if "rbd" in spec:
        fill(spec["rbd"], {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"})
    fill(struct(obj, "status"), {"phase": "Pending"})


@defaults("v1", "PersistentVolumeClaim")
def persistent_volume_claim(obj: Object) -> None:
    fill(struct(obj, "spec"), {"volumeMode": "Filesystem"})
    fill(struct(obj, "status"), {"phase": "Pending"})


@defaults("v1", "Secret")
def secret(obj: Object) -> None:
    fill(obj, {"type": "Opaque"})


@defaults("storage.k8s.io/v1", "StorageClass")
def storage_class(obj: Object) -> None:
    fill(obj, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


@defaults("storage.k8s.io/v1", "CSIDriver")
def csi_driver(obj: Object) -> None:
    fill(
        struct(obj, "spec"),
        {
            "attachRequired": True,
            "podInfoOnMount": False,
            "storageCapacity": False,
            "fsGroupPolicy": "ReadWriteOnceWithFSType",
            "requiresRepublish": False,
            "seLinuxMount": False,
        },
    )
    if not obj["spec"].get("volumeLifecycleModes"):
        obj["spec"]["volumeLifecycleModes"] = ["Persistent"]


@defaults("storage.k8s.io/v1", "CSINode")
def csi_node(obj: Object) -> None:
    fill(struct(obj, "spec"), {"drivers": []})  # required by the schema; Go writes null for none

"""Volumes, claims, classes and CSI."""

from __future__ import annotations

from typing import Any

from control_plane.api import meta
from control_plane.api.quantity import QuantityError, canonical
from control_plane.api.tables.layout import Cells, Object, table
from control_plane.api.tables.text import NONE, UNSET, access_modes, age_of, name_of

_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def _size(amounts: Any) -> str:
    try:
        return canonical((amounts or {}).get("storage", "0"))
    except QuantityError:
        return "0"


def _class(obj: Object) -> str:
    return meta.annotations(obj).get(_OLD_CLASS) or (obj.get("spec") or {}).get("storageClassName") or ""


def _phase(obj: Object) -> str:
    return "Terminating" if meta.is_deleting(obj) else (obj.get("status") or {}).get("phase", "")


@table(
    "v1",
    "persistentvolumes",
    "Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, VolumeAttributesClass, Reason, Age"
    "| VolumeMode",
)
def persistent_volume(obj: Object, now_s: float) -> Cells:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    claim = spec.get("claimRef")
    return [
        name_of(obj),
        _size(spec.get("capacity")),
        access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _class(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason", ""),
        age_of(obj, now_s),
        spec.get("volumeMode") or UNSET,
    ]


@table(
    "v1",
    "persistentvolumeclaims",
    "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age | VolumeMode",
)
def persistent_volume_claim(obj: Object, now_s: float) -> Cells:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        name_of(obj),
        _phase(obj),
        spec.get("volumeName", ""),
        _size(status.get("capacity")) if bound else "",
        access_modes(status.get("accessModes")) if bound else "",
        _class(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        age_of(obj, now_s),
        spec.get("volumeMode") or UNSET,
    ]


@table(
    "storage.k8s.io/v1",
    "storageclasses",
    "Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age",
)
def storage_class(obj: Object, now_s: float) -> Cells:
    default = any(meta.annotations(obj).get(key) == "true" for key in _DEFAULT_CLASS)
    return [
        name_of(obj) + (" (default)" if default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        age_of(obj, now_s),
    ]


@table("storage.k8s.io/v1", "volumeattributesclasses", "Name, DriverName, Age")
def volume_attributes_class(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), obj.get("driverName", ""), age_of(obj, now_s)]


@table("storage.k8s.io/v1", "volumeattachments", "Name, Attacher, PV, Node, Attached:boolean, Age")
def volume_attachment(obj: Object, now_s: float) -> Cells:
    spec = obj.get("spec") or {}
    return [
        name_of(obj),
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName", ""),
        spec.get("nodeName", ""),
        bool((obj.get("status") or {}).get("attached")),
        age_of(obj, now_s),
    ]


@table("storage.k8s.io/v1", "csinodes", "Name, Drivers:integer, Age")
def csi_node(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), len((obj.get("spec") or {}).get("drivers") or ()), age_of(obj, now_s)]


@table(
    "storage.k8s.io/v1",
    "csidrivers",
    "Name, AttachRequired:boolean, PodInfoOnMount:boolean, StorageCapacity:boolean, TokenRequests, "
    "RequiresRepublish:boolean, Modes, Age",
)
def csi_driver(obj: Object, now_s: float) -> Cells:
    spec = obj.get("spec") or {}
    tokens = ",".join(request.get("audience", "") for request in spec.get("tokenRequests") or ())
    return [
        name_of(obj),
        bool(spec.get("attachRequired", True)),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        tokens if spec.get("tokenRequests") else UNSET,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        age_of(obj, now_s),
    ]


@table("storage.k8s.io/v1", "csistoragecapacities", "Name, StorageClassName, Capacity")
def csi_storage_capacity(obj: Object, now_s: float) -> Cells:
    capacity = obj.get("capacity")
    return [name_of(obj), obj.get("storageClassName", ""), str(capacity) if capacity else UNSET]

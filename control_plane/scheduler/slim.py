"""What the scheduler keeps of the objects it watches: the parts that decide. Pure.

A pod of ten containers with probes and volumes is mostly things that only its node cares for; ten thousand
of them in memory would be the scheduler's whole size.
"""

from __future__ import annotations

from control_plane.client.types import Obj

_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "labels",
    "annotations",
    "ownerReferences",
    "creationTimestamp",
    "deletionTimestamp",
)
_POD_SPEC = (
    "affinity",
    "hostNetwork",
    "hostUsers",
    "nodeName",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "resources",
    "schedulerName",
    "schedulingGates",
    "tolerations",
    "topologySpreadConstraints",
    "resourceClaims",
)
_CONTAINER = ("name", "image", "ports", "resources", "restartPolicy", "restartPolicyRules")
_CONTAINER_STATUS = ("name", "resources", "allocatedResources")
_POD_STATUS = (
    "phase",
    "nominatedNodeName",
    "startTime",
    "resourceClaimStatuses",
    "resources",
    "allocatedResources",
)
_CONDITIONS = ("PodScheduled", "DisruptionTarget", "PodResizePending")
_NODE_STATUS = ("allocatable", "images", "conditions", "declaredFeatures")
_VOLUMES = (
    "persistentVolumeClaim",
    "ephemeral",
    "image",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "azureDisk",
    "cinder",
    "portworxVolume",
    "iscsi",
    "rbd",
)


def pod(obj: Obj) -> Obj:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    slim_spec = _pick(spec, _POD_SPEC)
    for name in ("containers", "initContainers"):
        if items := spec.get(name):
            slim_spec[name] = [_pick(each, _CONTAINER) for each in items]
    volumes = [
        _pick(volume, ("name", *_VOLUMES))
        for volume in spec.get("volumes") or ()
        if any(source in volume for source in _VOLUMES)
    ]
    if volumes:
        slim_spec["volumes"] = volumes
    slim_status = _pick(status, _POD_STATUS)
    slim_status["conditions"] = [c for c in status.get("conditions") or () if c["type"] in _CONDITIONS]
    for name in ("containerStatuses", "initContainerStatuses"):
        resized = [
            each for each in status.get(name) or () if "resources" in each or "allocatedResources" in each
        ]
        if resized:
            slim_status[name] = [_pick(each, _CONTAINER_STATUS) for each in resized]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _pick(obj["metadata"], _METADATA),
        "spec": slim_spec,
        "status": slim_status,
    }


def node(obj: Obj) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": _pick(obj["metadata"], _METADATA),
        "spec": _pick(obj.get("spec") or {}, ("taints", "unschedulable")),
        "status": _pick(obj.get("status") or {}, _NODE_STATUS),
    }


def namespace(obj: Obj) -> Obj:
    return {"metadata": _pick(obj["metadata"], ("name", "uid", "resourceVersion", "labels"))}


def _pick(obj: Obj, names: tuple[str, ...]) -> Obj:
    return {name: obj[name] for name in names if name in obj}

"""What a pod needs of claims, and what becomes of a claim. Pure.

A generated claim's name follows from the pod and the entry, so that two makers make one claim. A claim is used by
the pods in `reservedFor` that still run or will; once there is none left, its devices are given back, and a
generated one whose pod has ended is deleted.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import pods

ENTRY = "resource.kubernetes.io/pod-claim-name"
FINALIZER = "resource.kubernetes.io/delete-protection"
MAX_RESERVED = 256  # as the API allows
MAX_PREFIX = 58  # of a generated name, as the apiserver cuts them
SUFFIX = 5

Lookup = Callable[[str, str], Object | None]  # namespace, name


def is_done(pod: Object) -> bool:
    """It will not run (any more): finished, or deleted before it had a node."""
    return pods.is_finished(pod) or (meta.is_deleting(pod) and not meta.nested(pod, "spec", "nodeName"))


def entries(pod: Object) -> list[Object]:
    return list(meta.nested(pod, "spec", "resourceClaims", default=()))


def claim_name(pod: Object, entry: Object) -> str:
    digest = hashlib.sha256(f"{meta.uid_of(pod)}/{entry['name']}".encode()).hexdigest()
    prefix = f"{meta.name_of(pod)}-{entry['name']}-"
    return prefix[:MAX_PREFIX] + digest[:SUFFIX]


def claim_for(pod: Object, entry: Object, template: Object) -> Object:
    spec = template.get("spec") or {}
    source = spec.get("metadata") or {}
    owner = meta.controller_reference({"apiVersion": "v1", "kind": "Pod", **pod})
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "name": claim_name(pod, entry),
            "namespace": meta.namespace_of(pod),
            "labels": dict(source.get("labels") or {}),
            "annotations": {**(source.get("annotations") or {}), ENTRY: entry["name"]},
            "ownerReferences": [owner],
        },
        "spec": copy.deepcopy(spec.get("spec") or {}),
    }


def names(pod: Object) -> dict[str, str]:
    """Claims by entry, as far as they have names; "" where a template asks for none."""
    generated = {
        each["name"]: each.get("resourceClaimName") or ""
        for each in meta.nested(pod, "status", "resourceClaimStatuses", default=())
    }
    direct = {each["name"]: each["resourceClaimName"] for each in entries(pod) if "resourceClaimName" in each}
    return {**generated, **direct}


def used(pod: Object) -> Iterator[str]:
    """Keys of its claims."""
    for name in names(pod).values():
        if name:
            yield f"{meta.namespace_of(pod)}/{name}"
    extended = meta.nested(pod, "status", "extendedResourceClaimStatus", "resourceClaimName")
    if extended:
        yield f"{meta.namespace_of(pod)}/{extended}"


def reserved_for(claim: Object) -> list[Object]:
    return list(meta.nested(claim, "status", "reservedFor", default=()))


def is_pod(user: Object) -> bool:
    return not user.get("apiGroup") and user["resource"] == "pods"


def reserved(claim: Object, pod: Object) -> Object | None:
    """For a pod that has a node without the scheduler's doing; None when there is nothing to do or no room."""
    users = reserved_for(claim)
    if meta.nested(claim, "status", "allocation") is None or len(users) >= MAX_RESERVED:
        return None
    if any(each["uid"] == meta.uid_of(pod) for each in users):
        return None
    user = {"resource": "pods", "name": meta.name_of(pod), "uid": meta.uid_of(pod)}
    return {**claim, "status": {**claim["status"], "reservedFor": [*users, user]}}


@dataclass(frozen=True, slots=True)
class Plan:
    """In this order, each with a fresh look at the claim in between."""

    status: Object | None = None
    release: bool = False  # the finalizer
    delete: bool = False


def plan(claim: Object, pod_of: Lookup) -> Plan:
    """`pod_of` is certain: None means that there is no such pod."""
    namespace = meta.namespace_of(claim)
    users = reserved_for(claim)
    kept = [user for user in users if not is_pod(user) or _uses(pod_of(namespace, user["name"]), user["uid"])]
    status = dict(claim.get("status") or {})
    protected = FINALIZER in meta.finalizers(claim)
    unused = not kept and (bool(users) or meta.is_deleting(claim))
    if unused and protected and "allocation" in status:
        status = {key: value for key, value in status.items() if key not in ("allocation", "devices")}
    status.pop("reservedFor", None)
    if kept:
        status["reservedFor"] = kept
    changed = status != (claim.get("status") or {})
    release = protected and unused and "allocation" not in status
    return Plan(
        {**claim, "status": status} if changed else None, release, not kept and _orphaned(claim, pod_of)
    )


def _uses(pod: Object | None, uid: str) -> bool:
    return pod is not None and meta.uid_of(pod) == uid and not is_done(pod)


def _orphaned(claim: Object, pod_of: Lookup) -> bool:
    """Generated for a pod that has ended or been replaced. One that is gone is the garbage collector's affair."""
    owner = meta.controller_of(claim)
    if owner is None or owner["kind"] != "Pod" or meta.is_deleting(claim):
        return False
    pod = pod_of(meta.namespace_of(claim), owner["name"])
    return pod is not None and not _uses(pod, owner["uid"])

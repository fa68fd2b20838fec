"""Extended resources (`example.com/gpu: 2`) that devices stand for where no device plugin offers them (KEP-5004).

A device class backs the resource that its `extendedResourceName` says, and the one that has its own name after
`deviceclass.resource.kubernetes.io/`. A pod that asks for such a resource gets one claim for all of them, made
when it is bound: a request for each container; what init containers need, they share with each other and take over
from the others. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.quantity import parse_or_zero
from control_plane.client.types import Obj

IMPLICIT = "deviceclass.resource.kubernetes.io/"
MARK = "resource.kubernetes.io/extended-resource-claim"
STAND_IN = "extended/"  # before a pod's uid: the uid of its claim that is not made yet
MAX_PREFIX = 58  # of a generated name
SUFFIX = 5

Backing = Mapping[str, str]  # resource: the class that backs it


def backing(classes: Iterable[Obj]) -> Backing:
    """Of two classes for one resource the younger, or the first by name."""
    found: dict[str, str] = {}
    in_order = sorted(classes, key=meta.name_of, reverse=True)
    for each in sorted(in_order, key=lambda one: one["metadata"].get("creationTimestamp") or ""):
        found[IMPLICIT + meta.name_of(each)] = meta.name_of(each)
        if resource := (each.get("spec") or {}).get("extendedResourceName"):
            found[resource] = meta.name_of(each)
    return found


def claim_name(pod: Obj) -> str:
    """Follows from the pod, so that it is made once."""
    prefix = f"{meta.name_of(pod)}-extended-resources-"
    return prefix[:MAX_PREFIX] + hashlib.sha256(meta.uid_of(pod).encode()).hexdigest()[:SUFFIX]


def is_for(claim: Obj, pod: Obj) -> bool:
    return meta.annotations(claim).get(MARK) == "true" and meta.is_controlled_by(claim, pod)


def stand_in(pod_uid: str) -> str:
    return f"{STAND_IN}{pod_uid}"


def is_stand_in(claim: Obj) -> bool:
    return meta.uid_of(claim).startswith(STAND_IN)


def claim_for(pod: Obj, requests: list[Obj]) -> Obj:
    """Its uid stands in until it is made."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "name": claim_name(pod),
            "namespace": meta.namespace_of(pod),
            "uid": stand_in(meta.uid_of(pod)),
            "annotations": {MARK: "true"},
            "ownerReferences": [meta.controller_reference({"apiVersion": "v1", "kind": "Pod", **pod})],
        },
        "spec": {"devices": {"requests": requests}},
    }


@dataclass(slots=True)
class Asked:
    requests: list[Obj] = field(default_factory=list)
    mappings: list[Obj] = field(default_factory=list)  # container and resource: request


def asked(pod: Obj, resources: Collection[str], by: Backing) -> Asked:
    """For these of the pod's resources."""
    found = Asked()
    for resource in sorted(resources):
        _ask(found, pod, resource, by[resource])
    found.requests.sort(key=lambda request: str(request["name"]))
    return found


def _ask(found: Asked, pod: Obj, resource: str, class_name: str) -> None:
    init = pod["spec"].get("initContainers") or []
    containers = [*init, *(pod["spec"].get("containers") or ())]
    short = [n for n, each in enumerate(init) if each.get("restartPolicy") != "Always"]
    lasting: dict[int, Obj] = {}
    for number, container in enumerate(containers):
        count = _count(container, resource)
        if number in short or not count:
            continue
        lasting[number] = _request(number, container, resource, class_name, count)
        found.mappings.append(_mapping(container, resource, lasting[number]))
    largest: Obj | None = None
    borrowing: list[Obj] = []
    for number in short:
        missing = _count(containers[number], resource)
        for later, request in lasting.items():
            if missing > 0 and later > number:
                found.mappings.append(_mapping(containers[number], resource, request))
                missing -= request["exactly"]["count"]
        if missing > 0:
            wanted = _request(number, containers[number], resource, class_name, missing)
            borrowing.append(containers[number])
            if largest is None or missing > largest["exactly"]["count"]:
                largest = wanted
    if largest is not None:
        found.mappings += [_mapping(container, resource, largest) for container in borrowing]
        found.requests.append(largest)
    found.requests += lasting.values()


def _count(container: Obj, resource: str) -> int:
    asked_for = (container.get("resources") or {}).get("requests") or {}
    return parse_or_zero(asked_for.get(resource)).value()


def _request(number: int, container: Obj, resource: str, class_name: str, count: int) -> Obj:
    place = sorted((container.get("resources") or {}).get("requests") or ()).index(resource)
    exactly = {"deviceClassName": class_name, "allocationMode": "ExactCount", "count": count}
    return {"name": f"container-{number}-request-{place}", "exactly": exactly}


def _mapping(container: Obj, resource: str, request: Obj) -> Obj:
    return {
        "containerName": container["name"],
        "resourceName": resource,
        "requestName": request["name"],
    }

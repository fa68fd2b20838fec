"""What one object uses of a quota, by resource name.

Every object counts as `count/<resource>.<group>`; some have older names as well (`pods`, `configmaps`). Pods
use what they request and limit, services ports and load balancers, claims storage per class.
"""

from __future__ import annotations

from typing import Any

from control_plane.api import meta, quantity
from control_plane.api.quantity import Quantity
from control_plane.apiserver.admission import pod_resources
from control_plane.apiserver.admission.pod_resources import Resources

Object = dict[str, Any]

LEGACY_COUNTS = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
    }
)
STORAGE_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
CLAIM_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
ONE = quantity.from_units(1)


def count_name(group: str, resource: str) -> str:
    return f"count/{resource}.{group}" if group else f"count/{resource}"


def usage(group: str, resource: str, obj: Object, now_s: float) -> Resources:
    used: Resources = {count_name(group, resource): ONE}
    if group:
        return used
    if resource == "pods":
        used.update(_pod(obj, now_s))
    elif resource == "services":
        used.update(_service(obj))
    elif resource == "persistentvolumeclaims":
        used.update(_claim(obj))
    elif resource in LEGACY_COUNTS:
        used[resource] = ONE
    return used


def is_done(pod: Object, now_s: float) -> bool:
    """Whether the pod no longer uses anything: it has ended, or its time to end is over."""
    if meta.nested(pod, "status", "phase") in ("Succeeded", "Failed"):
        return True
    deletion_s = meta.parse_time(meta.metadata(pod).get("deletionTimestamp"))
    if deletion_s is None or meta.metadata(pod).get("deletionGracePeriodSeconds") is None:
        return False
    return now_s > deletion_s


def _pod(pod: Object, now_s: float) -> Resources:
    if is_done(pod, now_s):
        return {}
    spec = pod.get("spec") or {}
    used: Resources = {"pods": ONE}
    for name, value in pod_resources.of_pod(spec, "requests").items():
        used[f"requests.{name}"] = value
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
            used[name] = value
    for name, value in pod_resources.of_pod(spec, "limits").items():
        if name in ("cpu", "memory", "ephemeral-storage"):
            used[f"limits.{name}"] = value
    return used


def _service(service: Object) -> Resources:
    spec = service.get("spec") or {}
    ports, kind = len(spec.get("ports") or ()), spec.get("type") or "ClusterIP"
    used = {"services": ONE, "services.loadbalancers": quantity.ZERO, "services.nodeports": quantity.ZERO}
    if kind == "LoadBalancer":
        used["services.loadbalancers"] = ONE
        if spec.get("allocateLoadBalancerNodePorts") is False:
            ports = sum(1 for port in spec.get("ports") or () if port.get("nodePort"))
    if kind in ("NodePort", "LoadBalancer"):
        used["services.nodeports"] = quantity.from_units(ports)
    return used


def _claim(claim: Object) -> Resources:
    used: Resources = {"persistentvolumeclaims": ONE}
    storage_class = meta.annotations(claim).get(CLAIM_CLASS_ANNOTATION) or (
        (claim.get("spec") or {}).get("storageClassName") or ""
    )
    prefix = storage_class + STORAGE_CLASS_SUFFIX
    if storage_class:
        used[prefix + "persistentvolumeclaims"] = ONE
    requested = meta.nested(claim, "spec", "resources", "requests", "storage")
    if requested is not None:
        storage = _whole(max(quantity.parse_or_zero(requested), _allocated(claim)))
        used["requests.storage"] = storage
        if storage_class:
            used[prefix + "requests.storage"] = storage
    return used


def _allocated(claim: Object) -> Quantity:
    """While a claim is being resized what has been set aside for it counts."""
    return quantity.parse_or_zero(meta.nested(claim, "status", "allocatedResources", "storage"))


def _whole(value: Quantity) -> Quantity:
    return quantity.from_units(value.value(), value.format)

"""What a status may say: counts are not negative, and none of a part is greater than that of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation.registry import (
    STATUS,
    Errors,
    Object,
    UpdateRule,
    not_negative,
    on_status,
    problems,
)

_REPLICAS = "cannot be greater than status.replicas"
_READY = "cannot be greater than readyReplicas"

_COUNTS: Mapping[str, tuple[str, ...]] = {
    "replicationcontrollers": ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"),
    "replicasets.apps": ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"),
    "deployments.apps": (
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "collisionCount",
    ),
    "statefulsets.apps": (
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ),
    "daemonsets.apps": (
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ),
    "jobs.batch": ("active", "succeeded", "failed", "ready", "terminating"),
    "horizontalpodautoscalers.autoscaling": ("currentReplicas", "desiredReplicas"),
    "poddisruptionbudgets.policy": (
        "disruptionsAllowed",
        "currentHealthy",
        "desiredHealthy",
        "expectedPods",
    ),
}  # fmt: skip
_PARTS: Mapping[str, tuple[str, ...]] = {
    "replicationcontrollers": ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
    "replicasets.apps": ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
    "deployments.apps": ("updatedReplicas", "readyReplicas", "availableReplicas"),
    "statefulsets.apps": ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
}
"""Counts that are parts of status.replicas."""


def _counts(resource: str, obj: Object) -> Errors:
    status = obj.get("status") or {}
    for key in _COUNTS[resource]:
        yield from not_negative(f"status.{key}", status.get(key))
    whole = status.get("replicas", 0)
    for key in _PARTS.get(resource, ()):
        if status.get(key, 0) > whole:
            yield errors.invalid_value(f"status.{key}", status[key], _REPLICAS)
    if resource in _PARTS and status.get("availableReplicas", 0) > status.get("readyReplicas", 0):
        words = "cannot be greater than status.readyReplicas" if resource == "statefulsets.apps" else _READY
        yield errors.invalid_value("status.availableReplicas", status["availableReplicas"], words)


def _rule(resource: str) -> UpdateRule:
    return lambda new, _: _counts(resource, new)


STATUS.update({name: _rule(name) for name in _COUNTS})


@on_status("services", "ingresses.networking.k8s.io")
def load_balancer(new: Object, old: Object) -> Errors:
    points = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    before = ((old.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    spec: Mapping[str, Any] = new.get("spec") or {}
    if new.get("kind") == "Service" and points and points != before and spec.get("type") != "LoadBalancer":
        yield errors.forbidden_field(
            "status.loadBalancer.ingress", 'may only be used when `spec.type` is "LoadBalancer"'
        )
    for index, point in enumerate(points):
        path = f"status.loadBalancer.ingress[{index}]"
        if address := point.get("ip"):
            yield from problems(f"{path}.ip", address, names.ip(address))
        if host := point.get("hostname"):
            yield from problems(f"{path}.hostname", host, names.dns_subdomain(host))
            if not names.ip(host):
                yield errors.invalid_value(f"{path}.hostname", host, "must be a DNS name, not an IP address")

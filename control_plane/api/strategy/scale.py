"""The scale subresource: replicas of a workload seen through one small object."""

from __future__ import annotations

from typing import Any

from control_plane.api import selectors
from control_plane.api.registry import Resource

Object = dict[str, Any]


def to_scale(resource: Resource, obj: Object) -> Object:
    """`GET …/scale` of a Deployment, ReplicaSet, StatefulSet or ReplicationController."""
    metadata = obj.get("metadata") or {}
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    scale: Object = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {},
        "status": {"replicas": status.get("replicas", 0)},
    }
    if replicas := spec.get("replicas", 0 if resource.custom else 1):
        scale["spec"]["replicas"] = replicas
    if selector := _selector_text(spec.get("selector")):
        scale["status"]["selector"] = selector
    return scale


def from_scale(resource: Resource, obj: Object, scale: Object) -> Object:
    """`obj` with the replicas that `scale` asks for; the rest is shared with `obj`."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    changed = {**obj, "spec": {**(obj.get("spec") or {}), "replicas": replicas}}
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version:
        changed["metadata"] = {**(obj.get("metadata") or {}), "resourceVersion": version}
    return changed


def _selector_text(selector: Object | None) -> str:
    if not selector:
        return ""
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(selectors.from_label_selector(selector))
    return str(selectors.from_set(selector))

"""Field selectors: which fields a kind can be selected by, and their values in an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from control_plane.api.errors import quote
from control_plane.api.registry import Resource
from control_plane.api.selectors import FieldSelector

_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

_FIELDS: dict[str, dict[str, tuple[str, ...]]] = {
    "pods": {
        name: tuple(name.split("."))
        for name in (
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        )
    }
    | {"status.podIPs": ("status", "podIPs")},
    "nodes": {"spec.unschedulable": ("spec", "unschedulable")},
    "namespaces": {"status.phase": ("status", "phase")},
    "secrets": {"type": ("type",)},
    "services": {"spec.clusterIP": ("spec", "clusterIP"), "spec.type": ("spec", "type")},
    "replicationcontrollers": {"status.replicas": ("status", "replicas")},
    "replicasets.apps": {"status.replicas": ("status", "replicas")},
    "jobs.batch": {"status.successful": ("status", "succeeded")},
    "certificatesigningrequests.certificates.k8s.io": {"spec.signerName": ("spec", "signerName")},
    "clustertrustbundles.certificates.k8s.io": {"spec.signerName": ("spec", "signerName")},
    "resourceslices.resource.k8s.io": {
        "spec.driver": ("spec", "driver"),
        "spec.nodeName": ("spec", "nodeName"),
    },
    "events": {
        **{f"involvedObject.{name}": ("involvedObject", name) for name in _INVOLVED},
        "reason": ("reason",),
        "reportingComponent": ("reportingComponent",),
        "source": ("source", "component"),
        "type": ("type",),
    },
    "events.events.k8s.io": {
        **{f"regarding.{name}": ("regarding", name) for name in _INVOLVED},
        "reason": ("reason",),
        "reportingController": ("reportingController",),
        "type": ("type",),
    },
}
_BOOLEANS = {"spec.unschedulable", "spec.hostNetwork"}
_NUMBERS = {"status.replicas", "status.successful"}
_SAYS_SUPPORTED = {*_FIELDS}


def supported_fields(resource: Resource) -> set[str]:
    common = {"metadata.name", "metadata.namespace"} if resource.namespaced else {"metadata.name"}
    return common | set(_paths(resource))


def _paths(resource: Resource) -> Mapping[str, tuple[str, ...]]:
    if resource.custom_kind is not None:
        return resource.custom_kind.selectable_fields
    return _FIELDS.get(resource.group_resource, {})


def field_values(resource: Resource, obj: Mapping[str, Any]) -> dict[str, str]:
    """Every selectable field with its value, as text; unset reads as empty, false or 0."""
    metadata = obj.get("metadata") or {}
    values = {"metadata.name": metadata.get("name", "")}
    if resource.namespaced:
        values["metadata.namespace"] = metadata.get("namespace", "")
    for name, path in _paths(resource).items():
        found = _at(obj, path)
        values[name] = _text(name, found) if not resource.custom else _plain(found)
    if resource.group_resource == "events" and not values["source"]:
        values["source"] = values["reportingComponent"]
    return values


def field_matcher(resource: Resource, selector: FieldSelector) -> Callable[[Mapping[str, Any]], bool]:
    """A test that reads only the fields the selector names: watches ask it for every event."""
    paths = _paths(resource)
    terms = []
    for requirement in selector.requirements:
        name = requirement.field
        path = paths.get(name) or (tuple(name.split(".")) if name.startswith("metadata.") else ())
        terms.append((name, path, requirement.value, requirement.operator == "="))
    core_event = resource.group_resource == "events"

    def matches(obj: Mapping[str, Any]) -> bool:
        for name, path, value, equal in terms:
            found = _text(name, _at(obj, path))
            if core_event and name == "source" and not found:
                found = _text(name, obj.get("reportingComponent"))
            if (found == value) != equal:
                return False
        return True

    return matches


def unsupported_field(resource: Resource, fields: list[str]) -> str | None:
    """The apiserver's complaint about the first field that cannot be selected by, if there is one."""
    known = supported_fields(resource)
    for name in fields:
        if name not in known:
            if resource.group_resource in _SAYS_SUPPORTED or resource.custom:
                return f"field label not supported: {name}"
            only = 'only "metadata.name", "metadata.namespace"'
            return f"{quote(name)} is not a known field selector: {only}"
    return None


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        obj = obj.get(step) if isinstance(obj, Mapping) else None
    return obj


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if not isinstance(value, bool) else str(value).lower()


def _text(name: str, value: Any) -> str:
    if name == "status.podIPs":
        return ",".join(item.get("ip", "") for item in value or ())
    if name in _BOOLEANS:
        return "true" if value else "false"
    if name in _NUMBERS:
        return str(value or 0)
    return str(value or "")

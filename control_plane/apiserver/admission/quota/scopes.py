"""Which objects a quota is about: its scopes and scope selector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

POD_SCOPES = frozenset(
    {
        "Terminating",
        "NotTerminating",
        "BestEffort",
        "NotBestEffort",
        "PriorityClass",
        "CrossNamespacePodAffinity",
    }
)
AFFINITY_TERMS = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)


def requirements(quota: Object) -> Iterator[Object]:
    spec = quota.get("spec") or {}
    for scope in spec.get("scopes") or ():
        yield {"scopeName": scope, "operator": "Exists"}
    yield from (spec.get("scopeSelector") or {}).get("matchExpressions") or ()


def matches(quota: Object, group: str, resource: str, obj: Object) -> bool:
    """Whether the object is within all scopes. A scope that is not about this kind excludes the object."""
    return all(_matches(requirement, group, resource, obj) for requirement in requirements(quota))


def _matches(requirement: Object, group: str, resource: str, obj: Object) -> bool:
    name = requirement.get("scopeName")
    if (group, resource) == ("", "persistentvolumeclaims") and name == "VolumeAttributesClass":
        return _selects(requirement, (obj.get("spec") or {}).get("volumeAttributesClassName") or "")
    if (group, resource) != ("", "pods") or name not in POD_SCOPES:
        return False
    spec = obj.get("spec") or {}
    match name:
        case "Terminating":
            return is_terminating(spec)
        case "NotTerminating":
            return not is_terminating(spec)
        case "BestEffort":
            return is_best_effort(spec)
        case "NotBestEffort":
            return not is_best_effort(spec)
        case "PriorityClass":
            return _selects(requirement, spec.get("priorityClassName") or "")
        case _:
            return has_cross_namespace_affinity(spec)


def _selects(requirement: Object, value: str) -> bool:
    values = requirement.get("values") or ()
    match requirement.get("operator"):
        case "Exists":
            return bool(value)
        case "DoesNotExist":
            return not value
        case "In":
            return value in values
        case "NotIn":
            return value not in values
    return False


def is_terminating(spec: Object) -> bool:
    deadline = spec.get("activeDeadlineSeconds")
    return deadline is not None and deadline >= 0


def is_best_effort(spec: Object) -> bool:
    """No container asks for cpu or memory."""
    holders = [spec, *(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for holder in holders:
        resources = holder.get("resources") or {}
        for kind in ("requests", "limits"):
            if {"cpu", "memory"} & (resources.get(kind) or {}).keys():
                return False
    return True


def has_cross_namespace_affinity(spec: Object) -> bool:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        for field in AFFINITY_TERMS:
            for term in (affinity.get(kind) or {}).get(field) or ():
                inner = term.get("podAffinityTerm") or term
                if inner.get("namespaces") or inner.get("namespaceSelector") is not None:
                    return True
    return False

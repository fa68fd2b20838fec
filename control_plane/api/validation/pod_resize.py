"""`pods/resize`: amounts of processor time and memory may change in place, within the class of service (KEP 1287; those
of the pod as a whole: KEP 5419)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, meta
from control_plane.api.pod_resources import parse
from control_plane.api.strategy.qos import qos_class
from control_plane.api.validation import pod as pods
from control_plane.api.validation.registry import Errors, Object, spec_of

Spec = Mapping[str, Any]

_MIRROR = "kubernetes.io/config.mirror"
_RESIZABLE = ("cpu", "memory")
_RESIZE_ONLY = "only cpu and memory resources are mutable"
_INIT_ONLY = "only cpu and memory resources for init or sidecar containers are mutable"
_NO_RESTART = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"


def resize(new: Object, old: Object) -> Errors:
    spec, before = spec_of(new), spec_of(old)
    yield from pods.pod_spec("spec", spec)
    if _MIRROR in meta.annotations(old):
        yield errors.forbidden_field("", "static pods cannot be resized")
        return
    if (before.get("os") or {}).get("name") == "windows":
        yield errors.forbidden_field("", "windows pods cannot be resized")
        return
    quality = (old.get("status") or {}).get("qosClass") or qos_class(before)
    if qos_class(spec) != quality:
        yield errors.invalid_value("spec", quality, "Pod QOS Class may not change as a result of resizing")
    yield from _resize_pod_level(spec, before)
    if (old.get("status") or {}).get("nodeAllocatableResourceClaimStatuses"):
        yield errors.forbidden_field("spec", "pods with node allocatable resource claims cannot be resized")
    if reordered := list(_reordered(spec, before)):
        yield from reordered
        return
    for index, (container, was) in enumerate(_pairs(spec, before, "initContainers")):
        yield from _removed(f"spec.initContainers[{index}].resources", container, was)
    for index, (container, was) in enumerate(_pairs(spec, before, "containers")):
        yield from _removed(f"spec.containers[{index}].resources", container, was)
        if _rest(container) != _rest(was):
            yield errors.forbidden_field("spec", _RESIZE_ONLY)
    for index, (container, was) in enumerate(_pairs(spec, before, "initContainers")):
        yield from _resize_init(f"spec.initContainers[{index}]", container, was)


def _resize_pod_level(spec: Spec, before: Spec) -> Errors:
    asked, had = spec.get("resources"), before.get("resources")
    if had is not None and asked is None:
        yield errors.forbidden_field("spec.resources", "pod-level resources cannot be removed")
        return
    for kind in ("requests", "limits"):
        if ((had or {}).get(kind) or {}).keys() - ((asked or {}).get(kind) or {}).keys():
            text = f"pod-level resource {kind} cannot be removed"
            yield errors.forbidden_field(f"spec.resources.{kind}", text)
    if _not_resizable(asked or {}) != _not_resizable(had or {}):
        yield errors.forbidden_field("spec", "only cpu and memory resources are mutable at pod-level")


def _resize_init(path: str, container: Spec, was: Spec) -> Errors:
    if _rest(container) != _rest(was):
        yield errors.forbidden_field(path, _INIT_ONLY)
    policies = (each.get("restartPolicy") for each in container.get("resizePolicy") or ())
    if container != was and container.get("restartPolicy") != "Always" and "RestartContainer" in policies:
        yield errors.forbidden_field(path, _NO_RESTART)


def _reordered(spec: Spec, before: Spec) -> Errors:
    for key in ("containers", "initContainers"):
        if len(spec.get(key) or ()) != len(before.get(key) or ()):
            yield errors.forbidden_field(f"spec.{key}", f"{key} may not be added or removed on resize")
            continue
        for index, (container, was) in enumerate(_pairs(spec, before, key)):
            if container.get("name") != was.get("name"):
                text = f"{key} may not be renamed or reordered on resize"
                yield errors.forbidden_field(f"spec.{key}[{index}].name", text)


def _pairs(spec: Spec, before: Spec, key: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return list(zip(spec.get(key) or (), before.get(key) or (), strict=True))


def _removed(path: str, container: Spec, was: Spec) -> Errors:
    for kind in ("requests", "limits"):
        now, then = ((each.get("resources") or {}).get(kind) or {} for each in (container, was))
        if then.keys() - now.keys():
            yield errors.forbidden_field(f"{path}.{kind}", f"resource {kind} cannot be removed")


def _rest(container: Spec) -> dict[str, Any]:
    """All of it that may not change."""
    kept = {key: value for key, value in container.items() if key != "resources"}
    return {**kept, "resources": _not_resizable(container.get("resources") or {})}


def _not_resizable(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Quantities by value: `1` and `1000m` are the same."""
    amounts = {
        kind: {name: amount for name, amount in parse(asked.get(kind)).items() if name not in _RESIZABLE}
        for kind in ("requests", "limits")
    }
    return {**amounts, "claims": asked.get("claims") or []}

"""Where a container sees the pod's volumes: as directories and as devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors
from control_plane.api.validation.registry import Errors

_PROPAGATION = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")
_BLOCK_ONLY = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"


def mounts(path: str, container: Mapping[str, Any], volumes: Mapping[str, Any]) -> Errors:
    devices = container.get("volumeDevices") or []
    taken: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where, name, target = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield errors.required(f"{where}.name")
        if name not in volumes:
            yield errors.not_found_field(f"{where}.name", name)
        if not target:
            yield errors.required(f"{where}.mountPath")
        if target in taken:
            yield errors.invalid_value(f"{where}.mountPath", target, "must be unique")
        taken.add(target)
        if any(device.get("name") == name for device in devices):
            yield errors.invalid_value(f"{where}.name", name, "must not already exist in volumeDevices")
        if any(device.get("devicePath") == target for device in devices):
            why = "must not already exist as a path in volumeDevices"
            yield errors.invalid_value(f"{where}.mountPath", target, why)
        yield from _part(path, where, mount, volumes.get(name) or {})
        if (propagation := mount.get("mountPropagation")) is not None:
            yield from _propagation(f"{path}.mountPropagation", propagation, container)
        if (recursive := mount.get("recursiveReadOnly")) is not None:
            yield from _recursive(f"{where}.recursiveReadOnly", recursive, mount)


def _part(path: str, where: str, mount: Mapping[str, Any], volume: Mapping[str, Any]) -> Errors:
    """Of a path below, upstream names the list and not the item."""
    sub, expression = mount.get("subPath"), mount.get("subPathExpr")
    for key, value in (("subPath", sub), ("subPathExpr", expression)):
        if value and volume.get("image") is not None:
            yield errors.invalid_value(f"{where}.{key}", value, "not allowed in image volume sources")
    if sub:
        yield from relative_path(f"{path}.subPath", sub)
    if expression:
        if sub:
            why = "subPathExpr and subPath are mutually exclusive"
            yield errors.invalid_value(f"{where}.subPathExpr", expression, why)
        yield from relative_path(f"{path}.subPathExpr", expression)


def _propagation(path: str, propagation: str, container: Mapping[str, Any]) -> Errors:
    if propagation not in _PROPAGATION:
        yield errors.not_supported(path, propagation, _PROPAGATION)
    if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        yield errors.forbidden_field(
            path, "Bidirectional mount propagation is available only to privileged containers"
        )


def _recursive(path: str, recursive: str, mount: Mapping[str, Any]) -> Errors:
    if recursive not in _RECURSIVE:
        yield errors.not_supported(path, recursive, _RECURSIVE)
    elif recursive != "Disabled":
        if not mount.get("readOnly"):
            yield errors.forbidden_field(path, "may only be specified when readOnly is true")
        if mount.get("mountPropagation") not in (None, "None"):
            why = "may only be specified when mountPropagation is None or not specified"
            yield errors.forbidden_field(path, why)


def relative_path(path: str, value: str) -> Errors:
    if value.startswith("/"):
        yield errors.invalid_value(path, value, "must be a relative path")
    yield from no_backsteps(path, value)


def no_backsteps(path: str, value: str) -> Errors:
    if ".." in value.split("/"):
        yield errors.invalid_value(path, value, "must not contain '..'")


def devices(path: str, container: Mapping[str, Any], volumes: Mapping[str, Any]) -> Errors:
    mounted = container.get("volumeMounts") or []
    names: set[str] = set()
    targets: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        where, name, target = f"{path}[{index}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            yield errors.required(f"{where}.name")
        if name in names:
            yield errors.invalid_value(f"{where}.name", name, "must be unique")
        names.add(name)
        volume = volumes.get(name)
        if volume is None:
            yield errors.not_found_field(f"{where}.name", name)
        elif "persistentVolumeClaim" not in volume and "ephemeral" not in volume:
            yield errors.invalid_value(f"{where}.name", name, _BLOCK_ONLY)
        yield from _device_path(f"{where}.devicePath", target, targets)
        targets.add(target)
        if any(mount.get("name") == name for mount in mounted):
            yield errors.invalid_value(f"{where}.name", name, "must not already exist in volumeMounts")
        if any(mount.get("mountPath") == target for mount in mounted):
            why = "must not already exist as a path in volumeMounts"
            yield errors.invalid_value(f"{where}.devicePath", target, why)


def _device_path(path: str, target: str, taken: set[str]) -> Errors:
    if not target:
        yield errors.required(path)
    if target in taken:
        yield errors.invalid_value(path, target, "must be unique")
    if ".." in target.split("/"):
        yield errors.invalid_value(path, target, "can not contain backsteps ('..')")

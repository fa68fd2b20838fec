"""Volumes of a pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.quantity import parse_or_zero
from control_plane.api.validation import volume_sources
from control_plane.api.validation.environment import field_reference, resource_reference
from control_plane.api.validation.mounts import relative_path
from control_plane.api.validation.registry import NOT_NEGATIVE, Errors, one_of, problems

_MAX_MODE = 0o777
_MODE_MESSAGE = "must be a number between 0 and 0777 (octal), both inclusive"
_DOWNWARD_FIELDS = {
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
}
_MIN_TOKEN_S, _MAX_TOKEN_S = 600, 1 << 32


def volumes(path: str, listed: list[Mapping[str, Any]]) -> Errors:
    taken: set[str] = set()
    for index, volume in enumerate(listed):
        where, name = f"{path}[{index}]", volume.get("name", "")
        if not name:
            yield errors.required(f"{where}.name")
        else:
            yield from problems(f"{where}.name", name, names.dns_label(name))
            if name in taken:
                yield errors.duplicate(f"{where}.name", name)
            taken.add(name)
        yield from _source(where, volume)


def _source(path: str, volume: Mapping[str, Any]) -> Errors:
    kinds = [key for key, value in volume.items() if key != "name" and isinstance(value, Mapping)]
    if not kinds:
        yield errors.required(path, "must specify a volume type")
        return
    for extra in kinds[1:]:
        yield errors.forbidden_field(f"{path}.{extra}", "may not specify more than 1 volume type")
    kind = kinds[0]
    where, source = f"{path}.{kind}", volume[kind]
    yield from volume_sources.source(where, kind, source)
    match kind:
        case "emptyDir":
            if parse_or_zero(source.get("sizeLimit")).nanos < 0:
                yield errors.forbidden_field(
                    f"{where}.sizeLimit", "SizeLimit field must be a valid resource quantity"
                )
        case "secret" | "configMap":
            yield from _mode(f"{where}.defaultMode", source.get("defaultMode"))
            yield from _items(f"{where}.items", source.get("items") or [])
        case "downwardAPI":
            yield from _mode(f"{where}.defaultMode", source.get("defaultMode"))
            yield from _downward(f"{where}.items", source.get("items") or [])
        case "projected":
            yield from _projected(where, source)
        case "ephemeral":
            yield from _ephemeral(where, source)
        case "image":
            yield from _image(where, source)


def _ephemeral(path: str, source: Mapping[str, Any]) -> Errors:
    template = source.get("volumeClaimTemplate")
    if template is None:
        yield errors.required(f"{path}.volumeClaimTemplate")
        return
    where, spec = f"{path}.volumeClaimTemplate.spec", template.get("spec") or {}
    yield from access_modes(f"{where}.accessModes", spec.get("accessModes") or [])
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        yield errors.required(f"{where}.resources[storage]")
    else:
        yield from size(f"{where}.resources[storage]", requests)


def _image(path: str, source: Mapping[str, Any]) -> Errors:
    if not source.get("reference"):
        yield errors.required(f"{path}.reference")
    yield from one_of(f"{path}.pullPolicy", source.get("pullPolicy"), ("Always", "IfNotPresent", "Never"))


def _mode(path: str, mode: int | None) -> Errors:
    if mode is not None and not 0 <= mode <= _MAX_MODE:
        yield errors.invalid_value(path, mode, _MODE_MESSAGE)


def _items(path: str, items: list[Mapping[str, Any]]) -> Errors:
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if not item.get("key"):
            yield errors.required(f"{where}.key")
        if not item.get("path"):
            yield errors.required(f"{where}.path")
        else:
            yield from _target(f"{where}.path", item["path"])
        yield from _mode(f"{where}.mode", item.get("mode"))


def _target(path: str, value: str) -> Errors:
    """Names that begin with two points are the volume's own."""
    yield from relative_path(path, value)
    if value.startswith("..") and not value.startswith("../"):
        yield errors.invalid_value(path, value, "must not start with '..'")


def _downward(path: str, items: list[Mapping[str, Any]]) -> Errors:
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if not item.get("path"):
            yield errors.required(f"{where}.path")
        else:
            yield from _target(f"{where}.path", item["path"])
        yield from _mode(f"{where}.mode", item.get("mode"))
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            yield from field_reference(f"{where}.fieldRef", field, _DOWNWARD_FIELDS)
            if resource is not None:
                yield errors.invalid_value(
                    where, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"
                )
        elif resource is not None:
            yield from resource_reference(f"{where}.resourceFieldRef", resource, needs_container=True)
        else:
            yield errors.required(where, "one of fieldRef and resourceFieldRef is required")


def _projected(path: str, source: Mapping[str, Any]) -> Errors:
    yield from _mode(f"{path}.defaultMode", source.get("defaultMode"))
    taken: set[str] = set()
    for index, part in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        kinds = [key for key, value in part.items() if isinstance(value, Mapping)]
        if not kinds:
            yield errors.required(where, "must specify a volume type")
        if len(kinds) > 1:
            yield errors.forbidden_field(where, "may not specify more than 1 volume type per source")
        for kind in kinds[:1]:
            yield from _projection(f"{where}.{kind}", kind, part[kind])
            for target, of in _targets(kind, part[kind]):
                if target in taken:
                    yield errors.invalid_value(path, of, "conflicting duplicate paths")
                taken.add(target)


def _targets(kind: str, part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The paths that it names, and what is blamed when they are taken. (A token's path is not looked at.)"""
    if kind == "clusterTrustBundle":
        yield part.get("path", ""), part.get("path", "")
    for item in part.get("items") or ():
        if target := item.get("path"):
            yield target, target if kind == "downwardAPI" else part.get("name", "")


def _projection(path: str, kind: str, part: Mapping[str, Any]) -> Errors:
    match kind:
        case "secret" | "configMap":
            if not part.get("name"):
                yield errors.required(f"{path}.name")
            yield from _items(f"{path}.items", part.get("items") or [])
        case "downwardAPI":
            yield from _downward(f"{path}.items", part.get("items") or [])
        case "clusterTrustBundle":
            yield from _trust(path, part)
        case "serviceAccountToken":
            expiration_s = part.get("expirationSeconds", 3600)
            if expiration_s < _MIN_TOKEN_S:
                yield errors.invalid_value(
                    f"{path}.expirationSeconds",
                    expiration_s,
                    "may not specify a duration less than 10 minutes",
                )
            if expiration_s > _MAX_TOKEN_S:
                yield errors.invalid_value(
                    f"{path}.expirationSeconds",
                    expiration_s,
                    "may not specify a duration larger than 2^32 seconds",
                )
            if not part.get("path"):
                yield errors.required(f"{path}.path")
            else:
                yield from _target(f"{path}.path", part["path"])


def _trust(path: str, part: Mapping[str, Any]) -> Errors:
    """A bundle by its name, or all of a signer's."""
    name, signer, selector = part.get("name"), part.get("signerName"), part.get("labelSelector")
    if name is not None and signer is not None:
        why = "only one of name and signerName may be used"
        yield errors.invalid_value(path, dict(part), why)
    elif name is None and signer is None:
        yield errors.required(path, "either name or signerName must be specified")
    elif name is not None and selector is not None:
        why = "labelSelector must be unset if name is specified"
        yield errors.invalid_value(f"{path}.labelSelector", selector, why)
    if not part.get("path"):
        yield errors.required(f"{path}.path")
    else:
        yield from _target(f"{path}.path", part["path"])


def size(path: str, amounts: Mapping[str, Any] | None) -> Errors:
    """The storage of a claim or volume."""
    if parse_or_zero((amounts or {}).get("storage")).nanos < 0:
        yield errors.invalid_value(path, str((amounts or {})["storage"]), NOT_NEGATIVE)


def access_modes(path: str, modes: list[str], why: str = "at least 1 access mode is required") -> Errors:
    known = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
    if not modes:
        yield errors.required(path, why)
    for mode in modes:
        yield from one_of(path, mode, known)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield errors.forbidden_field(path, "may not use ReadWriteOncePod with other access modes")

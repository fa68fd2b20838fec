"""Environment variables of containers, and references to fields and resources of the pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.quantity import parse_or_zero
from control_plane.api.validation.registry import Errors, problems

_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


_FIELD_PATHS = {
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
}


_RESOURCE_FIELDS = {
    f"{side}.{name}" for side in ("limits", "requests") for name in ("cpu", "memory", "ephemeral-storage")
}


_SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVISORS = {"cpu": ("1m", "1")}


def variable(path: str, declared: Mapping[str, Any]) -> Errors:
    name = declared.get("name", "")
    if not name:
        yield errors.required(f"{path}.name")
    else:
        yield from problems(f"{path}.name", name, names.env_name(name))
    source = declared.get("valueFrom")
    if source is None:
        return
    where = f"{path}.valueFrom"
    used = [key for key in _ENV_SOURCES if source.get(key) is not None]
    if not used:
        yield errors.invalid_value(where, "", f"must specify one of: {_listed(_ENV_SOURCES[:-1])}")
    elif declared.get("value"):
        yield errors.invalid_value(where, "", "may not be specified when `value` is not empty")
    elif len(used) > 1:
        yield errors.invalid_value(where, "", "may not have more than one field specified at a time")
    for key in used:
        yield from _reference(f"{where}.{key}", key, source[key])


def _listed(keys: tuple[str, ...]) -> str:
    quoted = [f"`{key}`" for key in keys]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _reference(path: str, kind: str, reference: Mapping[str, Any]) -> Errors:
    if kind == "fieldRef":
        yield from field_reference(path, reference, _FIELD_PATHS)
    elif kind == "resourceFieldRef":
        yield from resource_reference(path, reference, needs_container=False)
    elif kind in ("configMapKeyRef", "secretKeyRef"):
        name, key = reference.get("name", ""), reference.get("key", "")
        yield from problems(f"{path}.name", name, names.dns_subdomain(name))
        if not key:
            yield errors.required(f"{path}.key")
        else:
            yield from problems(f"{path}.key", key, names.config_key(key))


def field_reference(path: str, reference: Mapping[str, Any], known: set[str]) -> Errors:
    field_path = reference.get("fieldPath", "")
    if not field_path:
        yield errors.required(f"{path}.fieldPath")
        return
    base, bracket, rest = field_path.partition("['")
    if bracket and base in ("metadata.labels", "metadata.annotations") and rest.endswith("']"):
        yield from problems(f"{path}.fieldPath", rest[:-2], names.label_key(rest[:-2].lower()))
    elif field_path not in known:
        if field_path in ("metadata.labels", "metadata.annotations") or not field_path.startswith(
            ("metadata.", "spec.", "status.")
        ):
            yield errors.invalid_value(
                f"{path}.fieldPath",
                field_path,
                f"error converting fieldPath: field label not supported: {field_path}",
            )
        else:
            yield errors.not_supported(f"{path}.fieldPath", field_path, sorted(known))


def resource_reference(path: str, reference: Mapping[str, Any], needs_container: bool) -> Errors:
    name = reference.get("resource", "")
    if needs_container and not reference.get("containerName"):
        yield errors.required(f"{path}.containerName")
    if not name:
        yield errors.required(f"{path}.resource")
    elif name not in _RESOURCE_FIELDS and ".hugepages-" not in name:
        yield errors.not_supported(f"{path}.resource", name, sorted(_RESOURCE_FIELDS))
    else:
        yield from _divisor(f"{path}.divisor", name.partition(".")[2], reference.get("divisor"))


def _divisor(path: str, resource: str, divisor: Any) -> Errors:
    """By what an amount may be divided; nothing is the unit."""
    if parse_or_zero(divisor).nanos == 0:
        return
    shown, known = str(divisor), _DIVISORS.get(resource, _SIZES)
    if shown not in known:
        why = f"only divisor's values {_and(known)} are supported with the {resource.partition('-')[0]} resource"
        yield errors.invalid_value(path, shown, why)


def _and(values: tuple[str, ...]) -> str:
    return " and ".join(values) if len(values) == 2 else ", ".join(values)


def env_from(path: str, source: Mapping[str, Any]) -> Errors:
    if prefix := source.get("prefix"):
        yield from problems(f"{path}.prefix", prefix, names.env_name(prefix))
    used = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
    if not used:
        yield errors.invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`")
    if len(used) > 1:
        yield errors.invalid_value(path, "", "may not have more than one field specified at a time")
    for key in used:
        name = source[key].get("name", "")
        if not name:
            yield errors.required(f"{path}.{key}.name")
        else:
            yield from problems(f"{path}.{key}.name", name, names.dns_subdomain(name))

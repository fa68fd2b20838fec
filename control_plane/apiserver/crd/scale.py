"""The scale subresource of a custom resource: replicas and selector stand where the definition says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from control_plane.api import errors, meta
from control_plane.api.errors import FieldError

Object = dict[str, Any]

MAX_REPLICAS = (1 << 31) - 1
_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class _WrongType(Exception):
    pass


class Scale:
    def __init__(self, declared: Mapping[str, Any]) -> None:
        self._spec_path: str = declared.get("specReplicasPath", "")
        self._status_path: str = declared.get("statusReplicasPath", "")
        self._selector_path: str = declared.get("labelSelectorPath") or ""

    def get(self, obj: Object) -> Object:
        """Raises StatusError InternalError where there are no replicas."""
        try:
            replicas = _integer(obj, self._spec_path)
            current = _integer(obj, self._status_path)
            selector = _string(obj, self._selector_path) if self._selector_path else None
        except _WrongType as error:
            raise errors.internal(str(error)) from error
        if replicas is None:
            why = f"the spec replicas field {errors.quote(self._spec_path)} does not exist"
            raise errors.internal(why)
        held = meta.metadata(obj)
        status: Object = {"replicas": current or 0}
        if selector:
            status["selector"] = selector
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {key: held[key] for key in _KEPT if key in held},
            "spec": {"replicas": replicas} if replicas else {},
            "status": status,
        }

    def set(self, obj: Object, scale: Object) -> Object:
        """Raises StatusError BadRequest."""
        changed = deepcopy(obj)
        *parents, last = _steps(self._spec_path)
        holder = changed
        for step in parents:
            holder = holder.setdefault(step, {})
            if not isinstance(holder, dict):
                raise errors.bad_request(f"value cannot be set because {self._spec_path} is no field")
        holder[last] = (scale.get("spec") or {}).get("replicas", 0)
        if version := meta.resource_version_of(scale):
            changed["metadata"]["resourceVersion"] = version
        return changed

    def validate(self, obj: Object, status_only: bool) -> Iterator[FieldError]:
        if not status_only:
            yield from _replicas(obj, self._spec_path)
        yield from _replicas(obj, self._status_path)
        if self._selector_path:
            try:
                _string(obj, self._selector_path)
            except _WrongType as error:
                yield errors.invalid_value(self._selector_path, "", str(error))


def _replicas(obj: Object, path: str) -> Iterator[FieldError]:
    try:
        found = _integer(obj, path) or 0
    except _WrongType as error:
        yield errors.invalid_value(path, 0, str(error))
        return
    if found < 0:
        yield errors.invalid_value(path, found, "should be a non-negative integer")
    elif found > MAX_REPLICAS:
        yield errors.invalid_value(path, found, f"should be less than or equal to {MAX_REPLICAS}")


def _steps(path: str) -> list[str]:
    return path.removeprefix(".").split(".")


def _at(obj: Object, path: str) -> Any:
    found: Any = obj
    for step in _steps(path):
        if found is None:
            return None
        if not isinstance(found, dict):
            shown = f"{path} accessor error: {found} is of the type {_go(found)}, expected map[string]interface{{}}"
            raise _WrongType(shown)
        found = found.get(step)
    return found


def _integer(obj: Object, path: str) -> int | None:
    found = _at(obj, path)
    if found is not None and type(found) is not int:
        raise _WrongType(f"{path} accessor error: {found} is of the type {_go(found)}, expected int64")
    return found


def _string(obj: Object, path: str) -> str | None:
    found = _at(obj, path)
    if found is not None and type(found) is not str:
        raise _WrongType(f"{path} accessor error: {found} is of the type {_go(found)}, expected string")
    return found


def _go(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int():
            return "int64"
        case float():
            return "float64"
        case list():
            return "[]interface {}"
    return "map[string]interface {}"

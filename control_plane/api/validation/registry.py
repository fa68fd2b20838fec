"""Which rules judge which resource, and the vocabulary they are written in.

A rule is a generator of FieldErrors. `@on_create` rules judge an object as such, on create and after every
update; `@on_update` rules compare it with what it was; `@on_status` rules judge a write of the status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from control_plane.api import errors
from control_plane.api.errors import FieldError

Object = Mapping[str, Any]
Errors = Iterator[FieldError]
CreateRule = Callable[[Object], Errors]
UpdateRule = Callable[[Object, Object], Errors]

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"

CREATE: dict[str, CreateRule] = {}
UPDATE: dict[str, UpdateRule] = {}
STATUS: dict[str, UpdateRule] = {}


def on_create(*group_resources: str) -> Callable[[CreateRule], CreateRule]:
    def register(rule: CreateRule) -> CreateRule:
        CREATE.update(dict.fromkeys(group_resources, rule))
        return rule

    return register


def on_update(*group_resources: str) -> Callable[[UpdateRule], UpdateRule]:
    def register(rule: UpdateRule) -> UpdateRule:
        UPDATE.update(dict.fromkeys(group_resources, rule))
        return rule

    return register


def on_status(*group_resources: str) -> Callable[[UpdateRule], UpdateRule]:
    def register(rule: UpdateRule) -> UpdateRule:
        STATUS.update(dict.fromkeys(group_resources, rule))
        return rule

    return register


def problems(path: str, value: str | int, found: Iterable[str]) -> Errors:
    """Each complaint about one value."""
    for problem in found:
        yield errors.invalid_value(path, value, problem)


def not_negative(path: str, value: int | None) -> Errors:
    if value is not None and value < 0:
        yield errors.invalid_value(path, value, NOT_NEGATIVE)


def immutable(path: str, new: Any, old: Any) -> Errors:
    if (new or None) != (old or None):
        yield errors.invalid_value(path, new, IMMUTABLE)


def one_of(path: str, value: str | None, valid: Iterable[str]) -> Errors:
    """An enumeration; unset is an error as well."""
    if value not in (known := list(valid)):
        yield errors.required(path) if not value else errors.not_supported(path, value, known)


def dig(obj: Any, *path: str) -> Any:
    for step in path:
        obj = obj.get(step) if isinstance(obj, Mapping) else None
    return obj


def each_container(path: str, spec: Object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All of a pod, each with where it stands."""
    for key in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            yield f"{path}.{key}[{index}]", container


def spec_of(obj: Object) -> dict[str, Any]:
    found: dict[str, Any] = obj.get("spec") or {}
    return found

"""Requests and limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.pod_resources import is_pod_level
from control_plane.api.quantity import NANO, parse_or_zero
from control_plane.api.validation.registry import NOT_NEGATIVE, Errors, problems

STANDARD = {"cpu", "memory", "ephemeral-storage"}
POD_LEVEL = ("cpu", "hugepages-", "memory")
_HUGE_PAGES = "hugepages-"
_NATIVE_PREFIX = "kubernetes.io/"

NameRule = Callable[[str, str], Errors]


def container_name(path: str, name: str) -> Errors:
    if "/" not in name and name not in STANDARD and not name.startswith(_HUGE_PAGES):
        yield errors.invalid_value(path, name, "must be a standard resource for containers")


def pod_level_name(path: str, name: str) -> Errors:
    if not is_pod_level(name):
        yield errors.not_supported(path, name, POD_LEVEL)


def requirements(path: str, resources: Mapping[str, Any], known: NameRule = container_name) -> Errors:
    """`known` judges the name of a resource."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, amount in limits.items():
        where = f"{path}.limits[{name}]" if "/" not in name else f"{path}.limits"
        yield from _amount(where, name, amount, known)
    for name, amount in requests.items():
        where = f"{path}.requests[{name}]" if "/" not in name else f"{path}.requests"
        yield from _amount(where, name, amount, known)
        limit = limits.get(name)
        if limit is not None:
            too_much = parse_or_zero(amount) > parse_or_zero(limit)
            if is_extended(name) and parse_or_zero(amount) != parse_or_zero(limit):
                yield errors.invalid_value(
                    f"{path}.requests", str(amount), f"must be equal to {name} limit of {limit}"
                )
            elif too_much:
                yield errors.invalid_value(
                    f"{path}.requests", str(amount), f"must be less than or equal to {name} limit of {limit}"
                )
        elif not _overcommittable(name):
            yield errors.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
    asked = {*limits, *requests}
    if any(name.startswith(_HUGE_PAGES) for name in asked) and not asked & {"cpu", "memory"}:
        yield errors.forbidden_field(path, "HugePages require cpu or memory")


def is_extended(name: str) -> bool:
    return "/" in name and not name.startswith(_NATIVE_PREFIX) and not name.startswith("requests.")


def _overcommittable(name: str) -> bool:
    return not is_extended(name) and not name.startswith(_HUGE_PAGES)


def _amount(path: str, name: str, amount: Any, known: NameRule) -> Errors:
    yield from problems(path, name, names.label_key(name))
    yield from known(path, name)
    value = parse_or_zero(amount)
    if value.nanos < 0:
        yield errors.invalid_value(path, str(amount), NOT_NEGATIVE)
    if is_extended(name) and value.nanos % NANO:
        yield errors.invalid_value(path, str(amount), "must be an integer")

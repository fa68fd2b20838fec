"""Resource quotas and limit ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.quantity import NANO, parse_or_zero
from control_plane.api.validation.registry import (
    IMMUTABLE,
    NOT_NEGATIVE,
    Errors,
    Object,
    on_create,
    on_update,
    problems,
    spec_of,
)

_COMPUTE = {
    name
    for base in ("cpu", "memory", "ephemeral-storage")
    for name in (base, f"requests.{base}", f"limits.{base}")
}
_COUNTED = {
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
}
_STANDARD = _COMPUTE | _COUNTED | {"requests.storage"}
_POD_COUNT = {"pods"}
_SCOPES: Mapping[str, set[str]] = {
    "BestEffort": _POD_COUNT,
    "CrossNamespacePodAffinity": _POD_COUNT | _COMPUTE,
    "NotBestEffort": _POD_COUNT | _COMPUTE,
    "NotTerminating": _POD_COUNT | _COMPUTE,
    "PriorityClass": _POD_COUNT | _COMPUTE,
    "Terminating": _POD_COUNT | _COMPUTE,
    "VolumeAttributesClass": {"persistentvolumeclaims", "requests.storage"},
}
"""What each scope can be used with."""
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_EXISTS_ONLY = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")
_EXISTS_ONLY_WORDS = (
    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")


@on_create("resourcequotas")
def resource_quota(obj: Object) -> Errors:
    spec = spec_of(obj)
    hard = spec.get("hard") or {}
    for name, amount in hard.items():
        path = f"spec.hard[{name}]"
        yield from problems(path, name, names.label_key(name))
        if (
            "/" not in name
            and name not in _STANDARD
            and not name.startswith(("count", "requests.hugepages-", "hugepages-"))
        ):
            yield errors.invalid_value(path, name, "must be a standard resource for quotas")
        value = parse_or_zero(amount)
        if value.nanos < 0:
            yield errors.invalid_value(path, str(amount), NOT_NEGATIVE)
        if (name in _COUNTED or name.startswith("count/")) and value.nanos % NANO:
            yield errors.invalid_value(path, str(amount), "must be an integer")
    yield from _scopes(spec.get("scopes") or [], hard)
    for requirement in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        yield from _requirement("spec.scopeSelector.matchExpressions", requirement, spec, hard)


def _scopes(scopes: list[str], hard: Mapping[str, Any]) -> Errors:
    for scope in scopes:
        if scope not in _SCOPES:
            yield errors.invalid_value("spec.scopes", scopes, "unsupported scope")
        for _ in _unfit(scope, hard):
            yield errors.invalid_value("spec.scopes", scopes, "unsupported scope applied to resource")
    for pair in _CONFLICTS:
        if pair <= set(scopes):
            yield errors.invalid_value("spec.scopes", scopes, "conflicting scopes")


def _unfit(scope: str, hard: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in hard if name in _STANDARD and name not in _SCOPES.get(scope, _STANDARD))


def _requirement(
    path: str, requirement: Mapping[str, Any], spec: Mapping[str, Any], hard: Mapping[str, Any]
) -> Errors:
    scope, operator = requirement.get("scopeName", ""), requirement.get("operator", "")
    values = requirement.get("values") or []
    if scope not in _SCOPES:
        yield errors.invalid_value(f"{path}.scopeName", scope, "unsupported scope")
    for _ in _unfit(scope, hard):
        yield errors.invalid_value(path, spec["scopeSelector"], "unsupported scope applied to resource")
    if scope in _EXISTS_ONLY and operator != "Exists":
        yield errors.invalid_value(f"{path}.operator", operator, _EXISTS_ONLY_WORDS)
    if operator in ("In", "NotIn"):
        if not values:
            yield errors.required(
                f"{path}.values",
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            )
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield errors.invalid_value(
                f"{path}.values",
                values,
                "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector",
            )
    else:
        yield errors.invalid_value(f"{path}.operator", operator, "not a valid selector operator")


@on_update("resourcequotas")
def resource_quota_update(new: Object, old: Object) -> Errors:
    spec, before = spec_of(new), spec_of(old)
    if sorted(spec.get("scopes") or ()) != sorted(before.get("scopes") or ()):
        yield errors.invalid_value("spec.scopes", spec.get("scopes"), IMMUTABLE)


@on_create("limitranges")
def limit_range(obj: Object) -> Errors:
    taken: set[str] = set()
    for index, item in enumerate(spec_of(obj).get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type", "")
        yield from problems(f"{path}.type", kind, names.label_key(kind))
        if kind not in _LIMIT_TYPES and "/" not in kind:
            yield errors.invalid_value(
                f"{path}.type", kind, "must be a standard limit type or fully qualified"
            )
        if kind in taken:
            yield errors.duplicate(f"{path}.type", kind)
        taken.add(kind)
        yield from _limits(path, item)


_ORDER = (
    ("min", "min value", "max", "max value"),
    ("defaultRequest", "default request value", "max", "max value"),
    ("min", "min value", "defaultRequest", "default request value"),
    ("defaultRequest", "default request value", "default", "default limit value"),
    ("default", "default value", "max", "max value"),
    ("min", "min value", "default", "default value"),
)
"""Of each pair the first may not be greater."""


def _limits(path: str, item: Mapping[str, Any]) -> Errors:
    if item.get("type") == "Pod":
        for key in ("default", "defaultRequest"):
            if item.get(key):
                yield errors.forbidden_field(f"{path}.{key}", "may not be specified when `type` is 'Pod'")
    sides = {key: item.get(key) or {} for key in ("min", "max", "default", "defaultRequest")}
    if item.get("type") == "PersistentVolumeClaim" and "storage" not in {*sides["min"], *sides["max"]}:
        yield errors.required(
            f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided"
        )
    for low, low_words, high, high_words in _ORDER:
        for name in sides[low].keys() & sides[high].keys():
            if parse_or_zero(sides[low][name]) > parse_or_zero(sides[high][name]):
                yield errors.invalid_value(
                    f"{path}.{low}[{name}]",
                    str(sides[low][name]),
                    f"{low_words} {sides[low][name]} is greater than {high_words} {sides[high][name]}",
                )
    yield from _ratios(f"{path}.maxLimitRequestRatio", item.get("maxLimitRequestRatio") or {}, sides)


def _ratios(path: str, ratios: Mapping[str, Any], sides: Mapping[str, Mapping[str, Any]]) -> Errors:
    for name, ratio in ratios.items():
        value = parse_or_zero(ratio).nanos / NANO
        if value < 1:
            yield errors.invalid_value(f"{path}[{name}]", str(ratio), f"ratio {ratio} is less than 1")
        low, high = (parse_or_zero(sides[key].get(name)).nanos for key in ("min", "max"))
        if low > 0 and high > 0 and value > high / low:
            yield errors.invalid_value(
                f"{path}[{name}]", str(ratio), f"ratio {ratio} is greater than max/min = {high / low:f}"
            )

"""Autoscalers: what they scale, by which metrics, how fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.quantity import parse_or_zero
from control_plane.api.validation import metadata
from control_plane.api.validation.registry import Errors, Object, on_create, problems, spec_of

_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_MAX_WINDOW_S, _MAX_PERIOD_S = 3600, 1800
_SELECTIONS = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_ABOVE_ZERO = "must be greater than 0"


@on_create("horizontalpodautoscalers.autoscaling")
def autoscaler(obj: Object) -> Errors:
    spec = spec_of(obj)
    minimum, maximum = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if minimum is not None and minimum < 1:
        yield errors.invalid_value("spec.minReplicas", minimum, "must be greater than or equal to 1")
    if maximum < 1:
        yield errors.invalid_value("spec.maxReplicas", maximum, _ABOVE_ZERO)
    if minimum is not None and maximum < minimum:
        yield errors.invalid_value(
            "spec.maxReplicas", maximum, "must be greater than or equal to `minReplicas`"
        )
    yield from _reference("spec.scaleTargetRef", spec.get("scaleTargetRef") or {})
    for index, metric in enumerate(spec.get("metrics") or ()):
        yield from _metric(f"spec.metrics[{index}]", metric)
    for side, rules in (spec.get("behavior") or {}).items():
        if isinstance(rules, Mapping):
            yield from _rules(f"spec.behavior.{side}", rules)


def _reference(path: str, reference: Mapping[str, Any]) -> Errors:
    for key in ("kind", "name"):
        value = reference.get(key, "")
        if not value:
            yield errors.required(f"{path}.{key}")
        else:
            yield from problems(f"{path}.{key}", value, names.path_segment(value))


def _metric(path: str, metric: Mapping[str, Any]) -> Errors:
    kind = metric.get("type", "")
    if not kind:
        yield errors.required(f"{path}.type", "must specify a metric source type")
    if kind not in _SOURCES:
        yield errors.not_supported(f"{path}.type", kind, sorted(_SOURCES))
    present = [
        key for key in ("object", "pods", "resource", "containerResource", "external") if metric.get(key)
    ]
    for key in present[:1]:
        yield from _source(f"{path}.{key}", key, metric[key])
    expected = _SOURCES.get(kind, "")
    if expected and expected not in present:
        yield errors.required(f"{path}.{expected}", "must populate information for the given metric source")
    if len(present) > 1:
        for key in present:
            if key != expected:
                yield errors.forbidden_field(f"{path}.{key}", "must populate the given metric source only")


def _source(path: str, key: str, source: Mapping[str, Any]) -> Errors:
    target = source.get("target") or {}
    if key == "object":
        yield from _reference(f"{path}.describedObject", source.get("describedObject") or {})
    if key in ("object", "pods", "external"):
        metric = source.get("metric") or {}
        name = metric.get("name", "")
        if not name:
            yield errors.required(f"{path}.metric.name", "must specify a metric name")
        else:
            yield from problems(f"{path}.metric.name", name, names.path_segment(name))
        yield from metadata.label_selector(f"{path}.metric.selector", metric.get("selector"))
    if key in ("resource", "containerResource") and not source.get("name"):
        yield errors.required(f"{path}.name", "must specify a resource name")
    if key == "containerResource" and not source.get("container"):
        yield errors.required(f"{path}.container", "must specify a container")
    yield from _target(f"{path}.target", target)
    yield from _needed_value(path, key, target)


def _needed_value(path: str, key: str, target: Mapping[str, Any]) -> Errors:
    """Each source has values that it may be measured by."""
    value, average = target.get("value"), target.get("averageValue")
    utilization = target.get("averageUtilization")
    where = f"{path}.target"
    match key:
        case "object" | "external":
            if value is None and average is None:
                yield errors.required(
                    f"{where}.averageValue", "must set either a target value or averageValue"
                )
            if key == "external" and value is not None and average is not None:
                yield errors.forbidden_field(
                    f"{where}.value", "may not set both a target value for metric and a per-pod target"
                )
        case "pods":
            if average is None or parse_or_zero(average).nanos <= 0:
                yield errors.required(f"{where}.averageValue", "must specify a positive target averageValue")
        case _:
            if utilization is None and average is None:
                yield errors.required(
                    f"{where}.averageUtilization",
                    "must set either a target raw value or a target utilization",
                )
            if utilization is not None and average is not None:
                yield errors.forbidden_field(
                    f"{where}.averageValue", "may not set both a target raw value and a target utilization"
                )


def _target(path: str, target: Mapping[str, Any]) -> Errors:
    kind = target.get("type", "")
    if not kind:
        yield errors.required(f"{path}.type", "must specify a metric target type")
    elif kind not in ("Utilization", "Value", "AverageValue"):
        yield errors.invalid_value(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for key in ("value", "averageValue"):
        if target.get(key) is not None and parse_or_zero(target[key]).nanos <= 0:
            yield errors.invalid_value(f"{path}.{key}", str(target[key]), "must be positive")
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        yield errors.invalid_value(f"{path}.averageUtilization", utilization, _ABOVE_ZERO)


def _rules(path: str, rules: Mapping[str, Any]) -> Errors:
    window_s = rules.get("stabilizationWindowSeconds")
    if window_s is not None and window_s < 0:
        yield errors.invalid_value(
            f"{path}.stabilizationWindowSeconds", window_s, "must be greater than or equal to zero"
        )
    if window_s is not None and window_s > _MAX_WINDOW_S:
        yield errors.invalid_value(
            f"{path}.stabilizationWindowSeconds", window_s, f"must be less than or equal to {_MAX_WINDOW_S}"
        )
    selected = rules.get("selectPolicy")
    if selected is not None and selected not in _SELECTIONS:
        yield errors.not_supported(f"{path}.selectPolicy", selected, _SELECTIONS)
    policies = rules.get("policies") or []
    if not policies:
        yield errors.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(policies):
        yield from _policy(f"{path}.policies[{index}]", policy)


def _policy(path: str, policy: Mapping[str, Any]) -> Errors:
    kind, value, period_s = policy.get("type", ""), policy.get("value", 0), policy.get("periodSeconds", 0)
    if kind not in _POLICIES:
        yield errors.not_supported(f"{path}.type", kind, _POLICIES)
    if value <= 0:
        yield errors.invalid_value(f"{path}.value", value, "must be greater than zero")
    if period_s <= 0:
        yield errors.invalid_value(f"{path}.periodSeconds", period_s, "must be greater than zero")
    if period_s > _MAX_PERIOD_S:
        yield errors.invalid_value(
            f"{path}.periodSeconds", period_s, f"must be less than or equal to {_MAX_PERIOD_S}"
        )

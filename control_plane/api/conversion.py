"""Between the versions of one resource that are served at once: autoscaling v1 and v2, events in two groups.

`convert` returns a new object in the version asked for; everything else it leaves alone. The storage
version is the richer one, so that nothing is lost: what autoscaling/v1 cannot express travels in
annotations, as upstream does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

Object = dict[str, Any]

_ANNOTATION = "autoscaling.alpha.kubernetes.io/"
_STASHED_SPEC = ("metrics", "behavior")
_STASHED_STATUS = {"conditions": "conditions", "currentMetrics": "current-metrics"}
_EVENT_FIELDS = {  # core -> events.k8s.io
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_EVENT_FIELDS_BACK = {there: here for here, there in _EVENT_FIELDS.items()}


def convert(obj: Object, api_version: str) -> Object:
    """`obj` in another version of its kind. Returns `obj` itself where the version is the same."""
    have = obj.get("apiVersion", "")
    if have == api_version:
        return obj
    function = _CONVERSIONS.get((obj.get("kind", ""), have, api_version))
    converted = function(obj) if function else dict(obj)
    converted["apiVersion"] = api_version
    return converted


def _event_to_events(obj: Object) -> Object:
    return {_EVENT_FIELDS.get(key, key): value for key, value in obj.items()}


def _event_to_core(obj: Object) -> Object:
    return {_EVENT_FIELDS_BACK.get(key, key): value for key, value in obj.items()}


def _autoscaler_to_v2(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics: list[Object] = []
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        metrics.append(_cpu_metric(target))
    current = status.pop("currentCPUUtilizationPercentage", None)
    stash = _unstash(obj)
    metrics += stash.pop("metrics", [])
    if metrics:
        spec["metrics"] = metrics
    if "behavior" in stash:
        spec["behavior"] = stash["behavior"]
    for field, name in _STASHED_STATUS.items():
        if name in stash:
            status[field] = stash[name]
    if current is not None:
        shown = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": current}}}
        status["currentMetrics"] = [shown, *status.get("currentMetrics", [])]
    return obj | {"metadata": _without_stash(obj), "spec": spec, "status": status}


def _autoscaler_to_v1(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metadata = _without_stash(obj)
    stash: Object = {}
    others = []
    for metric in spec.pop("metrics", None) or ():
        utilization = _cpu_utilization(metric)
        if utilization is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = utilization
        else:
            others.append(metric)
    if others:
        stash["metrics"] = others
    if "behavior" in spec:
        stash["behavior"] = spec.pop("behavior")
    rest = []
    for metric in status.pop("currentMetrics", None) or ():
        current = ((metric.get("resource") or {}).get("current") or {}).get("averageUtilization")
        if (
            metric.get("type") == "Resource"
            and metric["resource"].get("name") == "cpu"
            and current is not None
        ):
            status["currentCPUUtilizationPercentage"] = current
        else:
            rest.append(metric)
    if rest:
        stash["current-metrics"] = rest
    if "conditions" in status:
        stash["conditions"] = status.pop("conditions")
    if stash:
        kept = {f"{_ANNOTATION}{name}": orjson.dumps(value).decode() for name, value in stash.items()}
        metadata["annotations"] = {**metadata.get("annotations", {}), **kept}
    return obj | {"metadata": metadata, "spec": spec, "status": status}


def _cpu_metric(utilization: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _cpu_utilization(metric: Object) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    found: int | None = (resource.get("target") or {}).get("averageUtilization")
    return found


def _unstash(obj: Object) -> Object:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    stash: Object = {}
    for name in (*_STASHED_SPEC, *_STASHED_STATUS.values()):
        text = annotations.get(f"{_ANNOTATION}{name}")
        if text:
            try:
                stash[name] = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue  # a user's own annotation: it stays where it is in v1 and is dropped in v2
    return stash


def _without_stash(obj: Object) -> Object:
    metadata = dict(obj.get("metadata") or {})
    annotations = metadata.get("annotations")
    if annotations:
        stashed = {f"{_ANNOTATION}{name}" for name in (*_STASHED_SPEC, *_STASHED_STATUS.values())}
        kept = {key: value for key, value in annotations.items() if key not in stashed}
        if kept:
            metadata["annotations"] = kept
        else:
            del metadata["annotations"]
    return metadata


_CONVERSIONS: dict[tuple[str, str, str], Callable[[Object], Object]] = {
    ("Event", "v1", "events.k8s.io/v1"): _event_to_events,
    ("Event", "events.k8s.io/v1", "v1"): _event_to_core,
    ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2"): _autoscaler_to_v2,
    ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1"): _autoscaler_to_v1,
}

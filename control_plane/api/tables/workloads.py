"""What makes pods: deployments, sets, jobs, and the autoscaler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import meta
from control_plane.api.tables.layout import Cells, Object, table
from control_plane.api.tables.text import (
    NONE,
    UNKNOWN,
    UNSET,
    age,
    age_of,
    boolean,
    container_cells,
    human_duration,
    label_selector,
    labels,
    name_of,
)

_MAX_METRICS = 2


def _spec(obj: Object) -> Mapping[str, Any]:
    return obj.get("spec") or {}


def _status(obj: Object) -> Mapping[str, Any]:
    return obj.get("status") or {}


@table(
    "apps/v1",
    "deployments",
    "Name, Ready, Up-to-date:integer, Available:integer, Age | Containers, Images, Selector",
)
def deployment(obj: Object, now_s: float) -> Cells:
    spec, status = _spec(obj), _status(obj)
    return [
        name_of(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age_of(obj, now_s),
        *container_cells(spec.get("template")),
        label_selector(spec.get("selector")),
    ]


@table(
    "v1",
    "replicationcontrollers",
    "Name, Desired:integer, Current:integer, Ready:integer, Age | Containers, Images, Selector",
)
def replication_controller(obj: Object, now_s: float) -> Cells:
    return [
        *_replicas(obj, now_s),
        *container_cells(_spec(obj).get("template")),
        labels(_spec(obj).get("selector")),
    ]


@table(
    "apps/v1",
    "replicasets",
    "Name, Desired:integer, Current:integer, Ready:integer, Age | Containers, Images, Selector",
)
def replica_set(obj: Object, now_s: float) -> Cells:
    spec = _spec(obj)
    return [
        *_replicas(obj, now_s),
        *container_cells(spec.get("template")),
        label_selector(spec.get("selector")),
    ]


def _replicas(obj: Object, now_s: float) -> Cells:
    status = _status(obj)
    return [
        name_of(obj),
        _spec(obj).get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age_of(obj, now_s),
    ]


@table("apps/v1", "statefulsets", "Name, Ready, Age | Containers, Images")
def stateful_set(obj: Object, now_s: float) -> Cells:
    ready = f"{_status(obj).get('readyReplicas', 0)}/{_spec(obj).get('replicas', 0)}"
    return [name_of(obj), ready, age_of(obj, now_s), *container_cells(_spec(obj).get("template"))]


@table(
    "apps/v1",
    "daemonsets",
    "Name, Desired:integer, Current:integer, Ready:integer, Up-to-date:integer, Available:integer, Node Selector, Age"
    "| Containers, Images, Selector",
)
def daemon_set(obj: Object, now_s: float) -> Cells:
    spec, status = _spec(obj), _status(obj)
    template = spec.get("template") or {}
    return [
        name_of(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        labels((template.get("spec") or {}).get("nodeSelector")),
        age_of(obj, now_s),
        *container_cells(template),
        label_selector(spec.get("selector")),
    ]


@table("batch/v1", "jobs", "Name, Status, Completions, Duration, Age | Containers, Images, Selector")
def job(obj: Object, now_s: float) -> Cells:
    spec = _spec(obj)
    return [
        name_of(obj),
        job_status(obj),
        _completions(obj),
        _duration(_status(obj), now_s),
        age_of(obj, now_s),
        *container_cells(spec.get("template")),
        label_selector(spec.get("selector")),
    ]


def job_status(obj: Object) -> str:
    for type_ in ("Complete", "Failed"):
        if meta.condition_is_true(obj, type_):
            return type_
    if meta.is_deleting(obj):
        return "Terminating"
    for type_ in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if meta.condition_is_true(obj, type_):
            return type_
    return "Running"


def _completions(obj: Object) -> str:
    succeeded, spec = _status(obj).get("succeeded", 0), _spec(obj)
    if "completions" in spec:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(status: Mapping[str, Any], now_s: float) -> str:
    started_s = meta.parse_time(status.get("startTime"))
    if started_s is None:
        return ""
    ended_s = meta.parse_time(status.get("completionTime"))
    return human_duration((now_s if ended_s is None else ended_s) - started_s)


@table(
    "batch/v1",
    "cronjobs",
    "Name, Schedule, Timezone, Suspend:boolean, Active:integer, Last Schedule, Age | Containers, Images, Selector",
)
def cron_job(obj: Object, now_s: float) -> Cells:
    spec, status = _spec(obj), _status(obj)
    last = status.get("lastScheduleTime")
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    return [
        name_of(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        boolean(spec["suspend"]).capitalize() if "suspend" in spec else UNSET,
        len(status.get("active") or ()),
        age(last, now_s) if last else NONE,
        age_of(obj, now_s),
        *container_cells(job_spec.get("template")),
        label_selector(job_spec.get("selector")),
    ]


@table("apps/v1", "controllerrevisions", "Name, Controller, Revision, Age")
def controller_revision(obj: Object, now_s: float) -> Cells:
    controller, shown = meta.controller_of(obj), NONE
    if controller:
        group = meta.group_version(controller.get("apiVersion", ""))[0]
        kind = controller.get("kind", "").lower()
        shown = f"{kind}.{group}/{controller.get('name')}" if group else f"{kind}/{controller.get('name')}"
    return [name_of(obj), shown, obj.get("revision", 0), age_of(obj, now_s)]


@table(
    "autoscaling/v2", "horizontalpodautoscalers", "Name, Reference, Targets, MinPods, MaxPods, Replicas, Age"
)
def autoscaler(obj: Object, now_s: float) -> Cells:
    if obj.get("apiVersion") == "autoscaling/v1":
        from control_plane.api.conversion import convert

        obj = convert(dict(obj), "autoscaling/v2")
    spec, status = _spec(obj), _status(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        name_of(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec.get("metrics") or [], status.get("currentMetrics") or []),
        str(spec["minReplicas"]) if "minReplicas" in spec else UNSET,
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age_of(obj, now_s),
    ]


def _metrics(specs: list[dict[str, Any]], statuses: list[dict[str, Any]]) -> str:
    if not specs:
        return NONE
    shown = [_metric(s, statuses[i] if i < len(statuses) else {}) for i, s in enumerate(specs)]
    text = ", ".join(shown[:_MAX_METRICS])
    return f"{text} + {len(shown) - _MAX_METRICS} more..." if len(shown) > _MAX_METRICS else text


def _metric(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    key = {
        "External": "external",
        "Pods": "pods",
        "Object": "object",
        "Resource": "resource",
        "ContainerResource": "containerResource",
    }.get(spec.get("type", ""))
    if key is None:
        return "<unknown type>"
    source, current = spec.get(key) or {}, (status.get(key) or {}).get("current") or {}
    target = source.get("target") or {}
    if key in ("resource", "containerResource"):
        return f"{source.get('name', '')}: {_utilization(current, target)}"
    if key == "pods":
        return f"{current.get('averageValue', UNKNOWN)}/{target.get('averageValue', UNKNOWN)}"
    if "averageValue" in target:
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']} (avg)"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', UNKNOWN)}"


def _utilization(current: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    if "averageValue" in target:
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']}"
    now = f"{current['averageUtilization']}%" if "averageUtilization" in current else UNKNOWN
    wanted = f"{target['averageUtilization']}%" if "averageUtilization" in target else "<auto>"
    return f"{now}/{wanted}"

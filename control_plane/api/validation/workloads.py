"""Deployments, sets, jobs and the autoscaler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names, selectors
from control_plane.api.validation import metadata
from control_plane.api.validation.pod import pod_template
from control_plane.api.validation.registry import (
    Errors,
    Object,
    immutable,
    not_negative,
    on_create,
    on_update,
    one_of,
    problems,
    spec_of,
)

_MAX_CRON_NAME = 52
_MAX_INDEXED = 100_000
_CONCURRENCY = ("Allow", "Forbid", "Replace")
_STATEFUL_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFUL_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def _selector_and_template(kind: str, spec: Mapping[str, Any], always: bool = True) -> Errors:
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is None:
        yield errors.required("spec.selector")
        yield errors.invalid_value(
            "spec.template.metadata.labels", labels or None, "`selector` does not match template `labels`"
        )
    else:
        yield from metadata.label_selector("spec.selector", selector)
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield errors.invalid_value("spec.selector", selector, f"empty selector is invalid for {kind}")
        elif not _matches(selector, labels):
            yield errors.invalid_value(
                "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
            )
    yield from pod_template("spec.template", template)
    pod = template.get("spec") or {}
    if always and pod.get("restartPolicy") not in (None, "", "Always"):
        yield errors.not_supported("spec.template.spec.restartPolicy", pod["restartPolicy"], ("Always",))
    if always and pod.get("activeDeadlineSeconds") is not None:
        shown = {
            "deployment": "ReplicaSet",
            "replicaset": "ReplicaSet",
            "daemonset": "DaemonSet",
            "statefulset": "StatefulSet",
        }
        yield errors.forbidden_field(
            "spec.template.spec.activeDeadlineSeconds",
            f"activeDeadlineSeconds in {shown.get(kind, 'ReplicationController')} is not Supported",
        )


def _matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    try:
        return selectors.from_label_selector(selector).matches(labels)
    except selectors.SelectorError:
        return True  # reported already, as an invalid operator


def _numbers(spec: Mapping[str, Any], *keys: str) -> Errors:
    for key in keys:
        yield from not_negative(f"spec.{key}", spec.get(key))


def int_or_percent(path: str, value: int | str | None) -> Errors:
    if isinstance(value, str):
        yield from problems(path, value, names.percent(value))
    else:
        yield from not_negative(path, value)


def _is_zero(value: int | str | None) -> bool:
    return value in (None, 0, "0%")


@on_create("deployments.apps")
def deployment(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from _numbers(spec, "replicas")
    yield from _selector_and_template("deployment", spec)
    yield from _strategy(spec.get("strategy") or {})
    yield from _numbers(spec, "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline_s = spec.get("progressDeadlineSeconds")
    if deadline_s is not None and deadline_s <= spec.get("minReadySeconds", 0):
        yield errors.invalid_value(
            "spec.progressDeadlineSeconds", deadline_s, "must be greater than minReadySeconds"
        )


def _strategy(strategy: Mapping[str, Any]) -> Errors:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            yield errors.forbidden_field(
                "spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"
            )
    elif kind == "RollingUpdate":
        yield from _rolling("spec.strategy.rollingUpdate", rolling)
    else:
        yield errors.not_supported("spec.strategy", dict(strategy), ("Recreate", "RollingUpdate"))


def _rolling(path: str, rolling: Mapping[str, Any] | None) -> Errors:
    if rolling is None:
        yield errors.required(path, "this should be defaulted and never be nil")
        return
    surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    yield from int_or_percent(f"{path}.maxUnavailable", unavailable)
    yield from int_or_percent(f"{path}.maxSurge", surge)
    if _is_zero(surge) and _is_zero(unavailable):
        yield errors.invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    if (
        isinstance(unavailable, str)
        and unavailable.endswith("%")
        and unavailable[:-1].isdigit()
        and int(unavailable[:-1]) > 100
    ):
        yield errors.invalid_value(f"{path}.maxUnavailable", unavailable, "must not be greater than 100%")


@on_update("deployments.apps", "replicasets.apps", "daemonsets.apps")
def keep_selector(new: Object, old: Object) -> Errors:
    yield from immutable("spec.selector", spec_of(new).get("selector"), spec_of(old).get("selector"))


@on_create("replicasets.apps")
def replica_set(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from _numbers(spec, "replicas", "minReadySeconds")
    yield from _selector_and_template("replicaset", spec)


@on_create("replicationcontrollers")
def replication_controller(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from _numbers(spec, "minReadySeconds")
    selector, template = spec.get("selector") or {}, spec.get("template")
    yield from metadata.labels("spec.selector", selector)
    if not selector:
        yield errors.required("spec.selector")
    yield from _numbers(spec, "replicas")
    if template is None:
        yield errors.required("spec.template")
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and not selectors.from_set(selector).matches(labels):
        yield errors.invalid_value(
            "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
        )
    yield from pod_template("spec.template", template)


@on_create("daemonsets.apps")
def daemon_set(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from _selector_and_template("daemonset", spec)
    yield from _numbers(spec, "minReadySeconds", "revisionHistoryLimit")
    strategy = spec.get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == "RollingUpdate":
        yield from int_or_percent(
            "spec.updateStrategy.rollingUpdate.maxUnavailable", rolling.get("maxUnavailable")
        )
        yield from int_or_percent("spec.updateStrategy.rollingUpdate.maxSurge", rolling.get("maxSurge"))
        both = not _is_zero(rolling.get("maxUnavailable")) and not _is_zero(rolling.get("maxSurge"))
        if both:
            yield errors.invalid_value(
                "spec.updateStrategy.rollingUpdate.maxSurge",
                rolling["maxSurge"],
                "may not be set when maxUnavailable is non-zero",
            )
        if _is_zero(rolling.get("maxUnavailable")) and _is_zero(rolling.get("maxSurge")):
            yield errors.required(
                "spec.updateStrategy.rollingUpdate.maxUnavailable", "cannot be 0 when maxSurge is 0"
            )
    elif strategy.get("type") != "OnDelete":
        yield errors.not_supported(
            "spec.updateStrategy.type", strategy.get("type", ""), ("OnDelete", "RollingUpdate")
        )


@on_create("statefulsets.apps")
def stateful_set(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from one_of(
        "spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel")
    )
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        if strategy.get("rollingUpdate") is not None:
            yield errors.invalid_value(
                "spec.updateStrategy.rollingUpdate",
                strategy["rollingUpdate"],
                "only allowed for updateStrategy 'RollingUpdate'",
            )
    else:
        yield from one_of("spec.updateStrategy", strategy.get("type"), ("OnDelete", "RollingUpdate"))
        rolling = strategy.get("rollingUpdate") or {}
        yield from not_negative("spec.updateStrategy.rollingUpdate.partition", rolling.get("partition"))
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for key in ("whenDeleted", "whenScaled"):
        if key in retention:
            yield from one_of(
                f"spec.persistentVolumeClaimRetentionPolicy.{key}", retention[key], ("Delete", "Retain")
            )
    yield from _numbers(spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
    yield from _selector_and_template("statefulset", spec)


@on_update("statefulsets.apps")
def stateful_set_update(new: Object, old: Object) -> Errors:
    now = {k: v for k, v in spec_of(new).items() if k not in _STATEFUL_MUTABLE}
    then = {k: v for k, v in spec_of(old).items() if k not in _STATEFUL_MUTABLE}
    if now != then:
        yield errors.forbidden_field("spec", _STATEFUL_FORBIDDEN)


@on_create("jobs.batch")
def job(obj: Object) -> Errors:
    yield from _job_spec("spec", spec_of(obj), needs_selector=True)


def _job_spec(path: str, spec: Mapping[str, Any], needs_selector: bool) -> Errors:
    for key in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        yield from not_negative(f"{path}.{key}", spec.get(key))
    mode = spec.get("completionMode")
    if mode:
        yield from one_of(f"{path}.completionMode", mode, ("Indexed", "NonIndexed"))
    if mode == "Indexed":
        if spec.get("completions") is None:
            yield errors.required(f"{path}.completions", "when completion mode is Indexed")
        if spec.get("parallelism", 0) > _MAX_INDEXED:
            yield errors.invalid_value(
                f"{path}.parallelism",
                spec["parallelism"],
                "must be less than or equal to 100000 when completion mode is Indexed",
            )
    template = spec.get("template") or {}
    selector = spec.get("selector")
    if needs_selector:
        labels = (template.get("metadata") or {}).get("labels") or {}
        if selector is None:
            yield errors.required(f"{path}.selector")
        else:
            yield from metadata.label_selector(f"{path}.selector", selector)
            if not _matches(selector, labels):
                yield errors.invalid_value(
                    f"{path}.template.metadata.labels", labels, "`selector` does not match template `labels`"
                )
    yield from pod_template(f"{path}.template", template)
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        yield errors.required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield errors.not_supported(
            f"{path}.template.spec.restartPolicy", policy or "", ("OnFailure", "Never")
        )


@on_update("jobs.batch")
def job_update(new: Object, old: Object) -> Errors:
    spec, before = spec_of(new), spec_of(old)
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    if not elastic:
        yield from immutable("spec.completions", spec.get("completions"), before.get("completions"))
    yield from immutable("spec.selector", spec.get("selector"), before.get("selector"))
    if not (before.get("suspend") and not (old.get("status") or {}).get("startTime")):
        yield from immutable("spec.template", spec.get("template"), before.get("template"))
    for key in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        yield from immutable(f"spec.{key}", spec.get(key), before.get(key))


@on_create("cronjobs.batch")
def cron_job(obj: Object) -> Errors:
    spec = spec_of(obj)
    name = (obj.get("metadata") or {}).get("name", "")
    if len(name) > _MAX_CRON_NAME:
        yield errors.invalid_value("metadata.name", name, "must be no more than 52 characters")
    yield from _schedule(spec)
    yield from not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    yield from one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), _CONCURRENCY)
    yield from _numbers(spec, "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    yield from _job_spec("spec.jobTemplate.spec", job_spec, needs_selector=False)
    if job_spec.get("manualSelector"):
        yield errors.not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false"))


def _schedule(spec: Mapping[str, Any]) -> Errors:
    schedule = spec.get("schedule", "")
    if not schedule:
        yield errors.required("spec.schedule")
        return
    if "TZ" in schedule:
        yield errors.invalid_value(
            "spec.schedule", schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        )
    elif problem := _cron_problem(schedule):
        yield errors.invalid_value("spec.schedule", schedule, problem)
    zone = spec.get("timeZone")
    if zone == "":
        yield errors.invalid_value("spec.timeZone", zone, "timeZone must be nil or non-empty string")
    elif zone is not None and not _zone_exists(zone):
        yield errors.invalid_value("spec.timeZone", zone, f"unknown time zone {zone}")


_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_CRON_NAMES = {
    3: ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    4: ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_CRON_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def _cron_problem(schedule: str) -> str:
    if schedule.startswith("@"):
        known = schedule in _CRON_MACROS or schedule.startswith("@every ")
        return "" if known else f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != len(_CRON_RANGES):
        return f"expected exactly 5 fields, found {len(fields)}: {list_text(fields)}"
    for index, text in enumerate(fields):
        for part in text.split(","):
            if problem := _cron_part_problem(index, part):
                return problem
    return ""


def list_text(fields: list[str]) -> str:
    return "[" + " ".join(fields) + "]"


def _cron_part_problem(index: int, part: str) -> str:
    low, high = _CRON_RANGES[index]
    span, slash, step = part.partition("/")
    if slash and (not step.isdigit() or int(step) == 0):
        return (
            f"step of range should be a positive number: {part}"
            if step == "0"
            else f"failed to parse int from {step}: strconv.Atoi: parsing {errors.quote(step)}: invalid syntax"
        )
    if span in ("*", "?"):
        return ""
    first, dash, last = span.partition("-")
    bounds = []
    for end in (first, last) if dash else (first,):
        named = _CRON_NAMES.get(index, ())
        if end.lower() in named:
            bounds.append(named.index(end.lower()) + (1 if index == 3 else 0))
        elif end.isdigit():
            bounds.append(int(end))
        else:
            return (
                f"failed to parse int from {end}: strconv.Atoi: parsing {errors.quote(end)}: invalid syntax"
            )
    if bounds[0] < low:
        return f"beginning of range ({bounds[0]}) below minimum ({low}): {part}"
    if bounds[-1] > high:
        return f"end of range ({bounds[-1]}) above maximum ({high}): {part}"
    if bounds[0] > bounds[-1]:
        return f"beginning of range ({bounds[0]}) beyond end of range ({bounds[-1]}): {part}"
    return ""


def _zone_exists(zone: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(zone)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    except KeyError:
        return False
    return zone != "Local"


@on_create("horizontalpodautoscalers.autoscaling")
def autoscaler(obj: Object) -> Errors:
    spec = spec_of(obj)
    minimum, maximum = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if minimum is not None and minimum < 1:
        yield errors.invalid_value("spec.minReplicas", minimum, "must be greater than or equal to 1")
    if maximum < 1:
        yield errors.invalid_value("spec.maxReplicas", maximum, "must be greater than 0")
    if minimum is not None and maximum < minimum:
        yield errors.invalid_value(
            "spec.maxReplicas", maximum, "must be greater than or equal to `minReplicas`"
        )
    target = spec.get("scaleTargetRef") or {}
    for key in ("kind", "name"):
        if not target.get(key):
            yield errors.required(f"spec.scaleTargetRef.{key}")
        else:
            yield from problems(f"spec.scaleTargetRef.{key}", target[key], names.path_segment(target[key]))

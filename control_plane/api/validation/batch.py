"""Jobs and cron jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors
from control_plane.api.validation import cron, metadata
from control_plane.api.validation.job_policies import job_policies
from control_plane.api.validation.pod import pod_template
from control_plane.api.validation.registry import (
    Errors,
    Object,
    immutable,
    not_negative,
    on_create,
    on_update,
    one_of,
    spec_of,
)
from control_plane.api.validation.workloads import matches, numbers

_MAX_CRON_NAME = 52


_MAX_INDEXED = 100_000


_CONCURRENCY = ("Allow", "Forbid", "Replace")


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
        yield from one_of(f"{path}.completionMode", mode, ("NonIndexed", "Indexed"))
    if mode == "Indexed":
        if spec.get("completions") is None:
            yield errors.required(f"{path}.completions", "when completion mode is Indexed")
        if spec.get("parallelism", 0) > _MAX_INDEXED:
            yield errors.invalid_value(
                f"{path}.parallelism",
                spec["parallelism"],
                "must be less than or equal to 100000 when completion mode is Indexed",
            )
    yield from job_policies(path, spec)
    template = spec.get("template") or {}
    selector = spec.get("selector")
    if needs_selector:
        labels = (template.get("metadata") or {}).get("labels") or {}
        if selector is None:
            yield errors.required(f"{path}.selector")
        else:
            yield from metadata.label_selector(f"{path}.selector", selector)
            if not matches(selector, labels):
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
    had = before.get("template") or {}
    if before.get("suspend") and not (old.get("status") or {}).get("startTime"):
        had = _steered(had, spec.get("template") or {})
    yield from immutable("spec.template", spec.get("template"), had)
    for key in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        yield from immutable(f"spec.{key}", spec.get(key), before.get(key))


_SPEC_STEERING = ("nodeSelector", "tolerations", "schedulingGates")
_METADATA_STEERING = ("labels", "annotations")


def _steered(template: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The template with what may change while the job has not begun: where its pods go and what they may use."""
    spec, wanted = dict(template.get("spec") or {}), new.get("spec") or {}
    _take(spec, wanted, _SPEC_STEERING)
    affinity, other = dict(spec.get("affinity") or {}), wanted.get("affinity") or {}
    _take(affinity, other, ("nodeAffinity",))
    _take(spec, {"affinity": affinity} if affinity or "affinity" in wanted else {}, ("affinity",))
    for key in ("containers", "initContainers"):
        if key in spec:
            spec[key] = [dict(container) for container in spec[key]]
            for container, asked in zip(spec[key], wanted.get(key) or (), strict=False):
                _take(container, asked, ("resources",))
    meta = dict(template.get("metadata") or {})
    _take(meta, new.get("metadata") or {}, _METADATA_STEERING)
    return {**template, "metadata": meta, "spec": spec}


def _take(into: dict[str, Any], source: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if key in source:
            into[key] = source[key]
        else:
            into.pop(key, None)


@on_create("cronjobs.batch")
def cron_job(obj: Object) -> Errors:
    spec = spec_of(obj)
    name = (obj.get("metadata") or {}).get("name", "")
    if len(name) > _MAX_CRON_NAME:
        yield errors.invalid_value("metadata.name", name, "must be no more than 52 characters")
    yield from _schedule(spec)
    yield from not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    yield from one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), _CONCURRENCY)
    yield from numbers(spec, "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
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
    elif problem := cron.schedule_problem(schedule):
        yield errors.invalid_value("spec.schedule", schedule, problem)
    zone = spec.get("timeZone")
    if zone == "":
        yield errors.invalid_value("spec.timeZone", zone, "timeZone must be nil or non-empty string")
    elif zone is not None and zone.lower() == "local":
        why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield errors.invalid_value("spec.timeZone", zone, why)
    elif zone is not None and not cron.zone_exists(zone):
        yield errors.invalid_value("spec.timeZone", zone, f"unknown time zone {zone}")

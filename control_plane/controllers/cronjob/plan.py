"""Which run of a cron job is due, and what becomes of its jobs.

The run of a moment has a name that follows from that moment, so that it cannot be made twice. Runs that were missed
(the loop was down, the job suspended) are not made up for: only the latest is started, if its deadline allows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.cronjob.schedule import Schedule

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MANY_MISSED = 100
LATE_S = 0.1  # look a little after the moment rather than a little before


@dataclass(frozen=True, slots=True)
class Due:
    at: float | None  # the latest moment that has passed and was not run
    many_missed: bool = False


@dataclass(slots=True)
class Active:
    """The status's list of running jobs, brought up to date, and what is to be told of it."""

    references: list[Object]
    last_successful: str | None
    unexpected: list[str] = field(default_factory=list)
    completed: list[tuple[str, str]] = field(default_factory=list)  # name, condition
    unseen: list[Object] = field(default_factory=list)  # references whose job the informer does not show


def finished(job: Object) -> str:
    """`Complete`, `Failed`, or "" while it runs."""
    return next((each for each in ("Complete", "Failed") if meta.condition_is_true(job, each)), "")


def active(cron_job: Object, jobs: Sequence[Object]) -> Active:
    status = cron_job.get("status") or {}
    listed = {each.get("uid"): each for each in status.get("active") or ()}
    found = Active(list(listed.values()), status.get("lastSuccessfulTime"))
    for job in jobs:
        uid, outcome = meta.uid_of(job), finished(job)
        if uid not in listed and not outcome:
            found.unexpected.append(meta.name_of(job))
        elif uid in listed and outcome:
            del listed[uid]
            found.completed.append((meta.name_of(job), outcome))
        if outcome == "Complete":
            ended = meta.nested(job, "status", "completionTime") or ""
            found.last_successful = max(found.last_successful or "", ended) or None
    known = {meta.uid_of(job) for job in jobs}
    found.references = list(listed.values())
    found.unseen = [each for uid, each in listed.items() if uid not in known]
    return found


def due(cron_job: Object, schedule: Schedule, now: float) -> Due:
    """As `mostRecentScheduleTime` of kube-controller-manager, without walking through every missed moment."""
    earliest = _earliest(cron_job, now)
    first = schedule.next(earliest)
    if first is None or first > now:
        return Due(None)
    second = schedule.next(first)
    if second is None or second > now:
        return Due(first)
    interval_s = max(round(second - first), 1)
    missed = int(now - first) // interval_s + 1
    return Due(_latest(schedule, first, interval_s, missed, now), missed > MANY_MISSED)


def _latest(schedule: Schedule, first: float, interval_s: int, missed: int, now: float) -> float:
    """Search back from now in doubling strides of the first interval, then walk: an irregular schedule may not
    have fired for a while."""
    back, latest = 1, first
    while True:
        start = first + max(missed - 1 - back, 0) * interval_s
        moment = schedule.next(start)
        if start == first or (moment is not None and moment <= now):
            break
        back *= 2
    while moment is not None and moment <= now:
        latest, moment = moment, schedule.next(moment)
    return latest


def _earliest(cron_job: Object, now: float) -> float:
    last = meta.nested(cron_job, "status", "lastScheduleTime")
    since = meta.parse_time(last or meta.metadata(cron_job).get("creationTimestamp")) or now
    deadline_s = cron_job["spec"].get("startingDeadlineSeconds")
    return since if deadline_s is None else max(since, now - float(deadline_s))


def next_in_s(cron_job: Object, schedule: Schedule, now: float) -> float | None:
    following = schedule.next(now)
    return None if following is None else following - now + LATE_S


def is_too_late(cron_job: Object, at: float, now: float) -> bool:
    deadline_s = cron_job["spec"].get("startingDeadlineSeconds")
    return deadline_s is not None and at + float(deadline_s) < now


def was_started(cron_job: Object, references: Iterable[Object], at: float) -> bool:
    last = meta.parse_time(meta.nested(cron_job, "status", "lastScheduleTime"))
    return last == at or any(each.get("name") == job_name(cron_job, at) for each in references)


def job_name(cron_job: Object, at: float) -> str:
    return f"{meta.name_of(cron_job)}-{int(at) // 60}"


def make_job(cron_job: Object, at: float, zone: tzinfo = UTC) -> Object:
    template = cron_job["spec"]["jobTemplate"]
    stamp = datetime.fromtimestamp(at, zone).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cron_job, at),
            "namespace": meta.namespace_of(cron_job),
            "labels": dict(meta.labels(template)),
            "annotations": {**meta.annotations(template), SCHEDULED_AT: stamp},
            "ownerReferences": [meta.controller_reference(cron_job)],
        },
        "spec": copy.deepcopy(template.get("spec") or {}),
    }


def reference(job: Object) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta.name_of(job),
        "namespace": meta.namespace_of(job),
        "uid": meta.uid_of(job),
        "resourceVersion": meta.resource_version_of(job),
    }


def history_to_delete(cron_job: Object, jobs: Iterable[Object]) -> list[Object]:
    """The oldest finished jobs beyond the limits."""
    spec = cron_job["spec"]
    surplus: list[Object] = []
    ended = [(finished(job), job) for job in jobs if not meta.is_deleting(job)]
    for outcome, limit in (
        ("Complete", spec.get("successfulJobsHistoryLimit")),
        ("Failed", spec.get("failedJobsHistoryLimit")),
    ):
        if limit is not None:
            kept = sorted((job for each, job in ended if each == outcome), key=_age)
            surplus += kept[: max(len(kept) - int(limit), 0)]
    return surplus


def _age(job: Object) -> tuple[str, str]:
    return meta.nested(job, "status", "startTime", default=""), meta.name_of(job)


def status(found: Active, last_schedule: str | None) -> dict[str, Any]:
    made = {
        "active": found.references,
        "lastScheduleTime": last_schedule,
        "lastSuccessfulTime": found.last_successful,
    }
    return {name: value for name, value in made.items() if value}

"""What a job needs next.

Counting without loss: a pod carries a finalizer, so it cannot vanish before it is counted. A finished pod's uid is
first written into `status.uncountedTerminatedPods`, then its finalizer goes, and only when that is seen the uid
becomes a number in `status.succeeded` or `.failed`. A crash between any two steps loses and doubles nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import pods
from control_plane.controllers.job import indexes

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
UNCOUNTED_LIMIT = 500
FAILURE_BACKOFF_S = 10.0
FAILURE_BACKOFF_LIMIT_S = 600.0


@dataclass(slots=True)
class Counted:
    """The job's status with this round's pods in it."""

    succeeded: int
    failed: int
    completed: set[int]
    uncounted: dict[str, list[str]]
    release: list[Object] = field(default_factory=list)  # pods whose finalizer may go once this is written


@dataclass(slots=True)
class Plan:
    create: list[int | None] = field(default_factory=list)  # completion indexes; None for a job without
    delete: list[Object] = field(default_factory=list)
    wait_s: float | None = None
    over: Object | None = None  # the condition that ends the job


def completions(job: Object) -> int | None:
    """None: any success is enough, once all pods have ended."""
    value = job["spec"].get("completions")
    return None if value is None else int(value)


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def index_of(pod: Object) -> int | None:
    text = meta.annotations(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def is_over(job: Object) -> bool:
    return meta.condition_is_true(job, "Complete") or meta.condition_is_true(job, "Failed")


def has_failed(pod: Object) -> bool:
    """A pod that is being deleted will not succeed any more."""
    phase = meta.nested(pod, "status", "phase")
    return bool(phase == "Failed" or (meta.is_deleting(pod) and phase != "Succeeded"))


def has_succeeded(pod: Object) -> bool:
    return bool(meta.nested(pod, "status", "phase") == "Succeeded")


def count(job: Object, owned: Sequence[Object]) -> Counted:
    """Bring the numbers up to date with the pods."""
    status = job.get("status") or {}
    old = status.get("uncountedTerminatedPods") or {}
    held = {meta.uid_of(pod) for pod in owned if FINALIZER in meta.finalizers(pod)}
    counted = Counted(
        succeeded=int(status.get("succeeded", 0)),
        failed=int(status.get("failed", 0)),
        completed=indexes.parse(status.get("completedIndexes", ""), completions(job) or 0),
        uncounted={"succeeded": [], "failed": []},
    )
    for outcome in ("succeeded", "failed"):
        waiting = [uid for uid in old.get(outcome) or () if uid in held]
        settled = len(old.get(outcome) or ()) - len(waiting)
        counted.uncounted[outcome] = waiting
        if outcome == "failed":
            counted.failed += settled
        elif not is_indexed(job):
            counted.succeeded += settled
    _add_finished(job, owned, counted)
    return counted


def _add_finished(job: Object, owned: Sequence[Object], counted: Counted) -> None:
    known = {*counted.uncounted["succeeded"], *counted.uncounted["failed"]}
    for pod in owned:
        if FINALIZER not in meta.finalizers(pod):
            continue
        uid, fresh = meta.uid_of(pod), meta.uid_of(pod) not in known
        if len(known) >= UNCOUNTED_LIMIT and fresh:
            break
        if has_succeeded(pod):
            index = index_of(pod)
            if is_indexed(job) and index is not None:
                counted.completed.add(index)  # the index itself is the proof: no uid is kept
            elif fresh:
                counted.uncounted["succeeded"].append(uid)
                known.add(uid)
        elif has_failed(pod):
            if fresh:
                counted.uncounted["failed"].append(uid)
                known.add(uid)
        else:
            continue
        counted.release.append(pod)
    if is_indexed(job):
        counted.succeeded = len(counted.completed)


def total(counted: Counted, outcome: str) -> int:
    return int(getattr(counted, outcome)) + len(counted.uncounted[outcome])


def plan(
    job: Object, owned: Sequence[Object], counted: Counted, last_failure: float | None, now: float
) -> Plan:
    active = [pod for pod in owned if pods.is_active(pod)]
    failure = failure_condition(job, active, counted, now)
    if failure is not None:
        return Plan(delete=active, over=failure)
    if is_complete(job, active, counted):
        return Plan(delete=active, over=condition("Complete", "CompletionsReached", _REACHED, now))
    if job["spec"].get("suspend"):
        return Plan(delete=active)
    return _keep_going(job, owned, active, counted, last_failure, now)


_REACHED = "Reached expected number of succeeded pods"


def is_complete(job: Object, active: Sequence[Object], counted: Counted) -> bool:
    wanted, succeeded = completions(job), total(counted, "succeeded")
    if wanted is None:
        return succeeded > 0 and not active
    return succeeded >= wanted


def failure_condition(job: Object, active: Sequence[Object], counted: Counted, now: float) -> Object | None:
    limit = int(job["spec"].get("backoffLimit", 6))
    restarts = sum(pods.restarts(pod) for pod in active) if _restarts_in_place(job) else 0
    if total(counted, "failed") > limit or (
        restarts and restarts + total(counted, "failed") >= max(limit, 1)
    ):
        text = "Job has reached the specified backoff limit"
        return condition("Failed", "BackoffLimitExceeded", text, now)
    left_s = deadline_in_s(job, now)
    if left_s is not None and left_s <= 0:
        text = "Job was active longer than specified deadline"
        return condition("Failed", "DeadlineExceeded", text, now)
    return None


def _restarts_in_place(job: Object) -> bool:
    return bool(meta.nested(job, "spec", "template", "spec", "restartPolicy") == "OnFailure")


def deadline_in_s(job: Object, now: float) -> float | None:
    limit = job["spec"].get("activeDeadlineSeconds")
    started = meta.parse_time(meta.nested(job, "status", "startTime"))
    if limit is None or started is None or job["spec"].get("suspend"):
        return None
    return started + float(limit) - now


def _keep_going(
    job: Object,
    owned: Sequence[Object],
    active: Sequence[Object],
    counted: Counted,
    last_failure: float | None,
    now: float,
) -> Plan:
    parallelism = int(job["spec"].get("parallelism", 1))
    wanted, succeeded = completions(job), total(counted, "succeeded")
    if wanted is None:
        target = len(active) if succeeded else parallelism
    else:
        target = min(parallelism, wanted - succeeded)
    if is_indexed(job):
        duplicates = _duplicates(active, counted.completed)
        if duplicates:
            return Plan(delete=duplicates)
    if len(active) > target:
        return Plan(delete=pods.deletion_order(active, active, now)[: len(active) - target])
    missing = target - len(active)
    wait_s = _backoff_s(total(counted, "failed"), last_failure, now)
    if missing and wait_s > 0:
        return Plan(wait_s=wait_s)
    return Plan(create=_indexes_to_make(job, owned, counted, missing), wait_s=deadline_in_s(job, now))


def _duplicates(active: Sequence[Object], completed: set[int]) -> list[Object]:
    """Pods whose index is done, or has another pod already."""
    seen, found = set(completed), []
    for pod in sorted(active, key=lambda each: (not pods.is_ready(each), meta.name_of(each))):
        index = index_of(pod)
        if index in seen:
            found.append(pod)
        elif index is not None:
            seen.add(index)
    return found


def _indexes_to_make(
    job: Object, owned: Sequence[Object], counted: Counted, missing: int
) -> list[int | None]:
    if not is_indexed(job):
        return [None] * missing
    taken = {index for pod in owned if pods.is_active(pod) and (index := index_of(pod)) is not None}
    return list(indexes.first_free(taken | counted.completed, completions(job) or 0, missing))


def _backoff_s(failed: int, last_failure: float | None, now: float) -> float:
    if not failed or last_failure is None:
        return 0.0
    delay_s = min(FAILURE_BACKOFF_S * 2.0 ** min(failed - 1, 16), FAILURE_BACKOFF_LIMIT_S)
    return max(last_failure + delay_s - now, 0.0)


def last_failure(owned: Sequence[Object]) -> float | None:
    """When the latest of the failed pods ended."""
    times = [at for pod in owned if has_failed(pod) and (at := _ended(pod)) is not None]
    return max(times, default=None)


def _ended(pod: Object) -> float | None:
    statuses = meta.nested(pod, "status", "containerStatuses", default=())
    times = [meta.parse_time(meta.nested(each, "state", "terminated", "finishedAt")) for each in statuses]
    known = [each for each in times if each is not None]
    return max(known) if known else meta.parse_time(meta.metadata(pod).get("deletionTimestamp"))


def status(
    job: Object, owned: Sequence[Object], counted: Counted, over: Object | None, now: float
) -> dict[str, Any]:
    """The job's status; with `over`, that of a job that has ended."""
    old = job.get("status") or {}
    active = [pod for pod in owned if pods.is_active(pod)]
    conditions = list(old.get("conditions") or [])
    suspended = bool(job["spec"].get("suspend"))
    started = old.get("startTime") or (None if suspended else meta.rfc3339(now))
    _set_suspended(conditions, suspended, now)
    made: dict[str, Any] = {
        "active": len(active),
        "ready": sum(pods.is_ready(pod) for pod in active),
        "terminating": sum(meta.is_deleting(pod) and not pods.is_finished(pod) for pod in owned),
        "succeeded": counted.succeeded,
        "failed": counted.failed,
        "completedIndexes": indexes.form(counted.completed) if is_indexed(job) else "",
        "startTime": None if suspended else started,
        "uncountedTerminatedPods": {name: uids for name, uids in counted.uncounted.items() if uids},
        "conditions": conditions,
    }
    if over is not None:
        _end(made, job, over, now)
    kept = {name: value for name, value in made.items() if value or name in ("uncountedTerminatedPods",)}
    return {**kept, "ready": made["ready"], "terminating": made["terminating"]}


def _end(status: dict[str, Any], job: Object, over: Object, now: float) -> None:
    """The criterion is announced at once; the job itself is over when its last pod has gone and is counted."""
    announced = "SuccessCriteriaMet" if over["type"] == "Complete" else "FailureTarget"
    conditions = status["conditions"]
    if not any(each["type"] == announced for each in conditions):
        conditions.append({**over, "type": announced})
    if status["active"] or status["terminating"] or status["uncountedTerminatedPods"]:
        return
    conditions.append(over)
    if over["type"] == "Complete":
        status["completionTime"] = meta.rfc3339(now)


def _set_suspended(conditions: list[Object], suspended: bool, now: float) -> None:
    current = next((each for each in conditions if each["type"] == "Suspended"), None)
    if current is None and not suspended:
        return
    value = "True" if suspended else "False"
    if current is not None and current["status"] == value:
        return
    conditions[:] = [each for each in conditions if each["type"] != "Suspended"]
    reason, text = ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
    conditions.append({**condition("Suspended", reason, text, now), "status": value})


def announced(job: Object) -> Object | None:
    """The end that was announced in an earlier round."""
    for type_, final in (("SuccessCriteriaMet", "Complete"), ("FailureTarget", "Failed")):
        found = meta.condition(job, type_)
        if found is not None and found["status"] == "True":
            return {**found, "type": final}
    return None


def condition(type_: str, reason: str, message: str, now: float) -> Object:
    stamp = meta.rfc3339(now)
    return {
        "type": type_,
        "status": "True",
        "lastProbeTime": stamp,
        "lastTransitionTime": stamp,
        "reason": reason,
        "message": message,
    }

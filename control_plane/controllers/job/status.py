"""What a job says of itself: its numbers, its conditions, and how its end is announced before it comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import pods
from control_plane.controllers.job import indexes, per_index
from control_plane.controllers.job.counting import Counted, is_indexed


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
        "terminating": sum(pods.is_terminating(pod) for pod in owned),
        "succeeded": counted.succeeded,
        "failed": counted.failed,
        "completedIndexes": indexes.form(counted.completed) if is_indexed(job) else "",
        "failedIndexes": indexes.form(counted.failed_indexes),
        "startTime": None if suspended else started,
        "uncountedTerminatedPods": {name: uids for name, uids in counted.uncounted.items() if uids},
        "conditions": conditions,
    }
    if over is not None:
        _end(made, job, over, now)
    kept = {name: value for name, value in made.items() if value or name in ("uncountedTerminatedPods",)}
    if per_index.limit(job) is not None:
        kept["failedIndexes"] = made["failedIndexes"]
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

"""What a job needs next: which pods to make and delete, how long to wait, whether it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import pods
from control_plane.controllers.job import backoff, failure_policy, indexes, per_index, success_policy
from control_plane.controllers.job.counting import (
    Counted,
    completions,
    has_failed,
    is_indexed,
    replaces_only_failed,
    total,
)
from control_plane.controllers.job.per_index import index_of
from control_plane.controllers.job.status import condition


@dataclass(slots=True)
class Plan:
    create: list[int | None] = field(default_factory=list)  # completion indexes; None for a job without
    delete: list[Object] = field(default_factory=list)
    wait_s: float | None = None
    over: Object | None = None  # the condition that ends the job


def is_over(job: Object) -> bool:
    return meta.condition_is_true(job, "Complete") or meta.condition_is_true(job, "Failed")


def plan(job: Object, owned: Sequence[Object], counted: Counted, now: float) -> Plan:
    active = [pod for pod in owned if pods.is_active(pod)]
    failure = _failure(job, owned, active, counted)
    if failure is None and (left_s := deadline_in_s(job, now)) is not None and left_s <= 0:
        failure = "DeadlineExceeded", "Job was active longer than specified deadline"
    if failure is not None:
        return Plan(delete=active, over=condition("Failed", *failure, now))
    success = _success(job, active, counted)
    if success is not None:
        return Plan(delete=active, over=condition("Complete", *success, now))
    if _all_indexes_ended(job, counted):
        if active:
            return Plan(delete=active)
        return Plan(over=condition("Failed", "FailedIndexes", "Job has failed indexes", now))
    if job["spec"].get("suspend"):
        return Plan(delete=active)
    return _keep_going(job, owned, active, counted, now)


# ---- ends


def _failure(
    job: Object, owned: Sequence[Object], active: Sequence[Object], counted: Counted
) -> tuple[str, str] | None:
    """(reason, message)."""
    if why := failure_policy.fatal(job, owned):
        return "PodFailurePolicy", why
    limit = int(job["spec"].get("backoffLimit", 6))
    failed = total(counted, "failed")
    restarts = sum(_restarts(pod) for pod in owned) if _restarts_in_place(job) else 0
    if failed > limit or restarts >= max(limit, 1):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    most = job["spec"].get("maxFailedIndexes")
    if most is not None and len(counted.failed_indexes) > int(most):
        text = "Job has exceeded the specified maximal number of failed indexes"
        return "MaxFailedIndexesExceeded", text
    return None


def _restarts_in_place(job: Object) -> bool:
    return bool(meta.nested(job, "spec", "template", "spec", "restartPolicy") == "OnFailure")


def _restarts(pod: Object) -> int:
    """Of all its containers; once it has ended, it counts as a pod."""
    if pods.is_finished(pod):
        return 0
    lists = ("initContainerStatuses", "containerStatuses")
    statuses = [each for name in lists for each in meta.nested(pod, "status", name, default=())]
    return sum(int(each.get("restartCount") or 0) for each in statuses)


def _success(job: Object, active: Sequence[Object], counted: Counted) -> tuple[str, str] | None:
    wanted, succeeded = completions(job), total(counted, "succeeded")
    if is_indexed(job) and (why := success_policy.met(job, counted.completed, wanted or 0)):
        return "SuccessPolicy", why
    reached = succeeded > 0 and not active if wanted is None else succeeded >= wanted
    return ("CompletionsReached", "Reached expected number of succeeded pods") if reached else None


def _all_indexes_ended(job: Object, counted: Counted) -> bool:
    ended = len(counted.completed) + len(counted.failed_indexes)
    return bool(counted.failed_indexes) and ended >= (completions(job) or 0)


def deadline_in_s(job: Object, now: float) -> float | None:
    limit = job["spec"].get("activeDeadlineSeconds")
    started = meta.parse_time(meta.nested(job, "status", "startTime"))
    if limit is None or started is None or job["spec"].get("suspend"):
        return None
    return started + float(limit) - now


# ---- going on


def _keep_going(
    job: Object, owned: Sequence[Object], active: Sequence[Object], counted: Counted, now: float
) -> Plan:
    parallelism = int(job["spec"].get("parallelism", 1))
    wanted, succeeded = completions(job), total(counted, "succeeded")
    if wanted is None:
        target = min(len(active), parallelism) if succeeded else parallelism
    else:
        target = min(parallelism, wanted - succeeded - len(counted.failed_indexes))
    surplus = _surplus(job, active, counted, target, now)
    if surplus:
        return Plan(delete=surplus)
    missing = target - len(active)
    if replaces_only_failed(job):
        missing -= sum(pods.is_terminating(pod) for pod in owned)
    if missing <= 0:
        return Plan(wait_s=deadline_in_s(job, now))
    if is_indexed(job):
        return _make_indexes(job, owned, counted, missing, now)
    wait_s = backoff.of_job(job, owned, now)
    return Plan(wait_s=wait_s) if wait_s > 0 else Plan([None] * missing, wait_s=deadline_in_s(job, now))


def _surplus(
    job: Object, active: Sequence[Object], counted: Counted, target: int, now: float
) -> list[Object]:
    ended = counted.completed | counted.failed_indexes
    doubles = _duplicates(active, ended) if is_indexed(job) else []
    if doubles or len(active) <= target:
        return doubles
    if is_indexed(job):  # the highest indexes go first
        return sorted(active, key=lambda pod: -(index_of(pod) or 0))[: len(active) - target]
    return pods.deletion_order(active, active, now)[: len(active) - target]


def _duplicates(active: Sequence[Object], ended: set[int]) -> list[Object]:
    """Pods whose index is done, or has another pod already."""
    seen, found = set(ended), []
    for pod in sorted(active, key=lambda each: (not pods.is_ready(each), meta.name_of(each))):
        index = index_of(pod)
        if index in seen:
            found.append(pod)
        elif index is not None:
            seen.add(index)
    return found


def _make_indexes(job: Object, owned: Sequence[Object], counted: Counted, missing: int, now: float) -> Plan:
    busy = {index for pod in owned if (index := index_of(pod)) is not None and _occupies(job, pod)}
    taken = busy | counted.completed | counted.failed_indexes
    if per_index.limit(job) is None:
        wait_s = backoff.of_job(job, owned, now)
        if wait_s > 0:
            return Plan(wait_s=wait_s)
        free = indexes.first_free(taken, completions(job) or 0, missing)
        return Plan(list(free), wait_s=deadline_in_s(job, now))
    waits = _index_waits(job, owned, now)
    free = indexes.first_free(taken | set(waits), completions(job) or 0, missing)
    times = [*waits.values(), deadline_in_s(job, now)]
    return Plan(list(free), wait_s=min((each for each in times if each is not None), default=None))


def _occupies(job: Object, pod: Object) -> bool:
    """The index has this pod, or must wait until it is gone."""
    return pods.is_active(pod) or (replaces_only_failed(job) and not pods.is_finished(pod))


def _index_waits(job: Object, owned: Sequence[Object], now: float) -> dict[int, float]:
    """Seconds until each index that has failed lately may be tried again."""
    waits = {}
    for pod in owned:
        index = index_of(pod)
        if index is None or not has_failed(job, pod) or per_index.last_of(index, owned) is not pod:
            continue
        wait_s = backoff.wait_s(per_index.failures(pod) + 1, backoff.ended_at(pod), now)
        if wait_s > 0:
            waits[index] = wait_s
    return waits

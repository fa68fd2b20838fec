"""Counting without loss.

A pod carries a finalizer, so it cannot vanish before it is counted. A finished pod's uid is first written into
`status.uncountedTerminatedPods`, then its finalizer goes, and only when that is seen the uid becomes a number in
`status.succeeded` or `.failed`. A crash between any two steps loses and doubles nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.job import failure_policy, indexes, per_index
from control_plane.controllers.job.failure_policy import IGNORE

FINALIZER = "batch.kubernetes.io/job-tracking"
UNCOUNTED_LIMIT = 500


@dataclass(slots=True)
class Counted:
    """The job's status with this round's pods in it."""

    succeeded: int
    failed: int
    completed: set[int]
    uncounted: dict[str, list[str]]
    release: list[Object] = field(default_factory=list)  # pods whose finalizer may go once this is written
    failed_indexes: set[int] = field(default_factory=set)


def completions(job: Object) -> int | None:
    """None: any success is enough, once all pods have ended."""
    value = job["spec"].get("completions")
    return None if value is None else int(value)


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_ending(job: Object) -> bool:
    """Its end has been announced: nothing is replaced any more."""
    return meta.condition_is_true(job, "FailureTarget") or meta.condition_is_true(job, "SuccessCriteriaMet")


def replaces_only_failed(job: Object) -> bool:
    """A pod that is going is neither failed nor replaced before it is gone."""
    spec = job["spec"]
    return bool(spec.get("podReplacementPolicy") == "Failed" or spec.get("podFailurePolicy"))


def has_failed(job: Object, pod: Object) -> bool:
    phase = meta.nested(pod, "status", "phase")
    if phase == "Failed" or replaces_only_failed(job):
        return bool(phase == "Failed")
    return meta.is_deleting(pod) and phase != "Succeeded"


def has_succeeded(pod: Object) -> bool:
    return bool(meta.nested(pod, "status", "phase") == "Succeeded")


def total(counted: Counted, outcome: str) -> int:
    return int(getattr(counted, outcome)) + len(counted.uncounted[outcome])


def count(job: Object, owned: Sequence[Object]) -> Counted:
    """Bring the numbers up to date with the pods."""
    status = job.get("status") or {}
    old = status.get("uncountedTerminatedPods") or {}
    held = {meta.uid_of(pod) for pod in owned if FINALIZER in meta.finalizers(pod)}
    size = completions(job) or 0
    counted = Counted(
        succeeded=int(status.get("succeeded", 0)),
        failed=int(status.get("failed", 0)),
        completed=indexes.parse(status.get("completedIndexes", ""), size),
        uncounted={"succeeded": [], "failed": []},
        failed_indexes=indexes.parse(status.get("failedIndexes") or "", size),
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
        if len(known) >= UNCOUNTED_LIMIT and meta.uid_of(pod) not in known:
            break
        if has_succeeded(pod):
            _add_success(job, pod, counted, known)
        elif has_failed(job, pod):
            _add_failure(job, pod, counted, known)
        else:
            continue
        counted.release.append(pod)
    if is_indexed(job):
        counted.succeeded = len(counted.completed)
    counted.failed_indexes -= counted.completed
    if per_index.limit(job) is not None and not is_ending(job):
        kept = per_index.still_needed(job, owned, counted.completed | counted.failed_indexes)
        counted.release = [pod for pod in counted.release if meta.uid_of(pod) not in kept]


def _add_success(job: Object, pod: Object, counted: Counted, known: set[str]) -> None:
    uid, index = meta.uid_of(pod), per_index.index_of(pod)
    if is_indexed(job) and index is not None:
        counted.completed.add(index)  # the index itself is the proof: no uid is kept
    elif uid not in known:
        counted.uncounted["succeeded"].append(uid)
        known.add(uid)


def _add_failure(job: Object, pod: Object, counted: Counted, known: set[str]) -> None:
    uid, index = meta.uid_of(pod), per_index.index_of(pod)
    if index is not None and per_index.is_exhausted(job, pod):
        counted.failed_indexes.add(index)
    if uid not in known and failure_policy.action(job, pod) != IGNORE:
        counted.uncounted["failed"].append(uid)
        known.add(uid)

"""backoffLimitPerIndex: each index of a job has failures, and a limit of them, of its own.

How often an index has failed is written on its pods: a replacement carries the number of its predecessor and one
more. So the predecessor is kept, by its finalizer, until the replacement is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import pods
from control_plane.controllers.job import failure_policy
from control_plane.controllers.job.failure_policy import FAIL_INDEX, IGNORE

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


def limit(job: Object) -> int | None:
    value = job["spec"].get("backoffLimitPerIndex")
    return None if value is None else int(value)


def index_of(pod: Object) -> int | None:
    text = meta.annotations(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def _number(pod: Object, key: str) -> int:
    text = meta.annotations(pod).get(key, "0")
    return int(text) if text.isdigit() else 0


def is_exhausted(job: Object, pod: Object) -> bool:
    """This failed pod is the last of its index."""
    allowed = limit(job)
    if allowed is None:
        return False
    action = failure_policy.action(job, pod)
    return action == FAIL_INDEX or (action != IGNORE and _number(pod, FAILURES) >= allowed)


def last_of(index: int, owned: Iterable[Object]) -> Object | None:
    """Of the pods of an index the one that knows of most failures."""
    own = [pod for pod in owned if index_of(pod) == index]
    return max(own, key=lambda pod: (failures(pod), meta.name_of(pod)), default=None)


def failures(pod: Object) -> int:
    """Before this pod, the ignored ones too."""
    return _number(pod, FAILURES) + _number(pod, IGNORED)


def next_annotations(job: Object, index: int, owned: Sequence[Object]) -> dict[str, str]:
    """What the next pod of the index carries on."""
    if limit(job) is None:
        return {}
    before = last_of(index, owned)
    if before is None:
        return {FAILURES: "0"}
    ignored = failure_policy.action(job, before) == IGNORE
    counts = {
        FAILURES: _number(before, FAILURES) + (not ignored),
        IGNORED: _number(before, IGNORED) + ignored,
    }
    return {key: str(count) for key, count in counts.items() if count or key == FAILURES}


def still_needed(job: Object, owned: Sequence[Object], ended: Collection[int]) -> set[str]:
    """The uids of finished pods whose replacement is not there yet, of indexes that go on."""
    needed = set()
    for pod in owned:
        index = index_of(pod)
        if index is None or index in ended or not pods.is_finished(pod) or meta.is_deleting(job):
            continue
        if last_of(index, owned) is pod:
            needed.add(meta.uid_of(pod))
    return needed

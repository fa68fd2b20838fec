"""How long the next pod waits after failures: ten seconds, doubled with each failure since the last success, ten
minutes at most. Pure. It counts what pods still show, so that a restart of the loop changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.job.counting import has_failed, has_succeeded

FIRST_S = 10.0
LIMIT_S = 600.0
_DOUBLINGS = 16  # enough for any limit


def wait_s(failures: int, last: float | None, now: float) -> float:
    """`last`: when the latest of the failures was."""
    if not failures or last is None:
        return 0.0
    delay_s = min(FIRST_S * 2.0 ** min(failures - 1, _DOUBLINGS), LIMIT_S)
    return max(last + delay_s - now, 0.0)


def of_job(job: Object, owned: Sequence[Object], now: float) -> float:
    succeeded = max((ended_at(pod) for pod in owned if has_succeeded(pod)), default=None)
    failed = [at for pod in owned if has_failed(job, pod) and (at := ended_at(pod))]
    since = [at for at in failed if succeeded is None or at > succeeded]
    return wait_s(len(since), max(since, default=None), now)


def ended_at(pod: Object) -> float:
    """When all its containers had ended; where that is not known, when it was unready, deleted, or made."""
    metadata = meta.metadata(pod)
    ready = meta.condition(pod, "Ready") or {}
    unready = ready.get("lastTransitionTime") if ready.get("status") == "False" else None
    deleted = meta.parse_time(metadata.get("deletionTimestamp"))
    if deleted is not None:
        deleted -= float(metadata.get("deletionGracePeriodSeconds") or 0)
    times = (_containers_ended(pod), meta.parse_time(unready), deleted)
    found = next((each for each in times if each is not None), None)
    return found if found is not None else meta.parse_time(metadata.get("creationTimestamp")) or 0.0


def _containers_ended(pod: Object) -> float | None:
    """None as long as one runs; sidecars end after the others."""
    init = meta.nested(pod, "spec", "initContainers", default=())
    sidecars = {each["name"] for each in init if each.get("restartPolicy") == "Always"}
    statuses = [
        *meta.nested(pod, "status", "containerStatuses", default=()),
        *(
            each
            for each in meta.nested(pod, "status", "initContainerStatuses", default=())
            if each.get("name") in sidecars
        ),
    ]
    times = [meta.parse_time(meta.nested(each, "state", "terminated", "finishedAt")) for each in statuses]
    known = [each for each in times if each is not None]
    return max(known) if known and len(known) == len(times) else None

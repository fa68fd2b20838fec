"""What a deployment says of itself: counts, and the conditions Available, Progressing and ReplicaFailure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.deployment import rolling

NEW_SET_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"
NO_DEADLINE_S = 2**31 - 1


def compute(deployment: Object, sets: Sequence[Object], new: Object | None, now: float) -> dict[str, Any]:
    """The status as the replica sets show it."""
    old = deployment.get("status") or {}
    total = sum(rolling.actual(each) for each in sets)
    ready = sum(int(meta.nested(each, "status", "readyReplicas", default=0)) for each in sets)
    available = sum(rolling.available(each) for each in sets)
    counts = {
        "observedGeneration": meta.metadata(deployment).get("generation", 0),
        "replicas": total,
        "updatedReplicas": rolling.actual(new) if new else 0,
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(sum(rolling.wanted(each) for each in sets) - available, 0),
    }
    status = {name: count for name, count in counts.items() if count}
    if (terminating := _terminating(sets)) is not None:
        status["terminatingReplicas"] = terminating
    if "collisionCount" in old:
        status["collisionCount"] = old["collisionCount"]
    conditions = list(old.get("conditions") or [])
    limit = rolling.bounds(deployment)
    set_condition(conditions, _available(available >= limit.replicas - limit.unavailable), now)
    _set_failure(conditions, sets, now)
    status["conditions"] = conditions
    return status


def _terminating(sets: Sequence[Object]) -> int | None:
    """None as long as a set that has a status does not say."""
    statuses = [each.get("status") or {} for each in sets]
    known = [each for each in statuses if each.get("observedGeneration") or "terminatingReplicas" in each]
    if any("terminatingReplicas" not in each for each in known):
        return None
    return sum(int(each["terminatingReplicas"]) for each in known)


def _available(enough: bool) -> Object:
    if enough:
        return _condition(
            "Available", True, "MinimumReplicasAvailable", "Deployment has minimum availability."
        )
    return _condition(
        "Available", False, "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
    )


def _set_failure(conditions: list[Object], sets: Sequence[Object], now: float) -> None:
    failures = [failure for each in sets if (failure := meta.condition(each, "ReplicaFailure"))]
    conditions[:] = [each for each in conditions if each["type"] != "ReplicaFailure"]
    if failures:
        words = (failures[0].get("reason", ""), failures[0].get("message", ""))
        set_condition(conditions, _condition("ReplicaFailure", True, *words), now)


def progress(deployment: Object, status: dict[str, Any], new: Object | None, now: float) -> None:
    """Judge the rollout's progress in `status`: complete, moving, or past its deadline."""
    old = deployment.get("status") or {}
    current = meta.condition(deployment, "Progressing")
    if deadline_s(deployment) is None:
        status["conditions"] = [each for each in status["conditions"] if each["type"] != "Progressing"]
        return
    rollout = f'ReplicaSet "{meta.name_of(new)}"' if new else f'Deployment "{meta.name_of(deployment)}"'
    conditions = status["conditions"]
    finished = (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and current is not None
        and current.get("reason") == NEW_SET_AVAILABLE
    )
    if finished:
        return
    if is_complete(deployment, status):
        text = f"{rollout} has successfully progressed."
        set_condition(conditions, _condition("Progressing", True, NEW_SET_AVAILABLE, text), now, touch=True)
    elif _has_moved(old, status):
        text = f"{rollout} is progressing."
        moved = _condition("Progressing", True, "ReplicaSetUpdated", text)
        kept = current is not None and current["status"] == "True"
        since = current["lastTransitionTime"] if current and kept else None
        conditions[:] = [each for each in conditions if each["type"] != "Progressing"]
        conditions.append(_stamped(moved, now, since))
    elif timed_out(deployment, status, now):
        text = f"{rollout} has timed out progressing."
        set_condition(conditions, _condition("Progressing", False, TIMED_OUT, text), now)


def note(status: dict[str, Any], reason: str, message: str, now: float, value: str = "True") -> None:
    """Put a step of the rollout into the condition Progressing."""
    condition = {**_condition("Progressing", True, reason, message), "status": value}
    set_condition(status.setdefault("conditions", []), condition, now, touch=True)


def is_complete(deployment: Object, status: dict[str, Any]) -> bool:
    target = rolling.wanted(deployment)
    return bool(
        status.get("updatedReplicas", 0) == target
        and status.get("replicas", 0) == target
        and status.get("availableReplicas", 0) == target
        and status.get("observedGeneration", 0) >= meta.metadata(deployment).get("generation", 0)
    )


def _has_moved(old: dict[str, Any], new: dict[str, Any]) -> bool:
    def old_pods(status: dict[str, Any]) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    return (
        new.get("updatedReplicas", 0) > old.get("updatedReplicas", 0)
        or old_pods(new) < old_pods(old)
        or new.get("readyReplicas", 0) > old.get("readyReplicas", 0)
        or new.get("availableReplicas", 0) > old.get("availableReplicas", 0)
    )


def deadline_s(deployment: Object) -> int | None:
    seconds = int(meta.nested(deployment, "spec", "progressDeadlineSeconds", default=600))
    return None if seconds == NO_DEADLINE_S else seconds


def timed_out(deployment: Object, status: dict[str, Any], now: float) -> bool:
    left = deadline_in_s(deployment, status, now)
    return left is not None and left <= 0


def deadline_in_s(deployment: Object, status: dict[str, Any], now: float) -> float | None:
    """Until the rollout counts as failed; None when it is not under way or has no deadline."""
    seconds = deadline_s(deployment)
    current = next((each for each in status.get("conditions", ()) if each["type"] == "Progressing"), None)
    if seconds is None or current is None or current.get("reason") in (NEW_SET_AVAILABLE, PAUSED):
        return None
    if current.get("reason") == TIMED_OUT:
        return 0.0
    return (meta.parse_time(current.get("lastUpdateTime")) or now) + seconds - now


def set_condition(conditions: list[Object], wanted: Object, now: float, *, touch: bool = False) -> None:
    """Put `wanted` in; one that says the same already stays as it is, unless `touch` dates it anew."""
    current = next((each for each in conditions if each["type"] == wanted["type"]), None)
    same = current is not None and (current["status"], current.get("reason")) == (
        wanted["status"],
        wanted["reason"],
    )
    if same and not (touch and current is not None and current.get("message") != wanted["message"]):
        return
    since = current["lastTransitionTime"] if current and current["status"] == wanted["status"] else None
    conditions[:] = [each for each in conditions if each["type"] != wanted["type"]]
    conditions.append(_stamped(wanted, now, since))


def _condition(type_: str, is_true: bool, reason: str, message: str) -> Object:
    return {"type": type_, "status": str(is_true), "reason": reason, "message": message}


def _stamped(condition: Object, now: float, since: str | None) -> Object:
    stamp = meta.rfc3339(now)
    return {**condition, "lastUpdateTime": stamp, "lastTransitionTime": since or stamp}

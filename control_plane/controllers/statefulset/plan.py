"""The next step of a stateful set.

Ordered (OrderedReady): pods come up one after another, each only when all before it are running, ready and
available; they go, and are updated, one after another from the highest ordinal down. Parallel: nothing waits.
In both a pod that is being deleted is left to go first, and one that has failed is made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import pods, revisions
from control_plane.controllers.deployment.rolling import resolve
from control_plane.controllers.statefulset import identity


@dataclass(slots=True)
class Plan:
    create: list[tuple[int, bool]] = field(default_factory=list)  # ordinal, of the newest revision
    delete: list[Object] = field(default_factory=list)


def is_ordered(stateful_set: Object) -> bool:
    return bool(stateful_set["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady")


def partition(stateful_set: Object) -> int:
    rolling = meta.nested(stateful_set, "spec", "updateStrategy", "rollingUpdate", default={})
    return int(rolling.get("partition") or 0)


def plan(stateful_set: Object, owned: Sequence[Object], newest: str, current: str, now: float) -> Plan:
    """`newest`, `current`: names of the revision to go to and of the one to come from."""
    by_ordinal = {number: pod for pod in owned if (number := identity.ordinal(stateful_set, pod)) is not None}
    wanted = identity.ordinals(stateful_set)
    step = _bring_up(stateful_set, by_ordinal, wanted, newest, current, now)
    if step is not None:
        return step
    condemned = sorted((number for number in by_ordinal if number not in wanted), reverse=True)
    step = _take_down(stateful_set, by_ordinal, condemned, wanted, now)
    if step is not None:
        return step
    return _update(stateful_set, by_ordinal, wanted, newest, now)


def _bring_up(
    stateful_set: Object, by_ordinal: dict[int, Object], wanted: range, newest: str, current: str, now: float
) -> Plan | None:
    """None when every wanted pod is there and, for an ordered set, healthy."""
    planned, ordered = Plan(), is_ordered(stateful_set)
    for number in wanted:
        pod = by_ordinal.get(number)
        if pod is None:
            planned.create.append((number, _is_of_newest(stateful_set, number, newest, current)))
        elif pods.is_finished(pod) and not meta.is_deleting(pod):
            planned.delete.append(pod)
        elif _is_healthy(stateful_set, pod, now):
            continue
        if ordered:
            return planned
    return planned if planned.create or planned.delete else None


def _is_of_newest(stateful_set: Object, number: int, newest: str, current: str) -> bool:
    """Behind the partition pods stay at the current revision, also when they are made anew."""
    if meta.nested(stateful_set, "spec", "updateStrategy", "type", default="RollingUpdate") == "OnDelete":
        return True
    return newest == current or number >= identity.start(stateful_set) + partition(stateful_set)


def _is_healthy(stateful_set: Object, pod: Object, now: float) -> bool:
    min_ready_s = int(stateful_set["spec"].get("minReadySeconds", 0))
    running = meta.nested(pod, "status", "phase") == "Running"
    return running and not meta.is_deleting(pod) and pods.is_available(pod, min_ready_s, now)


def _take_down(
    stateful_set: Object, by_ordinal: dict[int, Object], condemned: Sequence[int], wanted: range, now: float
) -> Plan | None:
    """Those above the wanted ones, highest first; in an ordered set one that is not healthy goes only when all
    below it are.
    """
    if not condemned:
        return None
    if not is_ordered(stateful_set):
        return Plan(delete=[by_ordinal[each] for each in condemned if not meta.is_deleting(by_ordinal[each])])
    highest = by_ordinal[condemned[0]]
    unhealthy = (
        number for number in sorted(by_ordinal) if not _is_healthy(stateful_set, by_ordinal[number], now)
    )
    waits = not _is_healthy(stateful_set, highest, now) and next(unhealthy) != condemned[0]
    return Plan(delete=[] if meta.is_deleting(highest) or waits else [highest])


def _update(
    stateful_set: Object, by_ordinal: dict[int, Object], wanted: range, newest: str, now: float
) -> Plan:
    """Delete pods of old revisions, highest ordinal first, at most maxUnavailable not healthy at a time."""
    strategy = meta.nested(stateful_set, "spec", "updateStrategy", default={})
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return Plan()
    limit = strategy.get("rollingUpdate", {}).get("maxUnavailable", 1)
    room = max(resolve(limit, len(wanted), up=False), 1)
    planned = Plan()
    for number in sorted(wanted, reverse=True):
        if number < wanted.start + partition(stateful_set) or room <= 0:
            break
        pod = by_ordinal[number]
        if not is_of(pod, newest):
            if not meta.is_deleting(pod):
                planned.delete.append(pod)
            room -= 1
        elif not _is_healthy(stateful_set, pod, now):
            room -= 1
    return planned


def is_of(pod: Object, revision: str) -> bool:
    return meta.labels(pod).get(revisions.HASH_LABEL) == revision


def status(
    stateful_set: Object, owned: Sequence[Object], newest: Object, current: Object, now: float
) -> dict[str, Any]:
    live = [pod for pod in owned if identity.ordinal(stateful_set, pod) is not None]
    min_ready_s = int(stateful_set["spec"].get("minReadySeconds", 0))
    present = [pod for pod in live if not meta.is_deleting(pod)]
    updated = sum(is_of(pod, meta.name_of(newest)) for pod in present)
    counts = {
        "replicas": len(live),
        "readyReplicas": sum(pods.is_ready(pod) for pod in live),
        "availableReplicas": sum(pods.is_available(pod, min_ready_s, now) for pod in live),
        "currentReplicas": sum(is_of(pod, meta.name_of(current)) for pod in present),
        "updatedReplicas": updated,
        "observedGeneration": meta.metadata(stateful_set).get("generation", 0),
        "collisionCount": int(meta.nested(stateful_set, "status", "collisionCount", default=0)),
    }
    made: dict[str, Any] = {
        name: count
        for name, count in counts.items()
        if count or name in ("replicas", "availableReplicas", "collisionCount")
    }
    made["currentRevision"] = meta.name_of(current)
    made["updateRevision"] = meta.name_of(newest)
    if _is_rolled_out(stateful_set, made, updated):
        made["currentRevision"], made["currentReplicas"] = made["updateRevision"], updated
        if not updated:
            del made["currentReplicas"]
    return made


def _is_rolled_out(stateful_set: Object, made: dict[str, Any], updated: int) -> bool:
    total = len(identity.ordinals(stateful_set))
    return bool(
        meta.nested(stateful_set, "spec", "updateStrategy", "type", default="RollingUpdate")
        == "RollingUpdate"
        and partition(stateful_set) == 0
        and updated == total == made["replicas"] == made.get("readyReplicas", 0)
        and made["currentRevision"] != made["updateRevision"]
    )

"""Who must leave a device and when, and what a DeviceTaintRule says of it. Pure.

A taint comes from a slice or from a rule (`Source`); both count alike. A rule's condition EvictionInProgress says
how many pods it still has to evict; of a rule without effect, how many it would evict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from control_plane.api import meta
from control_plane.api.device_taints import DeviceId, selects
from control_plane.api.meta import Object
from control_plane.controllers.taint_eviction import NO_EXECUTE, evict_at

IN_PROGRESS = "EvictionInProgress"
NO_EFFECT = "None"
STATUS_PERIOD_S = 10.0  # between two writes of one condition

_OTHER = "Eviction only happens for the NoExecute effect."
_ONCE = "This information will not be updated again. Recreate the DeviceTaintRule to trigger an update."


@dataclass(frozen=True, slots=True)
class Source:
    taint: Object
    rule: str = ""  # its uid; "" for a taint of the slice


Taints = Callable[[DeviceId], Iterable[Source]]


@dataclass(frozen=True, slots=True)
class Eviction:
    at: float
    rules: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one rule."""

    pods: int = 0  # to be evicted
    namespaces: int = 0
    evicted: int = 0
    published: int = 0  # devices that it selects
    allocated: int = 0


def devices(slice_: Object) -> Iterator[tuple[DeviceId, Object]]:
    spec = slice_["spec"]
    for device in spec.get("devices") or ():
        yield (spec["driver"], spec["pool"]["name"], device["name"]), device


def results(claim: Object) -> list[Object]:
    return list(meta.nested(claim, "status", "allocation", "devices", "results", default=()))


def device_of(result: Object) -> DeviceId:
    return result["driver"], result["pool"], result["device"]


def eviction(claims: Sequence[Object], taints_of: Taints, now: float) -> Eviction | None:
    """Of a pod with these claims: when it must go, now at the earliest, and which rules have a part in it."""
    found = [
        (at, source.rule)
        for claim in claims
        for result in results(claim)
        for source in taints_of(device_of(result))
        if (at := evict_at(result.get("tolerations") or (), [source.taint], now)) is not None
    ]
    if not found:
        return None
    return Eviction(min(at for at, _ in found), frozenset(rule for _, rule in found if rule))


def rule_taints(rules: Iterable[Object], device: DeviceId) -> list[Source]:
    return [Source(rule["spec"]["taint"], meta.uid_of(rule)) for rule in rules if selects(rule, device)]


def as_if_evicting(rule: Object) -> Object:
    taint = {**rule["spec"]["taint"], "effect": NO_EXECUTE}
    return {**rule, "spec": {**rule["spec"], "taint": taint}}


def reported(rule: Object) -> Object | None:
    """The condition, where it is about the rule as it is now."""
    found = meta.condition(rule, IN_PROGRESS)
    generation = rule["metadata"].get("generation", 0)
    return found if found is not None and found.get("observedGeneration") == generation else None


def wait_s(rule: Object, now: float) -> float | None:
    """Until its condition may be written again; None: never, since what would happen is said once."""
    found = reported(rule)
    if found is None:
        return 0.0
    if rule["spec"]["taint"]["effect"] == NO_EFFECT:
        return None
    written = meta.parse_time(found.get("lastTransitionTime")) or 0.0
    return max(written + STATUS_PERIOD_S - now, 0.0)


def condition(rule: Object, counts: Counts, now: float) -> Object | None:
    """What to write; None where it says so already."""
    status, reason, message = _verdict(rule["spec"]["taint"]["effect"], counts)
    before = reported(rule)
    if before is not None and reason == "NotStarted" and before["reason"] == "Completed":
        return None  # by this loop's predecessor
    evicted = (
        f"{_many(counts.evicted, 'pod')} evicted since starting the controller." if counts.evicted else ""
    )
    wanted = {
        "type": IN_PROGRESS,
        "status": status,
        "reason": reason,
        "message": " ".join(filter(None, (message, evicted))),
        "observedGeneration": rule["metadata"].get("generation", 0),
    }
    if before is not None and all(before.get(key) == value for key, value in wanted.items()):
        return None
    return {**wanted, "lastTransitionTime": meta.rfc3339(now)}


def _verdict(effect: str, counts: Counts) -> tuple[str, str, str]:
    """Status, reason, message."""
    where = "1 namespace" if counts.namespaces == 1 else f"{counts.namespaces} different namespaces"
    if effect == NO_EFFECT:
        devices_selected = (
            f"{_many(counts.published, 'published device')} selected. "
            f"{_many(counts.allocated, 'allocated device')} selected. "
        )
        would = f"{_many(counts.pods, 'pod')} would be evicted in {where} if the effect was NoExecute. "
        return "False", "NoEffect", devices_selected + would + _ONCE
    if effect != NO_EXECUTE:
        return "False", "OtherEffect", _OTHER
    if counts.pods:
        need = "needs" if counts.pods == 1 else "need"
        return "True", "PodsPendingEviction", f"{_many(counts.pods, 'pod')} {need} to be evicted in {where}."
    return "False", "Completed" if counts.evicted else "NotStarted", ""


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

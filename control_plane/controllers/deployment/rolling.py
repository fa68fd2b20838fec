"""How many replicas each replica set should have next: pure arithmetic of a rollout.

Invariants of a rolling update: never more than `replicas + maxSurge` pods, never fewer than
`replicas - maxUnavailable` available ones by our own doing; not both bounds are zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers.deployment import revision


@dataclass(frozen=True, slots=True)
class Bounds:
    replicas: int
    surge: int
    unavailable: int

    @property
    def maximum(self) -> int:
        return self.replicas + self.surge


@dataclass(frozen=True, slots=True)
class Scale:
    """Set the replica set to `replicas`."""

    replica_set: Object
    replicas: int


def is_rolling(deployment: Object) -> bool:
    return bool(
        meta.nested(deployment, "spec", "strategy", "type", default="RollingUpdate") == "RollingUpdate"
    )


def bounds(deployment: Object) -> Bounds:
    """Percentages resolved: surge rounds up, unavailable down; both zero means one unavailable."""
    replicas = wanted(deployment)
    if not is_rolling(deployment) or replicas == 0:
        return Bounds(replicas, 0, 0)
    rolling = meta.nested(deployment, "spec", "strategy", "rollingUpdate", default={})
    surge = resolve(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = resolve(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(replicas, surge, min(unavailable, replicas))


def resolve(value: int | str, total: int, *, up: bool) -> int:
    """A number, or a percentage of `total`."""
    if isinstance(value, str) and value.endswith("%"):
        exact = int(value[:-1]) * total / 100
        return math.ceil(exact) if up else math.floor(exact)
    return int(value)


def wanted(obj: Object) -> int:
    return int(meta.nested(obj, "spec", "replicas", default=1))


def available(replica_set: Object) -> int:
    return int(meta.nested(replica_set, "status", "availableReplicas", default=0))


def actual(replica_set: Object) -> int:
    return int(meta.nested(replica_set, "status", "replicas", default=0))


def new_replicas(deployment: Object, sets: Sequence[Object], new: Object | None) -> int:
    """How many the new set may have now."""
    limit = bounds(deployment)
    has = wanted(new) if new else 0
    if not is_rolling(deployment):
        return limit.replicas
    room = limit.maximum - sum(wanted(each) for each in sets)
    if room <= 0:
        return has
    return has + min(room, limit.replicas - has)


def grow_new(deployment: Object, sets: Sequence[Object], new: Object) -> list[Scale]:
    """Bring the new set up, as far as the surge allows, or down to what is wanted."""
    has, target = wanted(new), wanted(deployment)
    if has == target:
        return []
    if has > target:
        return [Scale(new, target)]
    count = new_replicas(deployment, sets, new)
    return [Scale(new, count)] if count != has else []


def shrink_old(deployment: Object, old: Sequence[Object], new: Object) -> list[Scale]:
    """Take replicas from the old sets: first those that are not healthy, then as many healthy ones as the bound on
    unavailability leaves."""
    limit = bounds(deployment)
    if not any(wanted(each) for each in old):
        return []
    total = sum(wanted(each) for each in (*old, new))
    minimum = limit.replicas - limit.unavailable
    new_unavailable = wanted(new) - available(new)
    room = total - minimum - new_unavailable
    if room <= 0:
        return []
    left = {meta.uid_of(each): wanted(each) for each in old}
    _take_unhealthy(old, left, room)
    spare = sum(available(each) for each in (*old, new)) - minimum
    _take(revision.by_age(old), left, max(spare, 0))
    return [Scale(each, left[meta.uid_of(each)]) for each in old if left[meta.uid_of(each)] != wanted(each)]


def _take_unhealthy(old: Sequence[Object], left: dict[str, int], room: int) -> None:
    for each in revision.by_age(old):
        unhealthy = max(wanted(each) - available(each), 0)
        taken = min(room, unhealthy)
        left[meta.uid_of(each)] -= taken
        room -= taken


def _take(sets: Sequence[Object], left: dict[str, int], count: int) -> None:
    for each in sets:
        taken = min(count, left[meta.uid_of(each)])
        left[meta.uid_of(each)] -= taken
        count -= taken


def proportionally(deployment: Object, sets: Sequence[Object], new: Object | None) -> list[Scale]:
    """The deployment's own replicas changed: with one set in use it follows; a rollout that is done scales its old
    sets to nothing; in the middle of one every set gets its share of the difference, the larger sets first."""
    active = [each for each in sets if wanted(each) > 0]
    latest = active[0] if len(active) == 1 else None if active else (new or _newest(sets))
    target = wanted(deployment)
    if latest is not None:
        return [] if wanted(latest) == target else [Scale(latest, target)]
    if new is not None and is_saturated(deployment, new):
        return [Scale(each, 0) for each in active if each is not new]
    if not is_rolling(deployment):
        return []
    return _shares(deployment, active)


def _newest(sets: Sequence[Object]) -> Object | None:
    return revision.by_age(sets)[-1] if sets else None


def is_saturated(deployment: Object, replica_set: Object) -> bool:
    """It has, and shows available, everything that was asked for."""
    target = wanted(deployment)
    asked = meta.annotations(replica_set).get(revision.DESIRED_REPLICAS)
    return wanted(replica_set) == target and asked == str(target) and available(replica_set) == target


def _shares(deployment: Object, active: Sequence[Object]) -> list[Scale]:
    limit = bounds(deployment)
    total = sum(wanted(each) for each in active)
    to_add = (limit.maximum if limit.replicas > 0 else 0) - total
    growing = to_add > 0
    newest_first = list(reversed(revision.by_age(active)))
    ordered = sorted(newest_first if growing else revision.by_age(active), key=wanted, reverse=True)
    counts, added = [], 0
    for each in ordered:
        share = _share(deployment, each, limit, to_add - added) if to_add else 0
        added += share
        counts.append(wanted(each) + share)
    if counts:
        counts[0] = max(counts[0] + to_add - added, 0)  # what rounding left goes to the largest
    return [Scale(each, count) for each, count in zip(ordered, counts, strict=True) if count != wanted(each)]


def _share(deployment: Object, replica_set: Object, limit: Bounds, left: int) -> int:
    if wanted(deployment) == 0:
        return -wanted(replica_set)
    before = meta.annotations(replica_set).get(revision.MAX_REPLICAS)
    old_maximum = int(before) if before and before.isdigit() else actual(deployment)
    if old_maximum == 0:
        return 0
    share = round(wanted(replica_set) * limit.maximum / old_maximum) - wanted(replica_set)
    return min(share, left) if left > 0 else max(share, left)

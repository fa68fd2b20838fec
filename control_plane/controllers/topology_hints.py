"""Hints of an EndpointSlice: for clients of which zones or nodes an endpoint is meant. Pure.

`trafficDistribution` prefers an endpoint's own zone, or node. The annotation `service.kubernetes.io/topology-mode:
Auto` gives each zone as many endpoints as it has processors of the cluster (KEP-2433): its own first, then some
from zones that have more than their share. No zone's endpoints may have to serve more than OVERLOAD beyond that
share; when they would, or when not every node says where it is and how large, there are no hints at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.api.quantity import parse_or_zero

SAME_ZONE = ("PreferClose", "PreferSameZone")
SAME_NODE = "PreferSameNode"
MODES = ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints")
ZONE = "topology.kubernetes.io/zone"
WITHOUT_WORK = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
OVERLOAD = 0.2

Shares = Mapping[str, float]  # of the cluster's processors, by zone


def is_auto(service: Object) -> bool:
    annotations = meta.annotations(service)
    mode = next((annotations[name] for name in MODES if name in annotations), "")
    return mode in ("Auto", "auto")


def part(node: Object) -> tuple[str, int] | None:
    """What the node adds to which zone, in millis; None when it takes no part."""
    if any(name in meta.labels(node) for name in WITHOUT_WORK) or not meta.condition_is_true(node, "Ready"):
        return None
    cpu = parse_or_zero(meta.nested(node, "status", "allocatable", "cpu")).milli_value()
    return meta.labels(node).get(ZONE, ""), cpu


def shares(nodes: Iterable[Object]) -> Shares | None:
    """None when they cannot be told, or there is only one zone."""
    millis: Counter[str] = Counter()
    for zone, cpu in filter(None, map(part, nodes)):
        if not cpu or not zone:
            return None
        millis[zone] += cpu
    total = sum(millis.values())
    return {zone: cpu / total for zone, cpu in sorted(millis.items())} if len(millis) > 1 else None


def add(service: Object, endpoints: Sequence[Object], by_zone: Shares | None) -> list[Object]:
    """An endpoint that is not ready is nobody's preference."""
    preference = meta.nested(service, "spec", "trafficDistribution", default="")
    if preference in (*SAME_ZONE, SAME_NODE):
        return [_preferred(each, preference) for each in endpoints]
    if not is_auto(service) or by_zone is None:
        return list(endpoints)
    ready = sorted((each for each in endpoints if _is_ready(each)), key=lambda each: each["addresses"])
    zones = _balanced([each.get("zone", "") for each in ready], by_zone)
    if zones is None:
        return list(endpoints)
    meant = {each["addresses"][0]: zone for each, zone in zip(ready, zones, strict=True)}
    return [_meant_for(each, meant.get(each["addresses"][0])) for each in endpoints]


def _is_ready(endpoint: Object) -> bool:
    return bool(endpoint["conditions"].get("ready"))


def _preferred(endpoint: Object, preference: str) -> Object:
    if not _is_ready(endpoint):
        return endpoint
    hints: Object = {}
    if zone := endpoint.get("zone"):
        hints["forZones"] = [{"name": zone}]
    if preference == SAME_NODE and (node := endpoint.get("nodeName")):
        hints["forNodes"] = [{"name": node}]
    return {**endpoint, "hints": hints} if hints else endpoint


def _meant_for(endpoint: Object, zone: str | None) -> Object:
    return {**endpoint, "hints": {"forZones": [{"name": zone}]}} if zone else endpoint


def _balanced(homes: Sequence[str], by_zone: Shares) -> list[str] | None:
    """For which zone each endpoint is meant, by the zones they are in; None when there is no good way."""
    count = len(homes)
    if count < len(by_zone) or not all(homes):
        return None
    desired = {zone: share * count for zone, share in by_zone.items()}
    least = {zone: math.ceil(wanted / (1 + OVERLOAD)) for zone, wanted in desired.items()}
    if sum(least.values()) > count:
        return None
    meant = list(homes)
    has = Counter(meant)
    while True:
        giver = max(has, key=lambda zone: (has[zone] - desired.get(zone, 0.0), zone))
        taker = max(desired, key=lambda zone: (desired[zone] - has[zone], zone))
        moved = has[giver] - desired.get(giver, 0.0) + desired[taker] - has[taker]
        if giver == taker or moved <= 1 + 1e-9:
            break
        meant[max(at for at, zone in enumerate(meant) if zone == giver)] = taker
        has[giver] -= 1
        has[taker] += 1
    return meant if all(has[zone] >= least[zone] for zone in desired) else None

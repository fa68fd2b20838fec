"""Hints of an EndpointSlice: for clients of which zones or nodes an endpoint is meant (trafficDistribution)."""

from __future__ import annotations

from control_plane.api import meta
from control_plane.api.meta import Object

SAME_ZONE = ("PreferClose", "PreferSameZone")
SAME_NODE = "PreferSameNode"


def add(service: Object, endpoint: Object) -> Object:
    """An endpoint that is not ready is nobody's preference."""
    preference = meta.nested(service, "spec", "trafficDistribution", default="")
    if preference not in (*SAME_ZONE, SAME_NODE) or not endpoint["conditions"].get("ready"):
        return endpoint
    hints: Object = {}
    if zone := endpoint.get("zone"):
        hints["forZones"] = [{"name": zone}]
    if preference == SAME_NODE and (node := endpoint.get("nodeName")):
        hints["forNodes"] = [{"name": node}]
    return {**endpoint, "hints": hints} if hints else endpoint

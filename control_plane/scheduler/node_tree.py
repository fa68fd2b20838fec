"""The order in which nodes are tried: zone by zone in turn, as kube-scheduler has it.

Where only some of many nodes are looked at, the order decides which. Zones and the nodes of a zone stand in the
order in which they came; a node that moves to another zone comes last there."""

from __future__ import annotations

from collections.abc import Mapping

from control_plane.scheduler.framework.affinity import FORMER_REGION, FORMER_ZONE, REGION, ZONE
from control_plane.scheduler.framework.node_info import NodeInfo


class NodeTree:
    def __init__(self) -> None:
        self._zones: dict[str, dict[str, NodeInfo]] = {}
        self._zone_of: dict[str, str] = {}

    def put(self, node: NodeInfo) -> bool:
        """Added or changed; whether that changes the order."""
        zone, before = zone_key(node.labels), self._zone_of.get(node.name)
        if zone == before:
            return False
        self.remove(node.name)
        self._zones.setdefault(zone, {})[node.name] = node
        self._zone_of[node.name] = zone
        return True

    def remove(self, name: str) -> None:
        zone = self._zone_of.pop(name, None)
        if zone is None:
            return
        del self._zones[zone][name]
        if not self._zones[zone]:
            del self._zones[zone]

    def in_turn(self) -> list[NodeInfo]:
        """One of each zone, then the next of each."""
        zones = [list(nodes.values()) for nodes in self._zones.values()]
        rows = max((len(zone) for zone in zones), default=0)
        return [zone[row] for row in range(rows) for zone in zones if row < len(zone)]


def zone_key(labels: Mapping[str, str]) -> str:
    """Region and zone as one word; the former labels come first, as they do for old volumes."""
    region = labels.get(FORMER_REGION, labels.get(REGION, ""))
    zone = labels.get(FORMER_ZONE, labels.get(ZONE, ""))
    return f"{region}:\x00:{zone}" if region or zone else ""

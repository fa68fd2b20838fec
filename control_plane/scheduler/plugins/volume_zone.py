"""A volume that says by its labels in which zone or region it is can be used only there."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.api import meta
from control_plane.scheduler.framework.affinity import FORMER_REGION, FORMER_ZONE, REGION, ZONE
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import CycleState, FilterPlugin, PreFilterPlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, unresolvable
from control_plane.scheduler.volumes import binding

REASON = unresolvable("node(s) had no available volume zone")
SEPARATOR = "__"  # a volume in several zones lists them so
# a label's former name, and its name today
LABELS = {FORMER_ZONE: ZONE, FORMER_REGION: REGION}


class VolumeZone(PreFilterPlugin, FilterPlugin):
    name = "VolumeZone"

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | None:
        """What is left for the filter: labels, each with the values that do."""
        wanted: list[tuple[str, frozenset[str]]] = []
        for name, _ in binding.claim_names(pod.pod):
            claim = self.handle.storage.claim(pod.namespace, name)
            volume_name = claim["spec"].get("volumeName") if claim is not None else None
            volume = self.handle.storage.volume(volume_name) if volume_name else None
            if volume is None:
                continue  # VolumeBinding's business
            for key, value in meta.labels(volume).items():
                places = frozenset(each.strip() for each in value.split(SEPARATOR))
                if (key in LABELS or key in LABELS.values()) and "" not in places:
                    wanted.append((key, places))
        if not wanted:
            return SKIP
        state[self.name] = wanted
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        """Nodes without any such label are in a cluster that has no zones. A volume may be labelled in the former
        way while the node is not; not the other way round."""
        labels = node.labels
        if not any(key in labels for pair in LABELS.items() for key in pair):
            return None
        for key, values in state[self.name]:
            if labels.get(key, labels.get(LABELS.get(key, ""))) not in values:
                return REASON
        return None

    def interests(self) -> Sequence[Interest]:
        changed = Action.ADD | Action.UPDATE_OTHER
        return (
            Interest(ClusterEvent(Kind.NODE, Action.ADD | Action.UPDATE_NODE_LABEL)),
            Interest(ClusterEvent(Kind.PERSISTENT_VOLUME_CLAIM, changed)),
            Interest(ClusterEvent(Kind.PERSISTENT_VOLUME, changed)),
        )

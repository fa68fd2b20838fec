"""A node attaches only so many volumes of one CSI driver, as its CSINode says: those of its pods, and those that
are attached though their pods have gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import CycleState, FilterPlugin, PreFilterPlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, unschedulable
from control_plane.scheduler.volumes import binding
from control_plane.scheduler.volumes.storage import class_of

REASON = unschedulable("node(s) exceed max volume count")


class NodeVolumeLimits(PreFilterPlugin, FilterPlugin):
    name = "NodeVolumeLimits"

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | None:
        wanted = self._attached([pod])
        if not wanted:
            return SKIP
        state[self.name] = wanted
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        """What is attached already for other pods costs nothing."""
        limits = _limits(self.handle.storage.csi_node(node.name))
        wanted: dict[str, set[str]] = state[self.name]
        limited = {driver: volumes for driver, volumes in wanted.items() if driver in limits}
        if not limited:
            return None
        there = self._attached(node.pods.values())
        for attachment in self.handle.storage.attachments(node.name):
            name = (attachment["spec"].get("source") or {}).get("persistentVolumeName")
            if name and (place := _csi_place(self.handle.storage.volume(name))) is not None:
                there[place[0]].add(place[1])
        for driver, volumes in limited.items():
            if volumes - there[driver] and len(volumes | there[driver]) > limits[driver]:
                return REASON
        return None

    def interests(self) -> Sequence[Interest]:
        return (
            Interest(ClusterEvent(Kind.CSI_NODE, Action.ADD | Action.UPDATE_OTHER)),
            Interest(ClusterEvent(Kind.ASSIGNED_POD, Action.DELETE)),
            Interest(ClusterEvent(Kind.PERSISTENT_VOLUME_CLAIM, Action.ADD)),
            Interest(ClusterEvent(Kind.VOLUME_ATTACHMENT, Action.DELETE)),
        )

    def _attached(self, pods: Iterable[PodInfo]) -> defaultdict[str, set[str]]:
        """By driver: handles of volumes; a claim that has none yet counts for itself."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for pod in pods:
            for name, _ in binding.claim_names(pod.pod):
                claim = self.handle.storage.claim(pod.namespace, name)
                if claim is not None and (place := self._place(claim)) is not None:
                    found[place[0]].add(place[1])
        return found

    def _place(self, claim: Obj) -> tuple[str, str] | None:
        name = claim["spec"].get("volumeName")
        volume = self.handle.storage.volume(name) if name else None
        if volume is not None:
            return _csi_place(volume)
        storage_class = self.handle.storage.storage_class(class_of(claim))
        driver = (storage_class or {}).get("provisioner")
        metadata = claim["metadata"]
        return (driver, f"{metadata.get('namespace')}/{metadata['name']}") if driver else None


def _csi_place(volume: Obj | None) -> tuple[str, str] | None:
    csi = volume["spec"].get("csi") if volume is not None else None
    return (csi["driver"], csi["volumeHandle"]) if csi else None


def _limits(csi_node: Obj | None) -> dict[str, int]:
    drivers = ((csi_node or {}).get("spec") or {}).get("drivers") or ()
    counts = {each["name"]: (each.get("allocatable") or {}).get("count") for each in drivers}
    return {name: int(count) for name, count in counts.items() if count is not None}

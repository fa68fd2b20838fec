"""A node attaches only so many volumes of one CSI driver, as its CSINode says: those of its pods, and those that
are attached though their pods have gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import CycleState, FilterPlugin, PreFilterPlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, unschedulable
from control_plane.scheduler.volumes import binding, migration
from control_plane.scheduler.volumes.migration import Place
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
            volume = self.handle.storage.volume(name) if name else None
            if volume is not None and (place := migration.place_of(volume)) is not None:
                there[place.driver].add(place.handle)
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
            for place in self._places(pod):
                found[place.driver].add(place.handle)
        return found

    def _places(self, pod: PodInfo) -> Iterator[Place]:
        for volume in pod.pod["spec"].get("volumes") or ():
            if (place := migration.place_inline(volume)) is not None:
                yield place
        for name, _ in binding.claim_names(pod.pod):
            claim = self.handle.storage.claim(pod.namespace, name)
            if claim is not None and (place := self._place(claim)) is not None:
                yield place

    def _place(self, claim: Obj) -> Place | None:
        name = claim["spec"].get("volumeName")
        volume = self.handle.storage.volume(name) if name else None
        if volume is not None:
            return migration.place_of(volume)
        storage_class = self.handle.storage.storage_class(class_of(claim))
        if storage_class is None:
            return None
        driver = str(storage_class["provisioner"])
        metadata = claim["metadata"]
        handle = f"{metadata.get('namespace')}/{metadata['name']}"
        return Place(migration.PROVISIONERS.get(driver, driver), handle)


def _limits(csi_node: Obj | None) -> dict[str, int]:
    drivers = ((csi_node or {}).get("spec") or {}).get("drivers") or ()
    counts = {each["name"]: (each.get("allocatable") or {}).get("count") for each in drivers}
    return {name: int(count) for name, count in counts.items() if count is not None}

"""Disks that only one pod may have: a disk that is mounted for writing on a node, and claims of the access mode
ReadWriteOncePod."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import CycleState, FilterPlugin, PreFilterPlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, unschedulable
from control_plane.scheduler.volumes import binding

DISK_CONFLICT = unschedulable("node(s) had no available disk")
CLAIM_CONFLICT = unschedulable(
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
)
ONE_POD = "ReadWriteOncePod"

# volume source: what names the disk, and whether two readers may share it
DISKS: dict[str, tuple[tuple[str, ...], bool]] = {
    "gcePersistentDisk": (("pdName",), True),
    "awsElasticBlockStore": (("volumeID",), False),
    "iscsi": (("iqn",), True),
    "rbd": (("pool", "image"), True),
}
SERVERS = "monitors"  # of a disk that several serve: the same one when they have one in common


@dataclass(slots=True)
class _State:
    """`held`: on which nodes a claim for one pod is used by another, and by how many."""

    claims: frozenset[str]
    held: dict[str, int] = field(default_factory=dict)


class VolumeRestrictions(PreFilterPlugin, FilterPlugin):
    name = "VolumeRestrictions"

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | None:
        exclusive = frozenset(
            name for name, _ in binding.claim_names(pod.pod) if self._is_exclusive(pod.namespace, name)
        )
        if not exclusive and not any(_disks(pod.pod)):
            return SKIP
        mine = state[self.name] = _State(exclusive)
        if exclusive:
            for node in self.handle.nodes.all():
                for other in node.pods.values():
                    self._count(mine, pod, other, node, 1)
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node: NodeInfo) -> None:
        if (mine := state.get(self.name)) is not None:
            self._count(mine, pod, added, node, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node: NodeInfo) -> None:
        if (mine := state.get(self.name)) is not None:
            self._count(mine, pod, removed, node, -1)

    def copy_state(self, data: _State) -> _State:
        return _State(data.claims, dict(data.held))

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        wanted = list(_disks(pod.pod))
        if wanted:
            for other in node.pods.values():
                if any(one.conflicts(two) for one in wanted for two in _disks(other.pod)):
                    return DISK_CONFLICT
        mine: _State = state[self.name]
        return CLAIM_CONFLICT if any(mine.held.values()) else None

    def interests(self) -> Sequence[Interest]:
        return (
            Interest(ClusterEvent(Kind.ASSIGNED_POD, Action.DELETE)),
            Interest(ClusterEvent(Kind.NODE, Action.ADD)),
            Interest(ClusterEvent(Kind.PERSISTENT_VOLUME_CLAIM, Action.ADD | Action.UPDATE_OTHER)),
        )

    def _is_exclusive(self, namespace: str, name: str) -> bool:
        claim = self.handle.storage.claim(namespace, name)
        return claim is not None and ONE_POD in (claim["spec"].get("accessModes") or ())

    def _count(self, mine: _State, pod: PodInfo, other: PodInfo, node: NodeInfo, change: int) -> None:
        if other.namespace != pod.namespace or other.uid == pod.uid:
            return
        used = sum(name in mine.claims for name, _ in binding.claim_names(other.pod))
        if used:
            mine.held[node.name] = mine.held.get(node.name, 0) + change * used


@dataclass(frozen=True, slots=True)
class _Disk:
    source: str
    names: tuple[object, ...]
    servers: frozenset[str]
    read_only: bool

    def conflicts(self, other: _Disk) -> bool:
        if (self.source, self.names) != (other.source, other.names):
            return False
        if self.servers and not self.servers & other.servers:
            return False
        return not (DISKS[self.source][1] and self.read_only and other.read_only)


def _disks(pod: Obj) -> Iterator[_Disk]:
    for volume in pod["spec"].get("volumes") or ():
        for source, (keys, _) in DISKS.items():
            if disk := volume.get(source):
                names = tuple(disk.get(key) for key in keys)
                yield _Disk(source, names, frozenset(disk.get(SERVERS) or ()), bool(disk.get("readOnly")))

"""What happens in the cluster, as far as it can make an unschedulable pod schedulable.

A plugin that rejects pods says which events may change its mind, and may judge each event for each pod (a
queueing hint): False means "this one does not help".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag, StrEnum

from control_plane.client.types import Obj
from control_plane.scheduler.framework.pod_info import PodInfo


class Kind(StrEnum):
    NODE = "Node"
    ASSIGNED_POD = "AssignedPod"
    UNSCHEDULED_POD = "UnscheduledPod"
    NAMESPACE = "Namespace"
    PERSISTENT_VOLUME_CLAIM = "PersistentVolumeClaim"
    PERSISTENT_VOLUME = "PersistentVolume"
    STORAGE_CLASS = "StorageClass"
    CSI_NODE = "CSINode"
    CSI_DRIVER = "CSIDriver"
    VOLUME_ATTACHMENT = "VolumeAttachment"
    CSI_STORAGE_CAPACITY = "CSIStorageCapacity"
    RESOURCE_CLAIM = "ResourceClaim"
    RESOURCE_SLICE = "ResourceSlice"
    DEVICE_CLASS = "DeviceClass"
    ANY = "*"


class Action(IntFlag):
    ADD = 1
    DELETE = 2
    UPDATE_NODE_ALLOCATABLE = 4
    UPDATE_NODE_LABEL = 8
    UPDATE_NODE_TAINT = 16
    UPDATE_NODE_CONDITION = 32
    UPDATE_NODE_ANNOTATION = 64
    UPDATE_POD_LABEL = 128
    UPDATE_POD_SCALE_DOWN = 256
    UPDATE_POD_OTHER = 512
    UPDATE_OTHER = 1024
    UPDATE_NODE_FEATURES = 2048
    ALL = 4095


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    kind: Kind
    action: Action
    label: str = ""

    def covers(self, other: ClusterEvent) -> bool:
        """Registered for this, is one interested in the other?"""
        return (self.kind is Kind.ANY or self.kind is other.kind) and bool(self.action & other.action)


# (pod that waits, object before, object after) -> may it help?
Hint = Callable[[PodInfo, Obj | None, Obj | None], bool]


@dataclass(frozen=True, slots=True)
class Interest:
    """A plugin's: this event, if the hint agrees."""

    event: ClusterEvent
    hint: Hint | None = None


EVERYTHING = ClusterEvent(Kind.ANY, Action.ALL)

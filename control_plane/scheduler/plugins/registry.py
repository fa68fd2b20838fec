"""Every plugin that a profile can name, and the default profile: the one place to read which there are.

Order is the order of calls at each extension point; the weights are those of kube-scheduler's default
(MultiPoint). What is ours alone (gangs, data, interference, deadlines) skips every pod that does not ask for it, so
that placement is kube-scheduler's otherwise.
"""

from __future__ import annotations

from control_plane.scheduler.framework.interface import Plugin
from control_plane.scheduler.plugins.data_locality import DataLocality
from control_plane.scheduler.plugins.deadline_preemption import DeadlinePreemption
from control_plane.scheduler.plugins.default_binder import DefaultBinder
from control_plane.scheduler.plugins.default_preemption import DefaultPreemption
from control_plane.scheduler.plugins.dynamic_resources import DynamicResources
from control_plane.scheduler.plugins.gang_scheduling import GangScheduling
from control_plane.scheduler.plugins.image_locality import ImageLocality
from control_plane.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from control_plane.scheduler.plugins.interference import Interference
from control_plane.scheduler.plugins.node_affinity import NodeAffinityPlugin
from control_plane.scheduler.plugins.node_declared_features import NodeDeclaredFeatures
from control_plane.scheduler.plugins.node_name import NodeName
from control_plane.scheduler.plugins.node_ports import NodePorts
from control_plane.scheduler.plugins.node_resources_balanced_allocation import NodeResourcesBalancedAllocation
from control_plane.scheduler.plugins.node_resources_fit import NodeResourcesFit
from control_plane.scheduler.plugins.node_unschedulable import NodeUnschedulable
from control_plane.scheduler.plugins.node_volume_limits import NodeVolumeLimits
from control_plane.scheduler.plugins.pod_topology_spread import PodTopologySpread
from control_plane.scheduler.plugins.priority_sort import PrioritySort
from control_plane.scheduler.plugins.scheduling_gates import SchedulingGates
from control_plane.scheduler.plugins.taint_toleration import TaintToleration
from control_plane.scheduler.plugins.volume_binding import VolumeBinding
from control_plane.scheduler.plugins.volume_restrictions import VolumeRestrictions
from control_plane.scheduler.plugins.volume_zone import VolumeZone

# plugin and, where it scores, its default weight
DEFAULT_PLUGINS: tuple[tuple[type[Plugin], int], ...] = (
    (SchedulingGates, 0),
    (PrioritySort, 0),
    (NodeUnschedulable, 0),
    (NodeName, 0),
    (TaintToleration, 3),
    (NodeAffinityPlugin, 2),
    (NodePorts, 0),
    (NodeResourcesFit, 1),
    (VolumeRestrictions, 0),
    (NodeVolumeLimits, 0),
    (VolumeBinding, 0),
    (VolumeZone, 0),
    (Interference, 2),
    (PodTopologySpread, 2),
    (InterPodAffinity, 2),
    (DynamicResources, 0),
    (DefaultPreemption, 0),
    (DeadlinePreemption, 0),
    (GangScheduling, 0),
    (NodeResourcesBalancedAllocation, 1),
    (ImageLocality, 1),
    (DataLocality, 2),
    (DefaultBinder, 0),
    (NodeDeclaredFeatures, 0),
)

PLUGINS: dict[str, type[Plugin]] = {plugin.name: plugin for plugin, _ in DEFAULT_PLUGINS}

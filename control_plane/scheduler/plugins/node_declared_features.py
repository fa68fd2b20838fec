"""A pod that needs a feature of the node runs only where the node declares it (KEP-5328): versions of nodes may
differ. What needs one is a table; everything else skips this plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from control_plane.client.types import Obj
from control_plane.scheduler.framework.events import Action, ClusterEvent, Interest, Kind
from control_plane.scheduler.framework.interface import CycleState, FilterPlugin, PreFilterPlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.framework.status import SKIP, Status, unresolvable

UNSATISFIED = "node declared features check failed - unsatisfied requirements: "


def _restarts_all(spec: Obj) -> bool:
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    rules = (rule for container in containers for rule in container.get("restartPolicyRules") or ())
    return any(rule.get("action") == "RestartAllContainers" for rule in rules)


def _maps_users_on_the_host_network(spec: Obj) -> bool:
    return bool(spec.get("hostNetwork")) and spec.get("hostUsers") is False


FEATURES: dict[str, Callable[[Obj], bool]] = {
    "RestartAllContainersOnContainerExits": _restarts_all,
    "UserNamespacesHostNetworkSupport": _maps_users_on_the_host_network,
}


class NodeDeclaredFeatures(PreFilterPlugin, FilterPlugin):
    name = "NodeDeclaredFeatures"

    def pre_filter(self, state: CycleState, pod: PodInfo) -> Status | None:
        spec = pod.pod.get("spec") or {}
        needed = [name for name, is_needed in FEATURES.items() if is_needed(spec)]
        if not needed:
            return SKIP
        state[self.name] = needed
        return None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        declared = ((node.node or {}).get("status") or {}).get("declaredFeatures") or ()
        missing = [name for name in state[self.name] if name not in declared]
        return unresolvable(UNSATISFIED + ", ".join(missing)) if missing else None

    def interests(self) -> Sequence[Interest]:
        changed = Action.ADD | Action.UPDATE_NODE_FEATURES
        return (Interest(ClusterEvent(Kind.NODE, changed)),)

"""node-lifecycle: a node whose agent has fallen silent becomes Unknown, and its pods unready; conditions become
taints, which the scheduler and the taint-eviction loop act on.

Silence is measured on this process's clock from when a heartbeat (Lease or status) was last seen to change, so that
clocks of other machines do not matter. The NoExecute taint, which moves pods away, comes as fast as the node's zone
allows (`node_zones`); everything else at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_conflict, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import LEASES, NODES, PODS
from control_plane.controllers import pods
from control_plane.controllers.context import NORMAL, WARNING, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.node_zones import Zones

LEASE_NAMESPACE = "kube-node-lease"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
CONDITION_TAINTS: Mapping[str, Mapping[str, str]] = {
    "Ready": {"False": NOT_READY, "Unknown": UNREACHABLE},
    "MemoryPressure": {"True": "node.kubernetes.io/memory-pressure"},
    "DiskPressure": {"True": "node.kubernetes.io/disk-pressure"},
    "PIDPressure": {"True": "node.kubernetes.io/pid-pressure"},
    "NetworkUnavailable": {"True": "node.kubernetes.io/network-unavailable"},
}
WATCHED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
OURS = frozenset(taint for taints in CONDITION_TAINTS.values() for taint in taints.values()) | {UNSCHEDULABLE}
SILENT = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
NEVER_SPOKE = ("NodeStatusNeverUpdated", "Kubelet never posted node status.")


@dataclass(slots=True)
class Heartbeat:
    """What was last seen of an agent, and when it last differed from before."""

    seen: tuple[str, str]  # the lease's renewTime, the Ready condition's lastHeartbeatTime
    since: float


def observe(before: Heartbeat | None, node: Object, lease: Object | None, now: float) -> Heartbeat:
    ready = meta.condition(node, "Ready") or {}
    seen = (meta.nested(lease or {}, "spec", "renewTime", default=""), ready.get("lastHeartbeatTime", ""))
    return before if before is not None and before.seen == seen else Heartbeat(seen, now)


def silenced(node: Object, now: float) -> list[Object] | None:
    """The conditions of a node that has not been heard for the grace period; None when they say so already."""
    conditions = list(meta.nested(node, "status", "conditions", default=()))
    stamp, changed = meta.rfc3339(now), False
    for type_ in WATCHED_CONDITIONS:
        current = next((each for each in conditions if each["type"] == type_), None)
        if current is not None and current["status"] == "Unknown":
            continue
        changed = True
        reason, message = SILENT if current else NEVER_SPOKE
        unknown = {
            "type": type_,
            "status": "Unknown",
            "reason": reason,
            "message": message,
            "lastTransitionTime": stamp,
        }
        unknown["lastHeartbeatTime"] = (current or {}).get("lastHeartbeatTime") or stamp
        conditions = [each for each in conditions if each["type"] != type_] + [unknown]
    return conditions if changed else None


def evicting(node: Object) -> bool:
    """It has one of the taints that move pods away."""
    return any(
        taint["key"] in (NOT_READY, UNREACHABLE) and taint["effect"] == "NoExecute"
        for taint in meta.nested(node, "spec", "taints", default=())
    )


def wanted_taints(node: Object, now: float, evict: bool = True) -> list[Object]:
    """The node's taints as its conditions want them: others stay, ours keep the time they were added. `evict`: with
    NoExecute."""
    keys: dict[tuple[str, str], None] = {}
    for condition in meta.nested(node, "status", "conditions", default=()):
        key = CONDITION_TAINTS.get(condition["type"], {}).get(condition["status"])
        if key is not None:
            keys[key, "NoSchedule"] = None
            if condition["type"] == "Ready" and evict:
                keys[key, "NoExecute"] = None
    if meta.nested(node, "spec", "unschedulable"):
        keys[UNSCHEDULABLE, "NoSchedule"] = None
    current = list(meta.nested(node, "spec", "taints", default=()))
    kept = [each for each in current if each["key"] not in OURS or (each["key"], each["effect"]) in keys]
    have = {(each["key"], each["effect"]) for each in kept}
    return kept + [_taint(key, effect, now) for key, effect in keys if (key, effect) not in have]


def _taint(key: str, effect: str, now: float) -> Object:
    taint = {"key": key, "effect": effect}
    return {**taint, "timeAdded": meta.rfc3339(now)} if effect == "NoExecute" else taint


class NodeLifecycleController(Controller):
    name = "node-lifecycle"
    source = "node-controller"
    account = "node-controller"
    workers: ClassVar[int] = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer(NODES)
        self.pods = self.informer(PODS)
        self.leases = self.informer(
            LEASES
        )  # of all namespaces: so the garbage collector needs no watch of its own
        pods.index_by_node(self.pods)
        self.heartbeats: dict[str, Heartbeat] = {}
        self.zones = Zones(context.options)
        self.nodes.add_handler(self._node_seen, lambda _, new: self._node_seen(new), self._node_gone)
        self.leases.add_handler(self._heard, lambda _, new: self._heard(new))

    async def reconcile(self, key: str) -> float | None:
        node = named(self.nodes, key)
        if node is None:
            self.heartbeats.pop(key, None)
            return None
        now, options = self.context.now(), self.context.options
        heartbeat = observe(self.heartbeats.get(key), node, self.leases.get(LEASE_NAMESPACE, key), now)
        self.heartbeats[key] = heartbeat
        if now - heartbeat.since >= options.node_monitor_grace_period_s:
            node = await self._silence(node, now) or node
            self.zones.observe(node)
        await self._taint(node, now)
        if meta.condition_is_true(node, "Ready"):
            silent_s = heartbeat.since + options.node_monitor_grace_period_s - now
            return max(options.node_monitor_period_s, silent_s)
        await self._unready_pods(key, now)
        return options.node_monitor_period_s

    async def _silence(self, node: Object, now: float) -> Object | None:
        conditions = silenced(node, now)
        if conditions is None:
            return None
        self.record(node, NORMAL, "NodeNotReady", f"Node {meta.name_of(node)} status is now: NodeNotReady")
        status: dict[str, Any] = {**(node.get("status") or {}), "conditions": conditions}
        return await self.client.update(NODES, {**node, "status": status}, "status")

    async def _taint(self, node: Object, now: float) -> None:
        healthy = meta.condition_is_true(node, "Ready")
        marked = evicting(node) and not self.zones.all_disrupted
        evict = not healthy and (marked or self.zones.may_evict(node, now))
        taints = wanted_taints(node, now, evict)
        if taints != list(meta.nested(node, "spec", "taints", default=())):
            await self.client.update(NODES, {**node, "spec": {**node.get("spec", {}), "taints": taints}})

    def _node_seen(self, node: Object) -> None:
        self.zones.observe(node)
        self.enqueue(node)

    def _heard(self, lease: Object) -> None:
        """Thousands of nodes are heard of many times before one of them has to be looked at."""
        name = meta.name_of(lease)
        if meta.namespace_of(lease) == LEASE_NAMESPACE and (node := named(self.nodes, name)) is not None:
            self.heartbeats[name] = observe(self.heartbeats.get(name), node, lease, self.context.now())

    def _node_gone(self, node: Object) -> None:
        self.zones.forget(meta.name_of(node))
        self.enqueue(node)

    async def _unready_pods(self, node: str, now: float) -> None:
        """Pods on a node that is not ready take no traffic."""
        ready = [pod for pod in self.pods.by_index(pods.BY_NODE, node) if pods.is_ready(pod)]
        await asyncio.gather(*(self._unready(pod, now) for pod in ready))

    async def _unready(self, pod: Object, now: float) -> None:
        ready = {"type": "Ready", "status": "False", "lastTransitionTime": meta.rfc3339(now)}
        patch = {
            "metadata": {"uid": meta.uid_of(pod), "resourceVersion": meta.resource_version_of(pod)},
            "status": {"conditions": [ready]},
        }
        try:
            await self.client.patch(
                PODS, meta.name_of(pod), patch, meta.namespace_of(pod), "strategic", "status"
            )
        except StatusError as error:
            if not (is_not_found(error) or is_conflict(error)):
                raise
            return
        self.record(pod, WARNING, "NodeNotReady", "Node is not ready")

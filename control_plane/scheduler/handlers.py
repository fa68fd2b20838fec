"""From what the informers tell to the cache and the queue.

pod without a node, for one of our schedulers     → queue
pod on a node                                     → cache (confirms what was assumed)
pod finished (leaves the watch's selection)       → as if deleted
node, namespace                                   → cache; events for those who wait
"""

from __future__ import annotations

from collections.abc import Callable, Container

from control_plane.api import meta
from control_plane.client.informer import Informer
from control_plane.client.types import Obj
from control_plane.scheduler.cache import Cache
from control_plane.scheduler.framework.annotations import group_of
from control_plane.scheduler.framework.events import Action, ClusterEvent, Kind
from control_plane.scheduler.framework.pod_info import DEFAULT_SCHEDULER_NAME, PodInfo, pod_info
from control_plane.scheduler.nominator import Nominator
from control_plane.scheduler.queue import SchedulingQueue

Waiting = Callable[[str], None]


class Handlers:
    def __init__(
        self,
        cache: Cache,
        queue: SchedulingQueue,
        nominator: Nominator,
        schedulers: Container[str],
        on_gone: Waiting,
        on_pending: Callable[[PodInfo], None] = lambda _: None,
    ) -> None:
        """`on_gone` is told the uid of a pod that needs no node any more: it may be waiting for a permit."""
        self._cache = cache
        self._queue = queue
        self._nominator = nominator
        self._schedulers = schedulers
        self._on_gone = on_gone
        self._on_pending = on_pending

    def attach(self, pods: Informer, nodes: Informer, namespaces: Informer) -> None:
        """Nodes first: then the first pods find them."""
        nodes.add_handler(self.node_added, self.node_updated, self.node_deleted)
        pods.add_handler(self.pod_added, self.pod_updated, self.pod_deleted)
        namespaces.add_handler(on_update=self.namespace_updated)

    # ---- pods

    def pod_added(self, obj: Obj) -> None:
        if _node_of(obj):
            self._cache.add_pod(pod_info(obj))
            self._queue.happened(ClusterEvent(Kind.ASSIGNED_POD, Action.ADD), None, obj)
        elif self._ours(obj):
            self._wait(pod_info(obj))
            if group_of(obj) is not None:  # nobody else waits for pods that have no node
                self._queue.happened(ClusterEvent(Kind.UNSCHEDULED_POD, Action.ADD), None, obj)

    def pod_updated(self, old: Obj, new: Obj) -> None:
        if not _node_of(new):
            if self._ours(new):
                self._pending_updated(old, new)
            return
        if not _node_of(old):
            self._bound(new)
        elif _decides(old) != _decides(new):
            known, pod = self._cache.pod(meta.uid_of(new)), pod_info(new)
            self._cache.add_pod(pod)
            if action := _pod_changes(known or pod_info(old), pod):
                self._queue.happened(ClusterEvent(Kind.ASSIGNED_POD, action), old, new)

    def pod_deleted(self, obj: Obj) -> None:
        uid = meta.uid_of(obj)
        self._nominator.forget(uid)
        if _node_of(obj):
            self._cache.remove_pod(uid)
            self._queue.happened(ClusterEvent(Kind.ASSIGNED_POD, Action.DELETE), obj, None)
        elif self._ours(obj):
            self._queue.delete(uid)
            self._on_gone(uid)

    def _bound(self, obj: Obj) -> None:
        uid = meta.uid_of(obj)
        self._nominator.forget(uid)
        if not self._cache.is_assumed(uid):
            self._queue.delete(uid)
        self._cache.add_pod(pod_info(obj))
        self._queue.happened(ClusterEvent(Kind.ASSIGNED_POD, Action.ADD), None, obj)

    def _pending_updated(self, old: Obj, new: Obj) -> None:
        """A promise that the status does not tell of yet stands; one that was taken back there does not."""
        uid = meta.uid_of(new)
        if self._cache.is_assumed(uid):
            return  # its binding is under way
        if _promised(old) != _promised(new):
            self._nominator.forget(uid)
        self._wait(pod_info(new), update=True)

    def _wait(self, pod: PodInfo, update: bool = False) -> None:
        if pod.terminating:
            self._queue.delete(pod.uid)
            return
        self._on_pending(pod)
        if node_name := self._nominator.node_of(pod.uid) or pod.nominated_node:
            self._nominator.nominate(pod, node_name)
        if update:
            self._queue.update(pod)
        else:
            self._queue.add(pod)

    def _ours(self, obj: Obj) -> bool:
        return (obj["spec"].get("schedulerName") or DEFAULT_SCHEDULER_NAME) in self._schedulers

    # ---- nodes and namespaces

    def node_added(self, obj: Obj) -> None:
        self._cache.set_node(obj)
        self._queue.happened(ClusterEvent(Kind.NODE, Action.ADD), None, obj)

    def node_updated(self, old: Obj, new: Obj) -> None:
        """Heartbeats change nothing that matters here."""
        action = _node_changes(old, new)
        if not action and old["status"].get("images") == new["status"].get("images"):
            return
        self._cache.set_node(new)
        if action:
            self._queue.happened(ClusterEvent(Kind.NODE, action), old, new)

    def node_deleted(self, obj: Obj) -> None:
        self._cache.remove_node(meta.name_of(obj))
        self._queue.happened(ClusterEvent(Kind.NODE, Action.DELETE), obj, None)

    def namespace_updated(self, old: Obj, new: Obj) -> None:
        if meta.labels(old) != meta.labels(new):
            self._queue.happened(ClusterEvent(Kind.NAMESPACE, Action.UPDATE_OTHER), old, new)


def _node_of(obj: Obj) -> str:
    name: str = obj["spec"].get("nodeName") or ""
    return name


def _promised(obj: Obj) -> str:
    node_name: str = (obj.get("status") or {}).get("nominatedNodeName") or ""
    return node_name


def _decides(obj: Obj) -> tuple[object, ...]:
    """What of a pod on a node matters to others."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    return (
        obj["spec"],
        metadata.get("labels"),
        metadata.get("deletionTimestamp"),
        status.get("containerStatuses"),
        status.get("initContainerStatuses"),
        status.get("resources"),
        status.get("allocatedResources"),
        status.get("conditions"),
        status.get("startTime"),
    )


def _pod_changes(old: PodInfo, new: PodInfo) -> Action:
    action = Action(0)
    if old.labels != new.labels:
        action |= Action.UPDATE_POD_LABEL
    if old.requests != new.requests:
        action |= Action.UPDATE_POD_SCALE_DOWN
    return action


def _node_changes(old: Obj, new: Obj) -> Action:
    action = Action(0)
    if old["status"].get("allocatable") != new["status"].get("allocatable"):
        action |= Action.UPDATE_NODE_ALLOCATABLE
    if meta.labels(old) != meta.labels(new):
        action |= Action.UPDATE_NODE_LABEL
    if old["spec"] != new["spec"]:
        action |= Action.UPDATE_NODE_TAINT
    if _conditions(old) != _conditions(new):
        action |= Action.UPDATE_NODE_CONDITION
    if meta.annotations(old) != meta.annotations(new):
        action |= Action.UPDATE_NODE_ANNOTATION
    if old["status"].get("declaredFeatures") != new["status"].get("declaredFeatures"):
        action |= Action.UPDATE_NODE_FEATURES
    return action


def _conditions(obj: Obj) -> dict[str, str]:
    return {each["type"]: each["status"] for each in obj["status"].get("conditions") or ()}

"""taint-eviction: deletes pods from nodes with NoExecute taints that they do not tolerate, or no longer do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import NODES, PODS
from control_plane.controllers import pods
from control_plane.controllers.context import NORMAL, Context
from control_plane.controllers.controller import Controller, named

NO_EXECUTE = "NoExecute"


def tolerates(toleration: Object, taint: Object) -> bool:
    """Kubernetes' rule: an empty key with Exists tolerates every taint, an empty effect every effect."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def evict_at(pod: Object, taints: Sequence[Object], now: float) -> float | None:
    """When the pod must go: now at the earliest, None for never."""
    tolerations = meta.nested(pod, "spec", "tolerations", default=())
    deadline = math.inf
    for taint in (each for each in taints if each.get("effect") == NO_EXECUTE):
        matching = [each for each in tolerations if tolerates(each, taint)]
        if not matching:
            return now
        added = meta.parse_time(taint.get("timeAdded")) or now
        deadline = min(deadline, added + _patience_s(matching))
    return None if deadline == math.inf else max(deadline, now)


def _patience_s(tolerations: Iterable[Object]) -> float:
    limits = [
        max(float(each["tolerationSeconds"]), 0.0)
        for each in tolerations
        if each.get("tolerationSeconds") is not None
    ]
    return min(limits, default=math.inf)


class TaintEvictionController(Controller):
    name = "taint-eviction"
    account = "taint-eviction-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer(NODES)
        self.pods = self.informer(PODS)
        pods.index_by_node(self.pods)
        self.pods.add_handler(on_add=self.enqueue, on_update=self._pod_changed)
        self.nodes.add_handler(on_update=self._node_changed)

    async def reconcile(self, key: str) -> float | None:
        pod = named(self.pods, key)
        node = self.nodes.get("", meta.nested(pod or {}, "spec", "nodeName", default=""))
        if pod is None or node is None or meta.is_deleting(pod):
            return None
        now = self.context.now()
        at = evict_at(pod, meta.nested(node, "spec", "taints", default=()), now)
        if at is None:
            return None
        if at > now:
            return at - now
        await self._evict(pod)
        return None

    async def _evict(self, pod: Object) -> None:
        self.record(pod, NORMAL, "TaintManagerEviction", f"Marking for deletion Pod {meta.key_of(pod)}")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": meta.rfc3339(self.context.now()),
        }
        uid, name, namespace = meta.uid_of(pod), meta.name_of(pod), meta.namespace_of(pod)
        patch = {"metadata": {"uid": uid}, "status": {"conditions": [condition]}}
        try:
            await self.client.patch(PODS, name, patch, namespace, "strategic", "status")
            await self.client.delete(PODS, name, namespace, uid=uid)
        except StatusError as error:
            if not is_not_found(error):
                raise

    def _pod_changed(self, old: Object, new: Object) -> None:
        moved = meta.nested(old, "spec", "nodeName") != meta.nested(new, "spec", "nodeName")
        if moved or meta.nested(old, "spec", "tolerations") != meta.nested(new, "spec", "tolerations"):
            self.enqueue(new)

    def _node_changed(self, old: Object, new: Object) -> None:
        if meta.nested(old, "spec", "taints") != meta.nested(new, "spec", "taints"):
            for pod in self.pods.by_index(pods.BY_NODE, meta.name_of(new)):
                self.enqueue(pod)

"""taint-eviction: deletes pods from nodes with NoExecute taints that they do not tolerate, or no longer do.

How long a taint is tolerated counts from when it was added, so that a restart of the loop gives nobody more
time; where the taint does not say, from when this loop saw it first. A taint that goes, or a toleration that comes,
calls the eviction off, since the pod is looked at again when it is due.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.gvr import NODES, PODS
from control_plane.controllers import pods
from control_plane.controllers.context import NORMAL, Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.eviction import evict

NO_EXECUTE = "NoExecute"

Identity = tuple[str, str]


def tolerates(toleration: Object, taint: Object) -> bool:
    """Kubernetes' rule: an empty key with Exists tolerates every taint, an empty effect every effect."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def identity(taint: Object) -> Identity:
    return taint["key"], taint.get("value", "")


def evict_at(
    tolerations: Sequence[Object],
    taints: Iterable[Object],
    now: float,
    seen: Mapping[Identity, float] | None = None,
) -> float | None:
    """When who tolerates so much must go: now at the earliest, None for never. `seen`: since when each taint is
    known, for those that do not say when they were added."""
    deadline = math.inf
    for taint in (each for each in taints if each.get("effect") == NO_EXECUTE):
        matching = [each for each in tolerations if tolerates(each, taint)]
        if not matching:
            return now
        added = meta.parse_time(taint.get("timeAdded")) or (seen or {}).get(identity(taint), now)
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
        self._seen: dict[str, dict[Identity, float]] = {}  # by node: bounded by the taints there are
        self.pods.add_handler(on_add=self.enqueue, on_update=self._pod_changed)
        self.nodes.add_handler(
            on_add=self._node_seen,
            on_update=self._node_changed,
            on_delete=self._node_gone,
        )

    async def reconcile(self, key: str) -> float | None:
        pod = named(self.pods, key)
        node = self.nodes.get("", meta.nested(pod or {}, "spec", "nodeName", default=""))
        if pod is None or node is None or meta.is_deleting(pod):
            return None
        now = self.context.now()
        tolerations, taints = (
            meta.nested(each, "spec", key, default=())
            for each, key in ((pod, "tolerations"), (node, "taints"))
        )
        at = evict_at(tolerations, taints, now, self._seen.get(meta.name_of(node)))
        if at is None:
            return None
        if at > now:
            return at - now
        self.record(pod, NORMAL, "TaintManagerEviction", f"Marking for deletion Pod {meta.key_of(pod)}")
        reason = ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
        await evict(self.client, pod, *reason, now)
        return None

    def _pod_changed(self, old: Object, new: Object) -> None:
        moved = meta.nested(old, "spec", "nodeName") != meta.nested(new, "spec", "nodeName")
        if moved or meta.nested(old, "spec", "tolerations") != meta.nested(new, "spec", "tolerations"):
            self.enqueue(new)

    def _node_changed(self, old: Object, new: Object) -> None:
        if meta.nested(old, "spec", "taints") != meta.nested(new, "spec", "taints"):
            self._node_seen(new)

    def _node_gone(self, node: Object) -> None:
        self._seen.pop(meta.name_of(node), None)

    def _node_seen(self, node: Object) -> None:
        name, now = meta.name_of(node), self.context.now()
        known = self._seen.get(name, {})
        taints = meta.nested(node, "spec", "taints", default=())
        self._seen[name] = {identity(each): known.get(identity(each), now) for each in taints}
        for pod in self.pods.by_index(pods.BY_NODE, name):
            self.enqueue(pod)

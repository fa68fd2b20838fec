"""pod-garbage-collector: deletes pods that nobody else will.

Finished pods above the threshold (oldest first), pods bound to a node that is gone, pods that were deleted before
they were scheduled, and pods on a node that is out of service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import NODES, PODS
from control_plane.controllers import pods
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller

PERIOD_S = 20.0
NODE_GONE_QUARANTINE_S = 40.0
OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service"
SWEEP = "sweep"


def excess_finished(all_pods: Iterable[Object], threshold: int) -> list[Object]:
    """Finished pods above the threshold, oldest first; a threshold of 0 or less keeps all."""
    if threshold <= 0:
        return []
    finished = [pod for pod in all_pods if pods.is_finished(pod) and not meta.is_deleting(pod)]
    finished.sort(key=lambda pod: (meta.metadata(pod).get("creationTimestamp", ""), meta.name_of(pod)))
    return finished[: max(len(finished) - threshold, 0)]


def never_scheduled(all_pods: Iterable[Object]) -> list[Object]:
    return [pod for pod in all_pods if meta.is_deleting(pod) and not meta.nested(pod, "spec", "nodeName")]


def on_missing_nodes(all_pods: Iterable[Object], nodes: Collection[str]) -> list[Object]:
    bound = ((pod, meta.nested(pod, "spec", "nodeName")) for pod in all_pods)
    return [pod for pod, node in bound if node and node not in nodes]


def out_of_service(all_pods: Iterable[Object], nodes: Sequence[Object]) -> list[Object]:
    """Pods that are being deleted on nodes that an administrator declared dead."""
    dead = {
        meta.name_of(node)
        for node in nodes
        if not meta.condition_is_true(node, "Ready")
        and any(
            taint["key"] == OUT_OF_SERVICE_TAINT for taint in meta.nested(node, "spec", "taints", default=())
        )
    }
    return [pod for pod in all_pods if meta.is_deleting(pod) and meta.nested(pod, "spec", "nodeName") in dead]


class PodGarbageCollector(Controller):
    name = "pod-garbage-collector"
    account = "pod-garbage-collector"
    workers: ClassVar[int] = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.informer(PODS)
        self.nodes = self.informer(NODES)
        self.missing_since: dict[str, float] = {}
        self.queue.add(SWEEP)
        self.nodes.add_handler(on_delete=lambda _: self.queue.add_after(SWEEP, NODE_GONE_QUARANTINE_S))

    async def reconcile(self, key: str) -> float:
        everything = self.pods.list()
        threshold = self.context.options.terminated_pod_gc_threshold
        for pod in excess_finished(everything, threshold):
            await self._delete(pod)
        for pod in (*never_scheduled(everything), *out_of_service(everything, self.nodes.list())):
            await self._delete(pod)
        for pod in on_missing_nodes(everything, await self._present(everything)):
            await self._delete(pod, because=f"node {pod['spec']['nodeName']} does not exist")
        return PERIOD_S

    async def _present(self, everything: Iterable[Object]) -> set[str]:
        """Nodes that are there, or have not been missing for long. One that the informer lacks is asked for."""
        known = {meta.name_of(node) for node in self.nodes.list()}
        missing = {pod["spec"]["nodeName"] for pod in on_missing_nodes(everything, known)}
        now = self.context.now()
        self.missing_since = {node: self.missing_since.get(node, now) for node in missing}
        young = {node for node, since in self.missing_since.items() if now - since < NODE_GONE_QUARANTINE_S}
        answers = await asyncio.gather(*(self._exists(node) for node in missing - young))
        return known | young | {node for node, exists in zip(missing - young, answers, strict=True) if exists}

    async def _exists(self, node: str) -> bool:
        try:
            await self.client.get(NODES, node)
        except StatusError as error:
            return not is_not_found(error)
        return True

    async def _delete(self, pod: Object, because: str = "") -> None:
        name, namespace, uid = meta.name_of(pod), meta.namespace_of(pod), meta.uid_of(pod)
        try:
            if because and not pods.is_finished(pod):
                await self._fail(pod, because)
            await self.client.delete(PODS, name, namespace, uid=uid, grace_period_s=0)
        except StatusError as error:
            if not is_not_found(error):
                raise

    async def _fail(self, pod: Object, because: str) -> None:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": f"PodGC: {because}",
            "lastTransitionTime": meta.rfc3339(self.context.now()),
        }
        patch = {
            "metadata": {"uid": meta.uid_of(pod)},
            "status": {"phase": "Failed", "conditions": [condition]},
        }
        await self.client.patch(PODS, meta.name_of(pod), patch, meta.namespace_of(pod), "strategic", "status")

"""The pods of all hollow nodes: one watch, one queue, a few writers.

Each pod's key comes up when its object changes or its next step is due; then it is moved on (`pod.step`) and
what it has become is written: a status patch, or at the end the deletion. Several steps between two writes
are one write.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_conflict, is_not_found
from control_plane.client import gvr
from control_plane.client.client import Client
from control_plane.client.informer import InformerFactory
from control_plane.client.workers import run_workers
from control_plane.client.workqueue import WorkQueue
from node.agent.pod_spec import Obj, is_deleting, namespace, uid
from node.hollow import behaviour, pod, slim
from node.hollow.behaviour import Defaults
from node.hollow.pod import HollowPod, Stage

ASSIGNED = "spec.nodeName!="
WRITERS = 16
MAX_RETRY_S = 5.0
SILENT_CHECK_S = 1.0  # how often a pod of a silent node asks whether it may speak again
POD_ADDRESSES = ipaddress.ip_network("100.64.0.0/10")  # shared address space: nothing answers there


class HollowPods:
    def __init__(
        self,
        client: Client,
        informers: InformerFactory,
        address_of: Callable[[str], str | None],
        is_silent: Callable[[str], bool],
        defaults: Defaults,
    ) -> None:
        """`address_of`: of a node by its name; None when it is not ours."""
        self._client = client
        self._address_of = address_of
        self._is_silent = is_silent
        self._defaults = defaults
        self._pods: dict[str, HollowPod] = {}  # by uid
        self._queue: WorkQueue[str] = WorkQueue(client.clock, max_delay_s=MAX_RETRY_S)
        self._informer = informers.informer(gvr.PODS, field_selector=ASSIGNED, transform=slim.pod)
        self._last_address = int(POD_ADDRESSES.network_address)

    def __len__(self) -> int:
        return len(self._pods)

    async def run(self) -> None:
        """Until cancelled."""
        await self._informer.wait_synced()
        self._resume_addresses()
        self._informer.add_handler(self._added, lambda _, new: self._updated(new), self._deleted)
        await run_workers(self._queue, self._reconcile, WRITERS, "hollow-pods")

    # ---- from the watch

    def _added(self, obj: Obj) -> None:
        host_ip = self._address_of(obj["spec"]["nodeName"])
        if host_ip is None:
            return
        now_s = self._client.clock.wall()
        made = pod.adopt(obj, behaviour.of(obj, self._defaults), now_s, self._next_address(), host_ip)
        made.deleted_s = now_s
        self._pods[uid(obj)] = made
        self._queue.add(uid(obj))

    def _updated(self, obj: Obj) -> None:
        """Our own writes come back here as well, and change nothing."""
        each = self._pods.get(uid(obj))
        if each is None:
            return
        began = is_deleting(obj) and not is_deleting(each.pod)
        if began:
            each.deleted_s = self._client.clock.wall()
        if began or _says(obj) != _says(each.pod):
            each.behaviour = behaviour.of(obj, self._defaults)
            each.version += 1
            self._queue.add(uid(obj))
        each.pod = obj

    def _deleted(self, obj: Obj) -> None:
        self._pods.pop(uid(obj), None)

    # ---- to the API

    async def _reconcile(self, key: str) -> float | None:
        each = self._pods.get(key)
        if each is None:
            return None
        if self._is_silent(each.pod["spec"]["nodeName"]):
            return SILENT_CHECK_S
        due_s = pod.step(each, self._client.clock.wall())
        if each.version != each.written:
            await self._write(each)
        return None if due_s is None else max(due_s - self._client.clock.wall(), 0.0)

    async def _write(self, each: HollowPod) -> None:
        version = each.version
        try:
            if each.stage is not Stage.GONE:
                await self._patch(each)
            else:
                await self._remove(each)
        except StatusError as error:
            if not is_not_found(error) and not _of_another(error):
                raise
        each.written = version

    async def _patch(self, each: HollowPod) -> None:
        metadata = each.pod["metadata"]
        patch = {"metadata": {"uid": metadata["uid"]}, "status": pod.status(each)}
        await self._client.patch(
            gvr.PODS, metadata["name"], patch, namespace(each.pod), "strategic", "status"
        )

    async def _remove(self, each: HollowPod) -> None:
        """Who put a finalizer on the pod wants to see how it ended before it goes."""
        metadata = each.pod["metadata"]
        if metadata.get("finalizers"):
            await self._patch(each)
        await self._client.delete(
            gvr.PODS, metadata["name"], namespace(each.pod), uid=metadata["uid"], grace_period_s=0
        )

    # ---- addresses

    def _resume_addresses(self) -> None:
        """After the highest that is in use: whoever ran before us gave them out in this order."""
        for obj in self._informer.list():
            text = (obj.get("status") or {}).get("podIP")
            if text and (address := ipaddress.ip_address(text)) in POD_ADDRESSES:
                self._last_address = max(self._last_address, int(address))

    def _next_address(self) -> str:
        """They begin again after four million."""
        first, size = int(POD_ADDRESSES.network_address), POD_ADDRESSES.num_addresses
        self._last_address = first + (self._last_address - first + 1) % size
        return str(ipaddress.ip_address(self._last_address))


def _says(obj: Obj) -> object:
    return meta.annotations(obj), meta.labels(obj)


def _of_another(error: StatusError) -> bool:
    """The pod of that name is another one: ours is gone."""
    return is_conflict(error) and "uid" in error.message.lower()

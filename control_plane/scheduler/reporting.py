"""What users see of a decision: events on the pod, and its PodScheduled condition.

Nothing here holds the scheduler up: writes run in tasks, at most so many at once; a condition that says
already what it should is not written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.client.client import Client
from control_plane.client.errors import ConnectionFailed
from control_plane.client.events import NORMAL, WARNING, EventRecorder
from control_plane.client.gvr import PODS
from control_plane.client.types import Obj
from control_plane.scheduler.framework.pod_info import PodInfo
from control_plane.scheduler.preemption import PREEMPTED
from store.component import logs

MAX_WRITES_AT_ONCE = 32

log = logs.get("scheduler")


class Reporter:
    def __init__(self, client: Client, events: EventRecorder) -> None:
        self._client = client
        self._events = events
        self._slots = asyncio.Semaphore(MAX_WRITES_AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by what they are about: the last word counts
        self._announced: set[str] = set()  # uids of pods whose binding is under way: at most as many as those

    async def announce(self, pod: PodInfo, node_name: str) -> None:
        """Before what may take long, so that others (an autoscaler) see where the pod will go. Not vital."""
        if pod.nominated_node == node_name:
            return
        try:
            await self._patch_status(pod, {"status": {"nominatedNodeName": node_name}})
        except (StatusError, ConnectionFailed) as error:
            log.info("node not announced", pod=pod.key, node=node_name, error=str(error))
        else:
            self._announced.add(pod.uid)

    def scheduled(self, pod: PodInfo, node_name: str) -> None:
        self._announced.discard(pod.uid)
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {node_name}"
        self._events.event(pod.pod, NORMAL, "Scheduled", message, action="Binding")

    def failed(self, pod: PodInfo, reason: str, message: str, nominated: str | None) -> None:
        """`nominated`: the node that preemption chose; "" takes a former choice back; None leaves it."""
        self._events.event(pod.pod, WARNING, "FailedScheduling", message, action="Scheduling")
        status = pod_status_patch(pod.pod, reason, message, nominated, self._client.clock.wall())
        if pod.uid in self._announced:
            self._announced.discard(pod.uid)
            if nominated == "":  # the watch may not have told of the announcement yet
                status["nominatedNodeName"] = None
        if status:
            self._spawn(f"condition {pod.uid}", self._patch_status(pod, {"status": status}))

    def missed_deadline(self, pod: PodInfo) -> None:
        message = "The pod's deadline has passed, and it has no node yet"
        self._events.event(pod.pod, WARNING, "DeadlineMissed", message, action="Scheduling")

    def preempted(self, preemptor: PodInfo, node_name: str, victims: Sequence[PodInfo]) -> None:
        for victim in victims:
            self._spawn(f"preempt {victim.uid}", self._preempt(preemptor, node_name, victim))

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _preempt(self, preemptor: PodInfo, node_name: str, victim: PodInfo) -> None:
        message = f"{preemptor.scheduler_name}: preempting to accommodate a higher priority pod"
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": PREEMPTED,
            "message": message,
            "lastTransitionTime": meta.rfc3339(self._client.clock.wall()),
        }
        await self._patch_status(victim, {"status": {"conditions": [condition]}})
        await self._client.delete(PODS, victim.name, victim.namespace, uid=victim.uid)
        log.info("preempted", pod=victim.key, by=preemptor.key, node=node_name)
        text = f"Preempted by pod {preemptor.uid} on node {node_name}"
        self._events.event(victim.pod, NORMAL, "Preempted", text, action="Preempting")

    async def _patch_status(self, pod: PodInfo, patch: Obj) -> None:
        patch = {"metadata": {"uid": pod.uid}, **patch}
        await self._client.patch(PODS, pod.name, patch, pod.namespace, "strategic", "status")

    def _spawn(self, about: str, work: Coroutine[Any, Any, Any]) -> None:
        before = self._tasks.get(about)
        task = asyncio.get_running_loop().create_task(self._guarded(before, work), name=about)
        self._tasks[about] = task
        task.add_done_callback(lambda done: self._ended(about, done))

    def _ended(self, about: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(about) is task:
            del self._tasks[about]

    async def _guarded(self, before: asyncio.Task[None] | None, work: Coroutine[Any, Any, Any]) -> None:
        try:
            if before is not None:
                await asyncio.wait([before])
            async with self._slots:
                await work
        except (StatusError, ConnectionFailed) as error:
            if not is_not_found(error):
                log.warning("status not written", error=str(error))
        finally:
            work.close()


def pod_status_patch(pod: Obj, reason: str, message: str, nominated: str | None, now_s: float) -> Obj:
    """What of the pod's status must be written; empty when it says so already. Pure."""
    status = pod.get("status") or {}
    old: Obj = next((c for c in status.get("conditions") or () if c["type"] == "PodScheduled"), {})
    patch: Obj = {}
    said: Obj = {"status": "False", "reason": reason, "message": message}
    if generation := pod["metadata"].get("generation"):
        said["observedGeneration"] = generation
    if any(old.get(name) != value for name, value in said.items()):
        changed = old.get("status") != "False"
        patch["conditions"] = [
            {
                "type": "PodScheduled",
                **said,
                "lastProbeTime": None,
                "lastTransitionTime": meta.rfc3339(now_s) if changed else old.get("lastTransitionTime"),
            }
        ]
    if nominated is not None and nominated != (status.get("nominatedNodeName") or ""):
        patch["nominatedNodeName"] = nominated or None
    return patch

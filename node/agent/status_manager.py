"""Writes pod statuses to the API: only what changed, the latest first, one request per pod at a time.

A status that is still on its way to something (a pod being created) may wait a moment, so that a pod that starts
at once costs one write; everything else goes at once. Writes are tried again until they succeed or the pod is
gone. When a pod is `finish`ed its last status is written and its object deleted, with its uid as precondition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from control_plane.api.errors import StatusError, is_conflict, is_not_found
from control_plane.client import gvr
from control_plane.client.backoff import Backoff
from control_plane.client.client import Client
from control_plane.client.errors import ClientError
from node.agent import status_patch
from node.agent.pod_conditions import OWNED
from node.agent.pod_spec import Obj, full_name, name, namespace, uid
from store.component import logs

CONCURRENT_WRITES = 8
SETTLE_S = 0.1  # how long a status that only says "being created" may wait for a better one
MAX_RETRY_S = 10.0

log = logs.get("node.status")


@dataclass(slots=True)
class _Entry:
    pod: Obj
    written: Obj  # what the API has, as far as we know
    wanted: Obj
    written_to: str = ""  # uid of the object that has it
    written_version: int = 0  # its resourceVersion after our last write
    finishing: bool = False
    urgent: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class StatusManager:
    def __init__(self, client: Client, object_of: Callable[[Obj], Obj | None] = lambda pod: pod) -> None:
        """`object_of`: the API's object for a pod, itself but for static pods; None: there is none yet."""
        self._client = client
        self._object_of = object_of
        self._entries: dict[str, _Entry] = {}
        self._slots = asyncio.Semaphore(CONCURRENT_WRITES)

    def current(self, pod: Obj) -> Obj:
        """What was decided last, with the conditions that others have written since."""
        entry = self._entries.get(uid(pod))
        seen = pod.get("status") or {}
        if entry is None:
            return dict(seen)
        known = [each for each in entry.wanted.get("conditions") or [] if each["type"] in OWNED]
        foreign = [each for each in seen.get("conditions") or [] if each["type"] not in OWNED]
        return {**seen, **entry.wanted, "conditions": known + foreign}

    def set(self, pod: Obj, status: Obj) -> None:
        entry = self._entries.get(uid(pod))
        if entry is None:
            entry = self._entries[uid(pod)] = _Entry(pod, dict(pod.get("status") or {}), {})
        entry.pod, entry.wanted = pod, status
        self._notice(entry)
        if status_patch.make(uid(pod), entry.written, status) is None:
            return
        if not _may_wait(entry.written, status):
            entry.urgent.set()
        self._write(entry)

    def _notice(self, entry: _Entry) -> None:
        """What others made of the status since our last write (a node that was lost, and is back) is undone."""
        pod = self._object_of(entry.pod)
        if pod is not None and entry.written_version and _version(pod) > entry.written_version:
            entry.written = dict(pod.get("status") or {})

    def finish(self, pod: Obj) -> None:
        entry = self._entries.get(uid(pod))
        if entry is None:
            entry = self._entries[uid(pod)] = _Entry(pod, dict(pod.get("status") or {}), {})
        if not entry.finishing:
            entry.finishing = True
            entry.urgent.set()
            self._write(entry)

    def object_changed(self, pod_uid: str) -> None:
        """The object of a static pod is there, or another one."""
        if (entry := self._entries.get(pod_uid)) is not None and entry.wanted:
            self._write(entry)

    def forget(self, pod_uid: str) -> None:
        entry = self._entries.pop(pod_uid, None)
        if entry is not None and entry.task is not None:
            entry.task.cancel()

    async def close(self, timeout_s: float = 2.0) -> None:
        """Give what is being written a moment; the next agent writes the rest."""
        tasks = [each.task for each in self._entries.values() if each.task is not None]
        for entry in self._entries.values():
            entry.urgent.set()
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _write(self, entry: _Entry) -> None:
        if entry.task is None or entry.task.done():
            entry.task = asyncio.create_task(self._write_until_done(entry))

    async def _write_until_done(self, entry: _Entry) -> None:
        backoff = Backoff(self._client.random, max_s=MAX_RETRY_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await entry.urgent.wait()
        while True:
            entry.urgent.clear()
            try:
                async with self._slots:
                    done = await self._write_once(entry)
                backoff.reset()
                if done:
                    return
            except StatusError as error:
                if is_not_found(error) or (is_conflict(error) and _other_uid(error)):
                    return  # the pod is gone; the informer tells its worker
                log.warning("status not written", pod=full_name(entry.pod), error=error.message)
                await self._client.clock.sleep(backoff.next_s())
            except ClientError as error:
                log.warning("status not written", pod=full_name(entry.pod), error=str(error))
                await self._client.clock.sleep(backoff.next_s())

    async def _write_once(self, entry: _Entry) -> bool:
        """True when nothing is left to write."""
        pod, wanted = self._object_of(entry.pod), entry.wanted
        if pod is None:
            return True
        if entry.written_to not in ("", uid(pod)):
            entry.written = dict(pod.get("status") or {})
        entry.written_to = uid(pod)
        patch = status_patch.make(uid(pod), entry.written, wanted)
        if patch is not None:
            answer = await self._client.patch(
                gvr.PODS, name(pod), patch, namespace(pod), patch_type="strategic", subresource="status"
            )
            entry.written_version = _version(answer)
        entry.written = {**entry.written, **wanted}
        if entry.wanted is not wanted:
            return False
        if entry.finishing:
            await self._client.delete(gvr.PODS, name(pod), namespace(pod), uid=uid(pod), grace_period_s=0)
        return True


def _version(pod: Obj) -> int:
    text = str(pod["metadata"].get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0


def _may_wait(written: Obj, status: Obj) -> bool:
    """Only "Pending, being created" without a word of trouble may wait."""
    if status.get("phase") != "Pending":
        return False
    lists = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    states = [each.get("state") or {} for key in lists for each in status.get(key) or []]
    return all(
        (state.get("waiting") or {}).get("reason") in ("ContainerCreating", "PodInitializing")
        for state in states
    )


def _other_uid(error: StatusError) -> bool:
    return "uid" in error.message.lower()

"""Events: what a user reads in `kubectl describe` about what the loops did and why.

`event` never waits and never fails: it correlates (see `event_correlator`), queues and returns. Writers
take from bounded queues, one per share of the objects, so that what concerns one object is written in
order. While their component is busy (its client has many requests under way, which matter more, or it says
so itself) they hold back, but only for a moment, and not when their queue is half full. When it is full the
event is dropped and counted. A server that does not answer is tried again for a while; one that says no is
not. `close` writes what is queued, within a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.client.backoff import Backoff
from control_plane.client.client import Client
from control_plane.client.errors import ConnectionFailed
from control_plane.client.event_correlator import EventCorrelator, Verdict
from control_plane.client.gvr import EVENTS
from control_plane.client.types import Obj
from store.component import logs

NORMAL: Literal["Normal"] = "Normal"
WARNING: Literal["Warning"] = "Warning"

WRITERS = 2  # few: what was done goes before the telling of it
MAX_QUEUED = 16000  # per recorder: about 16 MiB
BUSY_REQUESTS = 8  # of the client; with more under way, events wait
MAX_DEFERRED_S = 2.0
LOOK_AGAIN_S = 0.05
MAX_TRIES = 12
MAX_RETRY_DELAY_S = 10.0
MAX_MESSAGE_CHARS = 1024  # the API's limit
CLOSE_TIMEOUT_S = 2.0

log = logs.get("events")


@dataclass(frozen=True, slots=True)
class _Queued:
    verdict: Verdict
    at_s: float


class EventRecorder:
    def __init__(
        self, client: Client, component: str, host: str = "", busy: Callable[[], bool] | None = None
    ) -> None:
        self._client = client
        self._is_busy = busy or self._has_much_under_way
        self._source = {"component": component, **({"host": host} if host else {})}
        self._component = component
        self._host = host
        self._correlator = EventCorrelator()
        self._queues: list[asyncio.Queue[_Queued]] = []
        self._writers: list[asyncio.Task[None]] = []
        self._closed = False
        self._last_ns = 0
        self.dropped = 0

    def event(
        self,
        obj: Obj,
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        action: str = "",
        field_path: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """About `obj`, or a reference to one: `kind` and `apiVersion` must be there."""
        if self._closed:
            return
        event = self._made(obj, type, reason, message[:MAX_MESSAGE_CHARS])
        if action:
            event["action"] = action
        if field_path:
            event["involvedObject"]["fieldPath"] = field_path
        if annotations:
            event["metadata"]["annotations"] = dict(annotations)
        verdict = self._correlator.correlate(event, self._client.clock.monotonic())
        if verdict.event is not None:
            self._put(verdict, event["involvedObject"].get("uid") or event["involvedObject"]["name"])

    async def close(self) -> None:
        """Write what is queued, for a while, then stop."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                for queue in self._queues:
                    await queue.join()
        for writer in self._writers:
            writer.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)
        self._writers.clear()

    def _made(self, obj: Obj, type_: str, reason: str, message: str) -> Obj:
        wall_s = self._client.clock.wall()
        involved = reference(obj)
        now = meta.rfc3339(wall_s)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{involved['name']}.{self._unique_ns(wall_s):x}",
                "namespace": involved.get("namespace") or "default",
            },
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": type_,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": self._source,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    def _unique_ns(self, wall_s: float) -> int:
        """Two events in one instant are still two names."""
        self._last_ns = max(int(wall_s * 1e9), self._last_ns + 1)
        return self._last_ns

    def _put(self, verdict: Verdict, about: str) -> None:
        if not self._queues:
            self._start()
        queue = self._queues[hash(about) % WRITERS]
        try:
            queue.put_nowait(_Queued(verdict, self._client.clock.monotonic()))
        except asyncio.QueueFull:
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:  # at 1, 2, 4, 8 …
                log.warning("too many queued events, dropped", dropped=self.dropped)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._queues = [asyncio.Queue(MAX_QUEUED // WRITERS) for _ in range(WRITERS)]
        self._writers = [loop.create_task(self._write(queue), name="events") for queue in self._queues]

    async def _write(self, queue: asyncio.Queue[_Queued]) -> None:
        while True:
            queued = await queue.get()
            try:
                if queue.qsize() < queue.maxsize // 2:
                    await self._calm(queued.at_s)
                await self._record(queued.verdict)
            except Exception:
                log.exception("event not written")
            finally:
                queue.task_done()

    async def _calm(self, since_s: float) -> None:
        clock = self._client.clock
        while self._is_busy() and not self._closed and clock.monotonic() < since_s + MAX_DEFERRED_S:
            await clock.sleep(LOOK_AGAIN_S)

    def _has_much_under_way(self) -> bool:
        return self._client.under_way > BUSY_REQUESTS

    async def _record(self, verdict: Verdict) -> None:
        assert verdict.event is not None
        backoff = Backoff(self._client.random, max_s=MAX_RETRY_DELAY_S)
        for _ in range(MAX_TRIES):
            try:
                await self._send(verdict.event, verdict.patch)
                return
            except StatusError as error:
                if not is_already_exists(error):
                    log.info("event refused", reason=verdict.event["reason"], error=error.message)
                return
            except ConnectionFailed:
                await self._client.clock.sleep(backoff.next_s())
        log.warning("event given up", reason=verdict.event["reason"])

    async def _send(self, event: Obj, patch: Obj | None) -> None:
        namespace = event["metadata"]["namespace"]
        if patch is not None:
            try:
                await self._client.patch(EVENTS, event["metadata"]["name"], patch, namespace)
                return
            except StatusError as error:
                if not is_not_found(error):  # it has outlived its time: it is written anew
                    raise
        await self._client.create(EVENTS, event, namespace)


def reference(obj: Obj) -> Obj:
    """An ObjectReference to it."""
    metadata = obj.get("metadata") or {}
    full = {
        "kind": obj.get("kind", ""),
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
        "uid": metadata.get("uid", ""),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    return {key: value for key, value in full.items() if value}

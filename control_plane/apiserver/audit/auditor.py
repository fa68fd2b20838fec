"""Between the pipeline and the sinks: opens a request's event, and writes it down at each of its stages.

A sink in blocking mode has the event before the client has its answer, however long it takes; `blocking-strict`
refuses a request whose arrival cannot be recorded; in batch mode events go through a buffer. Where there is no
answer to hold back (a watch that ends, a client that went away), the event is written aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client import Counter

from control_plane.api import errors
from control_plane.apiserver.audit import policy as stages
from control_plane.apiserver.audit.event import Event
from control_plane.apiserver.audit.policy import Level, Policy
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.interface import Attributes
from control_plane.apiserver.messages import Request, Response
from control_plane.apiserver.routes import RequestInfo
from store.component import logs

EVENTS = Counter("apiserver_audit_event", "Audit events made.")
FAILURES = Counter("apiserver_audit_error", "Audit events that a sink has not taken.", ("plugin",))
LEVELS = Counter("apiserver_audit_level", "Requests by the level at which they are recorded.", ("level",))
REFUSED = Counter("apiserver_audit_requests_rejected", "Requests refused as they could not be recorded.")

log = logs.get("apiserver.audit")


class Sink(Protocol):
    async def take(self, event: bytes) -> bool:
        """Whether it is recorded, or will be."""


@dataclass(frozen=True, slots=True)
class Output:
    """A sink, and how: `max_event_bytes` of 0 is no bound."""

    name: str
    sink: Sink
    strict: bool = False
    max_event_bytes: int = 0


class Auditor:
    """`clock` is wall time."""

    def __init__(self, policy: Policy, outputs: Sequence[Output], clock: Callable[[], float]) -> None:
        self._policy = policy
        self._outputs = tuple(outputs)
        self._clock = clock
        self._aside: set[asyncio.Task[Any]] = set()
        self._counted = {level: LEVELS.labels(level.text) for level in Level}

    async def open(self, request: Request, info: RequestInfo, asked: Attributes) -> Event | None:
        """The request's event, if it is recorded. Raises StatusError where it must be and cannot."""
        verdict = self._policy.evaluate(asked)
        self._counted[verdict.level].inc()
        if verdict.level is Level.None_:
            return None
        event = Event(verdict, request, info, asked.user, self._clock())
        if verdict.level >= Level.Request and info.is_resource:
            _remember_body(request, event)
        if not await self._write(event, stages.RECEIVED):
            REFUSED.inc()
            raise errors.internal("failed to store audit event")
        return event

    async def answered(self, event: Event, request: Request, response: Response, long_running: bool) -> None:
        """The answer may be sent. Of a request that goes on, the rest follows by itself when it ends."""
        event.answered(response)
        if long_running:
            request.on_end.append(lambda: self._ended(event))
        writing = self._write_aside(event, stages.STARTED if long_running else stages.COMPLETE)
        await asyncio.shield(writing)  # it is written even if the client does not wait for it

    def closed_early(self, event: Event) -> None:
        event.closed_early()
        self._ended(event)

    async def settle(self) -> None:
        """Wait for what is written aside."""
        await asyncio.gather(*self._aside, return_exceptions=True)

    async def unauthenticated(self, request: Request, info: RequestInfo, response: Response) -> None:
        """A request that nobody stands behind. Raises StatusError as `open`."""
        nobody = UserInfo("")
        path = "" if info.is_resource else info.path
        asked = Attributes(nobody, info.verb, info.group, info.version, info.resource, path=path)
        event = await self.open(request, info, asked)
        if event is not None:
            event.answered(response, _attempted(request))
            await self._write(event, stages.STARTED)

    def _ended(self, event: Event) -> None:
        self._write_aside(event, stages.COMPLETE)

    def _write_aside(self, event: Event, stage: str) -> asyncio.Task[bool]:
        task = asyncio.get_running_loop().create_task(self._write(event, stage))
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        return task

    async def _write(self, event: Event, stage: str) -> bool:
        """False only where a strict sink has failed."""
        if stage in event.verdict.omit_stages:
            return True
        EVENTS.inc()
        now_s = self._clock()
        encoded = event.encode(stage, now_s)
        recorded = True
        for output in self._outputs:
            most = output.max_event_bytes
            shown = encoded
            if most and len(shown) > most:
                shown = event.encode(stage, now_s, whole=False)
            if most and len(shown) > most:
                failed(output.name, 1, "event is too large")
                continue
            if not await output.sink.take(shown) and output.strict:
                recorded = False
        return recorded


def failed(plugin: str, events: int, why: str) -> None:
    FAILURES.labels(plugin).inc(events)
    log.error("audit events are lost", plugin=plugin, events=events, reason=why)


def _remember_body(request: Request, event: Event) -> None:
    read = request.read

    async def remembering(limit: int) -> bytes:
        event.body = await read(limit)
        return event.body

    request.read = remembering


def _attempted(request: Request) -> str:
    ways = []
    if request.headers.get("Authorization", "").lower().startswith("bearer "):
        ways.append("bearer")
    if request.connection.certificate:
        ways.append("x509")
    if ways:
        return f"Authentication failed, attempted: {', '.join(ways)}"
    return "Authentication failed, no credentials provided"

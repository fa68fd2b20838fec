"""Watches: a stream of events from the cache's history, filtered and encoded for one client.

The client's place is a position in the history. Each turn takes what has happened since, encodes what the client's
selection says of it, and writes it at once; the transport's flow control is what slows a watcher down, and one
that falls out of the history is cut. A change that moves an object into or out of the selection reads
as ADDED or DELETED.

resourceVersion unset: the present state as ADDED events, then changes; 0: the same from whatever the cache has; N:
changes after N, or an ERROR event with 410 when the history no longer reaches back so far.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from control_plane.api import errors, protobuf
from control_plane.api.errors import StatusError
from control_plane.apiserver import conversion, metrics, tables
from control_plane.apiserver.core import Context
from control_plane.apiserver.handlers import respond
from control_plane.apiserver.handlers.list import selection_of
from control_plane.apiserver.handlers.options import (
    ListOptions,
    check_list,
    list_options,
    parse_resource_version,
)
from control_plane.apiserver.messages import JSON, PROTOBUF, Response, Write
from control_plane.apiserver.negotiation import Target
from control_plane.apiserver.selection import Selection
from control_plane.apiserver.storage import codec
from control_plane.apiserver.watch_cache.cache import Lagged, TooOld
from control_plane.apiserver.watch_cache.entry import ADDED, DELETED, MODIFIED, Change, Entry, encode_frame

BATCH_CHANGES = 256
BATCH_SIZE_BYTES = 256 * 1024
BOOKMARK_INTERVAL_S = 60.0
BOOKMARK_BEFORE_END_S = 2.0
MIN_TIMEOUT_S = 1800  # when the client names none: between this and twice this, as kube-apiserver
MAX_SILENCE_S = 30.0  # how often an idle watch looks whether it should end

BOOKMARK, ERROR = "BOOKMARK", "ERROR"
INITIAL_EVENTS_END = "k8s.io/initial-events-end"

Object = dict[str, Any]
Encode = Callable[[str, Change], bytes]


@dataclass(slots=True)
class Start:
    """Where a watch begins: at `position` in the history, with the `initial` objects. What is not newer than
    `revision` the client knows; it may have read it from a replica that is ahead of this one."""

    position: int
    initial: list[tuple[str, Entry]]
    revision: int


async def watch(ctx: Context) -> Response:
    target = respond.target_of(ctx)
    options = list_options(ctx.request)
    check_list(options, watch=True)
    version = parse_resource_version(options.resource_version)
    chosen = selection_of(ctx, options)
    encoder = Encoder(ctx, target, options)
    try:
        start = await _start(ctx, options, version, chosen)
    except StatusError as error:
        failure = encoder.error(error)
        return Response(200, content_type=encoder.content_type, stream=lambda write: write(failure))
    session = Session(ctx, options, chosen, encoder, start)
    return Response(200, content_type=encoder.content_type, stream=session.run, warnings=ctx.warnings)


async def _start(ctx: Context, options: ListOptions, version: int, chosen: Selection) -> Start:
    """Raises StatusError; in a watch it becomes an ERROR event."""
    core, cache = ctx.core, ctx.cache
    wants_state = options.send_initial_events or (version == 0 and options.send_initial_events is None)
    if not options.resource_version:
        if not await core.freshness.caught_up():
            raise errors.timeout("the watch cache is not up to date", retry_after_s=1)
    elif version and wants_state:
        await core.freshness.not_older_than(version)
    if wants_state:
        entries = [
            (item, entry)
            for item, entry in cache.entries(chosen.prefix)
            if chosen.covers(item) and chosen.matches(entry)
        ]
        return Start(cache.end, entries, core.feed.revision)
    try:
        position = cache.position_after(version) if version else cache.end
    except TooOld as error:
        raise errors.expired(f"too old resource version: {version} ({error.floor})") from error
    return Start(position, [], version or core.feed.revision)


class Session:
    """One watch, from its first event to its end."""

    def __init__(
        self, ctx: Context, options: ListOptions, chosen: Selection, encoder: Encoder, start: Start
    ) -> None:
        self._ctx = ctx
        self._options = options
        self._chosen = chosen
        self._encoder = encoder
        self._start = start
        self._position = start.position
        self._sent_revision = start.revision

    async def run(self, write: Write) -> None:
        clock = self._ctx.core.monotonic
        timeout_s = self._options.timeout_s
        if timeout_s is None or timeout_s <= 0:
            timeout_s = MIN_TIMEOUT_S + random.randrange(MIN_TIMEOUT_S)  # noqa: S311 - spreads reconnects
        ends_at = clock() + timeout_s
        bookmark_at = self._next_bookmark(clock(), ends_at)
        await self._send_initial(write)
        self._ctx.request.begun()
        try:
            stops = False
            while True:
                if self._ctx.core.stopping.is_set() and not stops:
                    stops = True
                    ends_at = min(ends_at, clock() + random.random() * self._ctx.core.watch_grace_s)  # noqa: S311
                sent, now = await self._send_changes(write), clock()
                if now >= ends_at:
                    if stops and not sent and self._options.allow_bookmarks:
                        await self._send_bookmark(write)  # another server goes on from here
                    return
                if sent:
                    continue
                if now >= bookmark_at:
                    await self._send_bookmark(write)
                    bookmark_at = self._next_bookmark(now, ends_at)
                await self._ctx.cache.wait(min(ends_at - now, bookmark_at - now, MAX_SILENCE_S))
        except Lagged:
            return

    async def _send_initial(self, write: Write) -> None:
        batch: list[bytes] = []
        size = 0
        added = [Change(item, entry.revision, entry, None) for item, entry in self._start.initial]
        for change in await conversion.working_changes(self._ctx.resource, added):
            frame = self._encoder.frame(ADDED, change)
            batch.append(frame)
            size += len(frame)
            if size >= BATCH_SIZE_BYTES:
                await write(b"".join(batch))
                batch, size = [], 0
        if self._options.send_initial_events and self._options.allow_bookmarks:
            batch.append(self._encoder.bookmark(self._start.revision, {INITIAL_EVENTS_END: "true"}))
        if batch:
            await write(b"".join(batch))
        self._start.initial = []

    async def _send_changes(self, write: Write) -> bool:
        """Send the next batch; whether there was any change to look at."""
        changes = self._ctx.cache.read(self._position, BATCH_CHANGES)
        if not changes:
            return False
        self._position += len(changes)
        frames = await self._frames(changes)
        self._sent_revision = max(self._sent_revision, changes[-1].revision)
        if frames:
            sent = b"".join(frames)
            resource = self._ctx.resource
            metrics.observe_events(
                resource.group, resource.version, resource.resource, len(frames), len(sent)
            )
            await write(sent)
        return True

    async def _frames(self, changes: list[Change]) -> list[bytes]:
        seen = [(seen_as, change) for change in changes if (seen_as := self._seen_as(change))]
        converted = await conversion.working_changes(self._ctx.resource, [change for _, change in seen])
        frame = self._encoder.frame
        return [frame(seen_as, change) for (seen_as, _), change in zip(seen, converted, strict=True)]

    def _seen_as(self, change: Change) -> str:
        """What the change is to this client; "" for nothing."""
        if change.revision <= self._start.revision or not self._chosen.covers(change.item):
            return ""
        return change.type if self._chosen.all else _seen_as(self._chosen, change)

    async def _send_bookmark(self, write: Write) -> None:
        """All changes up to the feed's revision have been sent: say so."""
        self._sent_revision = max(self._sent_revision, self._ctx.core.feed.revision)
        await write(self._encoder.bookmark(self._sent_revision, None))

    def _next_bookmark(self, now: float, ends_at: float) -> float:
        if not self._options.allow_bookmarks:
            return float("inf")
        before_end = ends_at - BOOKMARK_BEFORE_END_S
        regular = now + BOOKMARK_INTERVAL_S
        return min(regular, before_end) if before_end > now else regular


def _seen_as(chosen: Selection, change: Change) -> str:
    """What the change is to someone who sees only the selection; "" for nothing."""
    now = change.entry is not None and chosen.matches(change.entry)
    before = change.previous is not None and chosen.matches(change.previous)
    if now:
        return MODIFIED if before else ADDED
    return DELETED if before else ""


class Encoder:
    """Frames of one watch. A plain watch shares each frame with all other plain watches."""

    def __init__(self, ctx: Context, target: Target, options: ListOptions) -> None:
        self._ctx = ctx
        self._target = target
        self._options = options
        self._columns_sent = False
        self._as_protobuf = target.media_type == PROTOBUF and protobuf.supports(
            ctx.resource.api_version, ctx.resource.kind
        )
        self.content_type = f"{PROTOBUF};stream=watch" if self._as_protobuf else JSON
        self.frame: Encode = _shared_frame if respond.is_plain(ctx, target) else self._own_frame

    def bookmark(self, revision: int, annotations: dict[str, str] | None) -> bytes:
        resource = self._ctx.resource
        metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        obj: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._target.transform == "Table":
            obj = self._table([], {"resourceVersion": str(revision)})
        elif self._target.transform:
            obj = tables.partial(obj, self._target.version)
        return self._encode(BOOKMARK, obj)

    def error(self, error: StatusError) -> bytes:
        return self._encode(ERROR, error.status())

    def _own_frame(self, event_type: str, change: Change) -> bytes:
        obj = conversion.to_version(codec.decode(change.raw(event_type)), self._ctx.resource)
        if self._target.transform == "Table":
            obj = self._table([obj], {"resourceVersion": obj["metadata"]["resourceVersion"]})
        elif self._target.transform:
            obj = tables.partial(obj, self._target.version)
        return self._encode(event_type, obj)

    def _table(self, items: list[Object], metadata: Object) -> Object:
        """Only the first event carries the column definitions."""
        include = self._options.include_object
        now_s = self._ctx.core.clock()
        whole = tables.table(self._ctx.resource, items, metadata, self._target.version, include, now_s)
        if self._columns_sent:
            whole["columnDefinitions"] = []
        self._columns_sent = True
        return whole

    def _encode(self, event_type: str, obj: Object) -> bytes:
        if self._as_protobuf:
            return protobuf.encode_watch_event(event_type, protobuf.encode(obj))
        return encode_frame(event_type, orjson.dumps(obj))


def _shared_frame(event_type: str, change: Change) -> bytes:
    return change.frame(event_type)

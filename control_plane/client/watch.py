"""Watching without gaps: one logical stream over as many connections as it takes.

The position is the resourceVersion of the last event seen, bookmarks included; a stream that ends (servers
end each after some minutes) or breaks is opened again from there. So no event is lost or seen twice. What
cannot be resumed is raised: 410 when history no longer reaches back that far. Silence longer than a
server's bookmark interval is taken for a dead peer, since HTTP/1.1 has no ping.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from control_plane.api.errors import StatusError
from control_plane.client.backoff import Backoff
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import GVR
from control_plane.client.status import status_error
from control_plane.client.types import ERROR, Obj, Response, WatchEvent

if TYPE_CHECKING:
    from control_plane.client.client import Client

MIN_TIMEOUT_S = 300  # the server is asked to end the stream after 5 to 10 minutes, drawn, as client-go does
IDLE_TIMEOUT_S = 150.0  # apiservers send a bookmark about every minute
FIRST_DELAY_S = 0.02
MAX_DELAY_S = 10.0
HEALTHY_AFTER_S = 5.0  # a stream that lived this long resets the backoff, even without an event
MAX_LINE_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class Query:
    gvr: GVR
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    bookmarks: bool = True

    def target(self, timeout_s: int) -> str:
        from control_plane.client.client import target

        return target(
            self.gvr.path(self.namespace),
            {
                "watch": "true",
                "labelSelector": self.label_selector,
                "fieldSelector": self.field_selector,
                "resourceVersion": self.resource_version,
                "allowWatchBookmarks": "true" if self.bookmarks else "",
                "timeoutSeconds": str(timeout_s),
            },
        )


async def batches(client: Client, query: Query) -> AsyncGenerator[list[WatchEvent], None]:
    """Events as they come, those of one network read together. Moves `query.resource_version` forward."""
    backoff = Backoff(client.random, FIRST_DELAY_S, MAX_DELAY_S)
    while True:
        opened_s = client.clock.monotonic()
        try:
            async with aclosing(_one_stream(client, query)) as stream:
                async for batch in stream:
                    backoff.reset()
                    yield batch
        except ConnectionFailed:
            pass
        except StatusError as error:
            if not _passing(error):
                raise
        if client.clock.monotonic() - opened_s >= HEALTHY_AFTER_S:
            backoff.reset()
        await client.clock.sleep(backoff.next_s())


def _passing(error: StatusError) -> bool:
    """Overload and restarts pass; a refusal does not."""
    return error.code == 429 or error.code >= 500


async def _one_stream(client: Client, query: Query) -> AsyncGenerator[list[WatchEvent], None]:
    timeout_s = int(MIN_TIMEOUT_S * (1 + client.random()))
    headers = {"User-Agent": client.user_agent, "Accept": client.accept}
    opening = client.transport.stream("GET", query.target(timeout_s), headers, IDLE_TIMEOUT_S)
    async with opening as stream:
        if stream.status != 200:
            raise status_error(Response(stream.status, stream.headers, await stream.read()))
        rest = b""
        async with aclosing(stream.chunks()) as chunks:
            async for chunk in chunks:
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()
                if len(rest) > MAX_LINE_BYTES:
                    raise ConnectionFailed(f"watch event larger than {MAX_LINE_BYTES} bytes")
                if batch := [_decode(line) for line in lines if line]:
                    # moved only when the whole batch could be read: what is dropped here comes again
                    query.resource_version = batch[-1].object["metadata"]["resourceVersion"]
                    yield batch


def _decode(line: bytes) -> WatchEvent:
    try:
        frame: Obj = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ConnectionFailed(f"watch sent something that is not JSON: {line[:80]!r}") from error
    if frame["type"] == ERROR:
        raise StatusError.from_status(frame["object"])
    return WatchEvent(frame["type"], frame["object"])

"""A watch that outlives members.

One stream to one member at a time. `_next` is the first revision that has not been delivered; when the
stream ends for whatever reason, the watch is created again from there on the next endpoint, and anything
below it is dropped. A response of the store carries whole revisions, so no event of a revision is lost or
doubled at the seam.

The stream of a dead process ends at once; that of a paused or cut-off member is merely silent. So a watch
that has heard nothing for `SILENCE_S` asks its member for a sign of life and moves on without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from store.client import codec
from store.client.endpoints import ConnectFailed, Endpoint
from store.client.errors import Compacted, InvalidArgument, PermissionDenied, StoreError, Unavailable
from store.client.transport import LEADER_HEADERS, Transport, is_duplex
from store.client.types import Event, WatchResponse
from store.component.http_connection import ConnectionClosed, LineStream

SILENCE_S = 2.0
PROBE_TIMEOUT_S = 1.0
CREATE_TIMEOUT_S = 5.0
RETRY_FIRST_S = 0.01
RETRY_LIMIT_S = 1.0


class Watch:
    """An asynchronous iterator of WatchResponse; `close` it, or let the client's `close` do so."""

    def __init__(
        self,
        transport: Transport,
        key: bytes,
        range_end: bytes,
        start_revision: int,
        prev_kv: bool,
        progress_notify: bool,
        filters: tuple[str, ...],
    ) -> None:
        self._transport = transport
        self._key, self._range_end = key, range_end
        self._prev_kv, self._progress_notify, self._filters = prev_kv, progress_notify, filters
        self._next = start_revision
        self._stream: LineStream | None = None
        self._endpoint: Endpoint | None = None
        self._announced = False
        self._closed = False
        self._failures = 0
        self.on_close: Callable[[Watch], None] = lambda watch: None

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> WatchResponse:
        while not self._closed:
            try:
                if self._stream is None:
                    await self._open()
                response = await self._receive()
            except (Unavailable, ConnectFailed, ConnectionClosed):
                await self._fail_over()
                continue
            if response is not None:
                return response
        raise StopAsyncIteration

    async def request_progress(self) -> bool:
        """Ask for a progress response; False when the member cannot take the request (a real etcd's
        gateway)."""
        if self._stream is None or self._endpoint is None or not self._endpoint.duplex or not self._announced:
            return False
        try:
            self._stream.send(codec.encode({"progress_request": {}}) + b"\n")
        except ConnectionClosed:
            return False
        return True

    async def close(self) -> None:
        self._closed = True
        self._drop_stream()
        self.on_close(self)

    # -- one stream --

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        endpoint = self._endpoint = self._transport.endpoints.pick(loop.time())
        if endpoint.duplex is None:
            answer = await self._transport.ask(endpoint, "GET", "/version", b"", CREATE_TIMEOUT_S)
            endpoint.duplex = is_duplex(answer)
        connection = await endpoint.open()
        if self._closed:
            connection.close()
            return
        request = codec.encode({"create_request": self._create_request()}) + b"\n"
        self._stream = connection.open_stream(
            "/v3/watch", request, LEADER_HEADERS, keep_sending=endpoint.duplex
        )

    def _create_request(self) -> dict[str, object]:
        request: dict[str, object] = {"key": codec.b64(self._key)}
        if self._range_end:
            request["range_end"] = codec.b64(self._range_end)
        if self._next:
            request["start_revision"] = str(self._next)
        if self._filters:
            request["filters"] = list(self._filters)
        request["prev_kv"] = self._prev_kv
        request["progress_notify"] = self._progress_notify
        return request

    async def _receive(self) -> WatchResponse | None:
        """The next response worth telling; None for one that is not. Raises Unavailable when the stream is
        over."""
        if self._stream is None:
            return None
        line = await self._read_line(self._stream)
        if line is None:
            raise Unavailable("the watch's stream ended")
        if self._stream is not None and self._stream.head is not None and self._stream.head.status != 200:
            raise self._refusal(codec.error_of(self._stream.head.status, line))
        message = codec.decode(codec.WatchLine, line)
        if message.error is not None:
            raise self._refusal(codec.stream_error(message.error))
        return None if message.result is None else self._accept(message.result)

    def _refusal(self, error: StoreError) -> StoreError:
        """What will be refused again is the caller's; everything else is a reason to ask another member."""
        if isinstance(error, InvalidArgument | PermissionDenied | Compacted):
            return error
        return Unavailable(error.message, error.code)

    async def _read_line(self, stream: LineStream) -> bytes | None:
        loop = asyncio.get_running_loop()
        while True:
            silent_until = max(stream.last_heard, self._last_heard()) + SILENCE_S
            try:
                async with asyncio.timeout(max(0.05, silent_until - loop.time())):
                    return await stream.read()
            except TimeoutError:
                if loop.time() >= max(stream.last_heard, self._last_heard()) + SILENCE_S:
                    await self._probe()

    def _last_heard(self) -> float:
        return self._endpoint.last_heard if self._endpoint is not None else 0.0

    async def _probe(self) -> None:
        if self._endpoint is None:
            return
        await self._transport.ask(self._endpoint, "GET", "/version", b"", PROBE_TIMEOUT_S)
        self._endpoint.last_heard = asyncio.get_running_loop().time()

    # -- responses --

    def _accept(self, body: codec.WatchBody) -> WatchResponse | None:
        self._failures = 0
        if body.created and not body.canceled:
            return self._accept_created(body)
        if body.canceled:
            return self._accept_canceled(body)
        revision = body.header.revision
        if not body.events:
            # a store behind our own position (it has yet to catch up) has no progress to tell us
            if revision < self._next - 1:
                return None
            self._next = max(self._next, revision + 1)
            return WatchResponse(revision, [], progress=True)
        events = self._fresh(body.events)
        return WatchResponse(revision, events) if events else None

    def _accept_created(self, body: codec.WatchBody) -> WatchResponse | None:
        if self._next == 0:
            self._next = body.header.revision + 1
        if self._announced:
            return None
        self._announced = True
        return WatchResponse(body.header.revision, [], created=True)

    def _accept_canceled(self, body: codec.WatchBody) -> WatchResponse | None:
        self._drop_stream()
        if body.compact_revision:
            raise Compacted(body.compact_revision, body.cancel_reason)
        raise Unavailable(body.cancel_reason or "the store cancelled the watch")

    def _fresh(self, events: list[Event]) -> list[Event]:
        if events[0].kv.mod_revision < self._next:
            events = [event for event in events if event.kv.mod_revision >= self._next]
        if events:
            self._next = events[-1].kv.mod_revision + 1
        return events

    # -- fail-over --

    async def _fail_over(self) -> None:
        self._drop_stream()
        if self._closed:
            return
        if self._endpoint is not None:
            self._endpoint.avoid(asyncio.get_running_loop().time())
        self._failures += 1
        rounds, rest = divmod(self._failures, len(self._transport.endpoints.all))
        if rest == 0:
            await asyncio.sleep(min(RETRY_LIMIT_S, RETRY_FIRST_S * 2 ** min(rounds, 10)))

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

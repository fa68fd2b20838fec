"""A lean HTTP/1.1 server: the store's hot path.

`HttpConnection` is the asyncio protocol around `RequestParser`: it hands each request to the application as
one object, one at a time per connection (a pipelined request waits), and writes the answer. A path that the
application calls a stream gets its request at once, and a `Stream` to read the body from and write the
answer to.

Bounds: number of connections, idle time, time for a request; head and body by the parser. What breaks them
is answered and the connection closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Protocol, cast

from store.api.http1_parser import BadHttp, Body, EndOfBody, Event, Request, RequestParser
from store.component.data_protocol import DataProtocol

IDLE_TIMEOUT_S = 300.0
REQUEST_TIMEOUT_S = 30.0  # from the first byte of a request to its last


def head(status: int, content_type: str, length: int | None, keep_alive: bool = True) -> bytes:
    """The head of a response; without a length the body is chunked."""
    start = _head_start(status, content_type, keep_alive)
    if length is None:
        return start + b"Transfer-Encoding: chunked\r\n\r\n"
    return b"%bContent-Length: %d\r\n\r\n" % (start, length)


@cache
def _head_start(status: int, content_type: str, keep_alive: bool) -> bytes:
    connection = "" if keep_alive else "Connection: close\r\n"
    start = f"HTTP/1.1 {status} {_phrase(status)}\r\nServer: Balsa\r\nContent-Type: {content_type}\r\n"
    return (start + connection).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"


class Application(Protocol):
    """What a connection serves. Neither method raises."""

    streams: frozenset[bytes]

    async def handle(self, request: Request) -> Response: ...

    async def handle_stream(self, request: Request, stream: Stream) -> None: ...

    def error(self, status: int, message: str) -> Response: ...


class ServedConnection(Protocol):
    """A connection of whatever protocol, as the server counts and ends it."""

    def check_idle(self, now: float) -> None: ...

    def close_when_idle(self) -> None: ...

    def abort(self) -> None: ...


@dataclass(slots=True)
class Server:
    """The connections of one application, their number bounded."""

    application: Application
    max_connections: int
    connections: set[ServedConnection] = field(default_factory=set)
    refused: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    keepalive_min_time_s: float = 5.0  # of gRPC's pings
    stopping: bool = False
    _drained: asyncio.Event = field(default_factory=asyncio.Event)

    def remove(self, connection: ServedConnection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._drained.set()

    def protocol(self) -> HttpConnection:
        return HttpConnection(self)

    def sweep(self, now: float) -> None:
        """Close what has been idle, or has been sending one request, for too long. Called every few
        seconds."""
        for connection in list(self.connections):
            connection.check_idle(now)

    async def stop(self, grace_s: float) -> None:
        """Close idle connections, let requests end, cut streams."""
        self.stopping = True
        for connection in list(self.connections):
            connection.close_when_idle()
        if self.connections:
            self._drained.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._drained.wait()
        for connection in list(self.connections):
            connection.abort()


class HttpConnection(DataProtocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = RequestParser(server.application.streams)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._stream: Stream | None = None
        self._last_active = 0.0
        self._reading = True
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._loop = asyncio.get_running_loop()

    # -- DataProtocol --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._last_active = self._loop.time()
        if len(self._server.connections) >= self._server.max_connections or self._server.stopping:
            self._server.refused += 1
            self._refuse(503, "too many connections")
            return
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.remove(self)
        self._can_write.set()
        if self._stream is not None:
            self._stream.on_lost()
        # a request goes on without its connection: a proposal under way has an outcome anyway

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    def data_received(self, data: bytes) -> None:
        self._last_active = self._loop.time()
        self._server.received_bytes += len(data)
        self._parser.feed(data)
        if self._task is None or self._stream is not None:
            self._advance()
        elif self._reading and self._transport is not None:
            # the peer pipelines; it can wait for its answer
            self._reading = False
            self._transport.pause_reading()

    # -- requests --

    def _advance(self) -> None:
        """Start the next request that is complete, or feed the stream that is open."""
        try:
            while self._task is None or self._stream is not None:
                event = self._parser.next_event()
                if event is None:
                    self._on_incomplete()
                    return
                self._on_event(event)
        except BadHttp as error:
            self._refuse(error.status, str(error))

    def _on_incomplete(self) -> None:
        if self._transport is not None and self._parser.take_expectation():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _on_event(self, event: Event) -> None:
        match event:
            case Request() if event.path in self._server.application.streams:
                self._stream = Stream(self)
                self._task = self._loop.create_task(self._run_stream(event, self._stream))
            case Request():
                self._task = self._loop.create_task(self._run(event))
            case Body() if self._stream is not None:
                self._stream.body(event.data)
            case EndOfBody() if self._stream is not None:
                self._stream.end()
            case _:
                raise BadHttp(400, "a body without a request")

    async def _run(self, request: Request) -> None:
        response = await self._server.application.handle(request)
        if self._transport is None:
            return
        keep_alive = request.keep_alive and not self._server.stopping
        self._server.sent_bytes += len(response.body)
        self._transport.write(
            head(response.status, response.content_type, len(response.body), keep_alive) + response.body
        )
        if not keep_alive:
            self._transport.close()
            return
        if not self._can_write.is_set():
            await self._can_write.wait()
        self._next()

    async def _run_stream(self, request: Request, stream: Stream) -> None:
        try:
            await self._server.application.handle_stream(request, stream)
        finally:
            await stream.finish()
            self._stream = None
        if self._transport is None:
            return
        if stream.lost.is_set() or not stream.ended or not request.keep_alive or self._server.stopping:
            self._transport.close()
            return
        self._next()

    def _next(self) -> None:
        """The answer is written; go on with what has come meanwhile."""
        self._task = None
        self._resume()
        if self._parser.in_request:
            self._advance()

    def _resume(self) -> None:
        self._last_active = self._loop.time()
        if not self._reading and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    def _refuse(self, status: int, why: str) -> None:
        if self._transport is None:
            return
        if self._stream is None:
            response = self._server.application.error(status, why)
            self._transport.write(
                head(status, response.content_type, len(response.body), False) + response.body
            )
        self._transport.close()

    # -- for streams --

    async def write(self, data: bytes) -> None:
        if self._transport is None:
            raise ConnectionResetError("the client has gone")
        self._transport.write(data)
        self._server.sent_bytes += len(data)
        if not self._can_write.is_set():
            await self._can_write.wait()

    # -- for the server --

    def check_idle(self, now: float) -> None:
        if self._stream is not None or self._task is not None:
            return
        limit = REQUEST_TIMEOUT_S if self._parser.in_request else IDLE_TIMEOUT_S
        if now - self._last_active > limit:
            self.abort()

    def close_when_idle(self) -> None:
        if self._stream is not None:
            self._stream.on_lost()
        elif self._task is None and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Stream:
    """A request whose body is read and whose answer is written piece by piece, both ways at once."""

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection
        self._started = False
        self._early: list[bytes] = []  # pieces that came before the handler attached itself
        self._on_body: Callable[[bytes], None] = self._early.append
        self._on_end: Callable[[], None] = lambda: None
        self.ended = False
        self.on_lost_callback: Callable[[], None] = lambda: None
        self.lost = asyncio.Event()

    def attach(self, on_body: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        """Who reads the request's body from now on; what has come already is handed over at once."""
        self._on_body, self._on_end = on_body, on_end
        for data in self._early:
            on_body(data)
        self._early.clear()
        if self.ended:
            on_end()

    def body(self, data: bytes) -> None:
        self._on_body(data)

    def end(self) -> None:
        self.ended = True
        self._on_end()

    def on_lost(self) -> None:
        self.lost.set()
        self.on_lost_callback()

    async def write(self, data: bytes) -> None:
        """Send a piece; waits while the client is slow. Raises ConnectionResetError when it has gone."""
        piece = f"{len(data):x}\r\n".encode() + data + b"\r\n"
        if not self._started:
            self._started = True
            piece = head(200, "application/json", None) + piece
        await self._connection.write(piece)

    async def refuse(self, response: Response) -> None:
        """Answer with an error instead of a stream."""
        self._started = True
        await self._connection.write(
            head(response.status, response.content_type, len(response.body), False) + response.body
        )
        self.lost.set()

    async def finish(self) -> None:
        if self._started and not self.lost.is_set():
            with contextlib.suppress(ConnectionResetError):
                await self._connection.write(b"0\r\n\r\n")

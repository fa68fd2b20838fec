"""A lean HTTP/1.1 server protocol: the store's hot path.

`RequestParser` is bytes in, events out. `HttpConnection` is the asyncio protocol around it: it hands each
request to the application as one object, one at a time per connection (a pipelined request waits), and
writes the answer. A path that the application calls a stream gets its request at once and the pieces of its
body as they come.

Bounds: head, body, buffered input and idle time; what breaks them is answered and the connection closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Protocol, cast

MAX_HEAD_BYTES = 32 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024  # a request of 1.5 MiB in base64, with slack
MAX_CHUNK_LINE_BYTES = 256
MAX_INPUT_BYTES = 8 * 1024 * 1024  # of pipelined input that waits; then reading pauses
IDLE_TIMEOUT_S = 300.0
REQUEST_TIMEOUT_S = 30.0  # from the first byte of a request to its last

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class BadHttp(Exception):
    """The bytes are no acceptable HTTP/1.1 request; answered with `status`, then the connection is closed."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(slots=True)
class Request:
    method: bytes
    path: bytes
    headers: Mapping[bytes, bytes]  # shared by equal heads
    body: bytes = b""
    keep_alive: bool = True


@dataclass(slots=True)
class Body:
    data: bytes


@dataclass(slots=True)
class EndOfBody:
    pass


Event = Request | Body | EndOfBody


class RequestParser:
    """Requests with a Content-Length or chunked. A path in `streams` gives Request, Body…, EndOfBody; every
    other one a single Request with its whole body."""

    def __init__(self, streams: frozenset[bytes]) -> None:
        self._streams = streams
        self._buffer = bytearray()
        self._state = "head"
        self._remaining = 0
        self._request: Request | None = None
        self._streaming = False
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._asked = False

    @property
    def in_request(self) -> bool:
        return self._state != "head" or bool(self._buffer)

    def take_expectation(self) -> bool:
        """Is the client waiting for leave to send its body? True once per request."""
        request, asked = self._request, self._asked
        self._asked = True
        return (
            request is not None
            and not asked
            and request.headers.get(b"expect", b"").lower() == b"100-continue"
        )

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_event(self) -> Event | None:
        """The next event, or None when more bytes are needed."""
        while True:
            before = (self._state, len(self._buffer))
            event = self._step()
            if event is not None:
                return event
            if (self._state, len(self._buffer)) == before:
                return None

    def _step(self) -> Event | None:
        match self._state:
            case "head":
                return self._read_head()
            case "length":
                return self._read_length()
            case "chunk_line":
                return self._read_chunk_line()
            case "chunk_data":
                return self._read_chunk_data()
            case "trailer":
                return self._read_trailer()
            case _:
                return self._finish()

    def _read_head(self) -> Event | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > MAX_HEAD_BYTES:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadHttp(431, "the head of the request is too long")
            return None
        request = self._request = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        self._streaming = request.path in self._streams
        self._parts, self._size_bytes, self._asked = [], 0, False
        self._state, self._remaining = _framing(request)
        if self._state == "length" and not self._streaming and self._remaining > MAX_BODY_BYTES:
            raise BadHttp(413, "the body of the request is too long")
        return request if self._streaming else None

    def _read_length(self) -> Event | None:
        if self._remaining == 0:
            return self._finish()
        if not self._buffer:
            return None
        if not self._streaming and len(self._buffer) < self._remaining:
            return None  # a short body comes in one piece: wait for it instead of collecting parts
        data = bytes(self._buffer[: self._remaining])
        del self._buffer[: len(data)]
        self._remaining -= len(data)
        return self._take(data)

    def _read_chunk_line(self) -> Event | None:
        end = self._buffer.find(b"\r\n", 0, MAX_CHUNK_LINE_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_CHUNK_LINE_BYTES:
                raise BadHttp(400, "a chunk's size line is too long")
            return None
        text = bytes(self._buffer[:end]).split(b";", 1)[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", text):
            raise BadHttp(400, "a chunk's size is not a number")
        del self._buffer[: end + 2]
        self._remaining = int(text, 16)
        self._state = "chunk_data" if self._remaining else "trailer"
        return None

    def _read_chunk_data(self) -> Event | None:
        if self._remaining:
            data = bytes(self._buffer[: self._remaining])
            if not data:
                return None
            del self._buffer[: len(data)]
            self._remaining -= len(data)
            return self._take(data)
        if len(self._buffer) < 2:
            return None
        if self._buffer[:2] != b"\r\n":
            raise BadHttp(400, "a chunk does not end where it should")
        del self._buffer[:2]
        self._state = "chunk_line"
        return None

    def _read_trailer(self) -> Event | None:
        end = self._buffer.find(b"\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                raise BadHttp(431, "the trailer of the request is too long")
            return None
        del self._buffer[: end + 2]
        if end == 0:
            self._state = "end"
        return None

    def _take(self, data: bytes) -> Event | None:
        if self._streaming:
            return Body(data)
        self._size_bytes += len(data)
        if self._size_bytes > MAX_BODY_BYTES:
            raise BadHttp(413, "the body of the request is too long")
        self._parts.append(data)
        return None

    def _finish(self) -> Event:
        self._state = "head"
        request, self._request = self._request, None
        assert request is not None
        if self._streaming:
            return EndOfBody()
        request.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        return request


_heads: dict[bytes, Request] = {}
MAX_CACHED_HEADS = 1024
MAX_CACHED_HEAD_BYTES = 512


def parse_head(raw: bytes) -> Request:
    """A client repeats its heads to the byte, so parsing them once is most of the parsing."""
    known = _heads.get(raw)
    if known is None:
        known = _parse_head(raw)
        if len(raw) <= MAX_CACHED_HEAD_BYTES:
            if len(_heads) >= MAX_CACHED_HEADS:
                _heads.clear()
            _heads[raw] = known
    return Request(known.method, known.path, known.headers, b"", known.keep_alive)


def _parse_head(raw: bytes) -> Request:
    start, *lines = raw.split(b"\r\n")
    parts = start.split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadHttp(400, "not an HTTP/1.1 request")
    method, target, version = parts
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.match(name):
            raise BadHttp(400, "a header line is malformed")
        name = name.lower()
        if name in headers and name in (b"content-length", b"transfer-encoding", b"host"):
            raise BadHttp(400, "a header that must be unique is repeated")
        headers[name] = value.strip()
    connection = headers.get(b"connection", b"").lower()
    keep_alive = b"close" not in connection if version == b"HTTP/1.1" else b"keep-alive" in connection
    return Request(method, target.split(b"?", 1)[0], headers, keep_alive=keep_alive)


def _framing(request: Request) -> tuple[str, int]:
    encoding = request.headers.get(b"transfer-encoding")
    length = request.headers.get(b"content-length")
    if encoding is not None:
        if length is not None or encoding.lower() != b"chunked":
            raise BadHttp(400, "the request's length is ambiguous")
        return "chunk_line", 0
    if length is None:
        return "length", 0
    if not length.isdigit() or len(length) > 15:
        raise BadHttp(400, "the Content-Length is not a number")
    return "length", int(length)


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


@dataclass(slots=True)
class Server:
    """The connections of one application, their number bounded."""

    application: Application
    max_connections: int
    connections: set[HttpConnection] = field(default_factory=set)
    refused: int = 0
    stopping: bool = False
    _drained: asyncio.Event = field(default_factory=asyncio.Event)

    def remove(self, connection: HttpConnection) -> None:
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


class HttpConnection(asyncio.Protocol):
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

    # -- asyncio.Protocol --

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

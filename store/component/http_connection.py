"""One HTTP/1.1 connection, of a client: one request at a time, or one long-lived stream of lines.

`ResponseParser` is bytes in, events out, and knows nothing of sockets. `Connection` is the asyncio protocol
around it. A connection that saw anything unexpected is closed and never reused, so a reply can not be taken
for another request's.

Whether a lost request may have been executed is the caller's question; `Connection` answers with two
errors: `ConnectionLost` (the request was, at least in part, handed to the socket) and `ConnectionClosed`
(it was not).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import cast

from store.component.data_protocol import DataProtocol
from store.component.http_parser import Data, End, Head, HttpEvent, ProtocolError, ResponseParser

MAX_RESPONSE_BYTES = 512 * 1024 * 1024
STREAM_HIGH_WATER_BYTES = 4 * 1024 * 1024  # reading pauses above it, so a slow consumer holds the server back
STREAM_LOW_WATER_BYTES = 1024 * 1024
MAX_STREAM_LINE_BYTES = 256 * 1024 * 1024


class ConnectionLost(Exception):
    """The connection ended after the request was sent and before the answer was complete."""


class ConnectionClosed(Exception):
    """The connection was already closed: the request was not sent."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Connection(DataProtocol):
    """`request` for one exchange; `open_stream` turns the connection into a stream for the rest of its
    life."""

    def __init__(self, host_header: str) -> None:
        self._prefix = f" HTTP/1.1\r\nHost: {host_header}\r\n".encode()
        self._parser = ResponseParser()
        self.gone = asyncio.Event()  # the socket is closed
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._head: Head | None = None
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._stream: LineStream | None = None
        self._loop = asyncio.get_running_loop()
        self.last_heard = self._loop.time()

    @property
    def usable(self) -> bool:
        """Open, idle and able to take a request."""
        return self._transport is not None and self._waiter is None and self._stream is None

    async def request(self, method: str, path: str, body: bytes, headers: bytes = b"") -> Response:
        """One exchange. Cancelling it closes the connection: its answer would come too late for anybody."""
        self._send_head(method, path, headers, f"Content-Length: {len(body)}\r\n\r\n".encode(), body)
        waiter: asyncio.Future[Response] = self._loop.create_future()
        self._waiter = waiter
        try:
            return await waiter
        except asyncio.CancelledError:
            self.abort()
            raise

    def open_stream(self, path: str, first: bytes, headers: bytes, keep_sending: bool) -> LineStream:
        """POST `first` and read lines until the end; with `keep_sending`, `LineStream.send` adds more
        messages."""
        if keep_sending:
            framing = b"Transfer-Encoding: chunked\r\n\r\n"
            body = _chunk(first)
        else:
            framing = f"Content-Length: {len(first)}\r\n\r\n".encode()
            body = first
        self._send_head("POST", path, headers, framing, body)
        self._stream = LineStream(self)
        return self._stream

    def _send_head(self, method: str, path: str, headers: bytes, framing: bytes, body: bytes) -> None:
        if not self.usable or self._transport is None:
            raise ConnectionClosed
        start = f"{method} {path}".encode() + self._prefix + headers + framing
        self._transport.write(start + body)

    def write(self, data: bytes) -> None:
        if self._transport is None:
            raise ConnectionClosed
        self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._end(None)

    def close(self) -> None:
        """Close an idle connection politely (TLS says good-bye)."""
        if self._transport is not None:
            self._transport.close()
            self._end(None)

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    # -- DataProtocol --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._end(exc)

    def _end(self, exc: Exception | None) -> None:
        self._transport = None
        for event in self._parser.eof():
            self._on_event(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionLost(str(exc or "the server closed the connection")))
        self._waiter = None
        if self._stream is not None:
            self._stream.end()

    def data_received(self, data: bytes) -> None:
        self.last_heard = self._loop.time()
        try:
            for event in self._parser.feed(data):
                self._on_event(event)
        except ProtocolError as error:
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(ConnectionLost(str(error)))
            self.abort()

    def _on_event(self, event: HttpEvent) -> None:
        match event:
            case Head():
                self._head = event
                if self._stream is not None:
                    self._stream.head = event
            case Data():
                self._on_data(event.data)
            case End():
                self._on_end()

    def _on_data(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.feed(data)
            return
        self._size_bytes += len(data)
        if self._size_bytes > MAX_RESPONSE_BYTES:
            raise ProtocolError("the response is too long")
        self._parts.append(data)

    def _on_end(self) -> None:
        if self._stream is not None:
            self._stream.end()
            return
        head, self._head = self._head, None
        body = b"".join(self._parts)
        self._parts, self._size_bytes = [], 0
        waiter, self._waiter = self._waiter, None
        if waiter is None or head is None:
            self.abort()  # an answer that nobody asked for
        elif not waiter.done():
            waiter.set_result(Response(head.status, head.headers, body))
            if head.headers.get(b"connection", b"").lower() == b"close":
                self.close()


class LineStream:
    """The lines of a streamed response, with back-pressure. `read` returns None at the end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._partial = bytearray()
        self._lines: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._paused = False
        self._ended = False
        self._wake = asyncio.Event()
        self.head: Head | None = None

    @property
    def last_heard(self) -> float:
        return self._connection.last_heard

    async def read(self) -> bytes | None:
        while not self._lines:
            if self._ended:
                return None
            self._wake.clear()
            await self._wake.wait()
        line = self._lines.popleft()
        self._buffered_bytes -= len(line)
        if self._paused and self._buffered_bytes < STREAM_LOW_WATER_BYTES:
            self._paused = False
            self._connection.resume()
        return line

    def send(self, message: bytes) -> None:
        self._connection.write(_chunk(message))

    def close(self) -> None:
        self._connection.abort()

    def feed(self, data: bytes) -> None:
        self._partial += data
        if b"\n" not in data:
            if len(self._partial) > MAX_STREAM_LINE_BYTES:
                raise ProtocolError("a line of the stream is too long")
            return
        *lines, rest = bytes(self._partial).split(b"\n")
        self._partial = bytearray(rest)
        for line in lines:
            if line:
                self._lines.append(line)
                self._buffered_bytes += len(line)
        if not self._paused and self._buffered_bytes > STREAM_HIGH_WATER_BYTES:
            self._paused = True
            self._connection.pause()
        self._wake.set()

    def end(self) -> None:
        if self._partial and not self._ended:
            # an error body that is no stream (a refused request) has no line end
            self._lines.append(bytes(self._partial))
            self._partial.clear()
        self._ended = True
        self._wake.set()


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"

"""HTTP/1.1 requests, bytes in and events out; no sockets here.

A path that is a stream gives `Request`, `Body`… and `EndOfBody`, as they come; every other one gives a
single `Request` with its whole body. Anything ambiguous is refused (two lengths, a length and chunks,
spaces around names), so that no proxy before us can understand a request differently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_HEAD_BYTES = 32 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024  # a request of 1.5 MiB in base64, with slack
MAX_CHUNK_LINE_BYTES = 256

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

"""HTTP/1.1 responses, bytes in and events out; no sockets here."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024
MAX_CHUNK_LINE_BYTES = 256


class ProtocolError(Exception):
    """The peer does not speak HTTP/1.1 as we need it."""


@dataclass(frozen=True, slots=True)
class Head:
    status: int
    headers: dict[bytes, bytes]  # names in lower case


@dataclass(frozen=True, slots=True)
class Data:
    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The message is complete."""


HttpEvent = Head | Data | End


class ResponseParser:
    """Responses with a Content-Length, chunked, or ended by the connection's end.

    States: head → (length | chunk_line → chunk_data → chunk_line … | until_eof) → head.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._state = "head"
        self._remaining = 0

    def feed(self, data: bytes) -> list[HttpEvent]:
        self._buffer += data
        events: list[HttpEvent] = []
        while self._step(events):
            pass
        return events

    def eof(self) -> list[HttpEvent]:
        """The peer closed; a body without a length ends here, anything else was cut."""
        if self._state == "until_eof":
            self._state = "head"
            return [End()]
        return []

    def _step(self, events: list[HttpEvent]) -> bool:
        match self._state:
            case "head":
                return self._read_head(events)
            case "length" | "chunk_data":
                return self._read_counted(events)
            case "chunk_line":
                return self._read_chunk_line()
            case "trailer":
                return self._read_trailer(events)
            case _:
                return self._read_all(events)

    def _read_head(self, events: list[HttpEvent]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise ProtocolError("the head of a response is too long")
            return False
        head = _parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        if head.status == 100:
            return True
        events.append(head)
        if b"chunked" in head.headers.get(b"transfer-encoding", b""):
            self._state = "chunk_line"
        elif (length := head.headers.get(b"content-length")) is not None:
            self._remaining = _number(length, 10)
            self._state = "length"
            if self._remaining == 0:
                self._finish(events)
        elif head.status in (204, 304):
            self._finish(events)
        else:
            self._state = "until_eof"
        return True

    def _read_counted(self, events: list[HttpEvent]) -> bool:
        if not self._buffer:
            return False
        part = bytes(self._buffer[: self._remaining])
        del self._buffer[: len(part)]
        self._remaining -= len(part)
        if self._state == "length":
            events.append(Data(part))
            if self._remaining == 0:
                self._finish(events)
            return True
        return self._read_chunk_data(part, events)

    def _read_chunk_data(self, part: bytes, events: list[HttpEvent]) -> bool:
        # `_remaining` counts the CRLF that closes the chunk as well; it is not part of the data
        tail = max(0, 2 - self._remaining)
        data = part[: len(part) - tail] if tail else part
        if data:
            events.append(Data(data))
        if self._remaining == 0:
            self._state = "chunk_line"
        return True

    def _read_chunk_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > MAX_CHUNK_LINE_BYTES:
                raise ProtocolError("a chunk's size line is too long")
            return False
        size = _number(bytes(self._buffer[:end]).split(b";")[0], 16)
        del self._buffer[: end + 2]
        if size == 0:
            self._state = "trailer"
        else:
            self._remaining = size + 2
            self._state = "chunk_data"
        return True

    def _read_trailer(self, events: list[HttpEvent]) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        del self._buffer[: end + 2]
        if end == 0:
            self._finish(events)
        return True

    def _read_all(self, events: list[HttpEvent]) -> bool:
        if self._buffer:
            events.append(Data(bytes(self._buffer)))
            self._buffer.clear()
        return False

    def _finish(self, events: list[HttpEvent]) -> None:
        events.append(End())
        self._state = "head"


def _parse_head(raw: bytes) -> Head:
    status_line, *lines = raw.split(b"\r\n")
    parts = status_line.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1."):
        raise ProtocolError(f"not an HTTP/1.1 response: {status_line[:60]!r}")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    return Head(_number(parts[1], 10), headers)


def _number(text: bytes, base: int) -> int:
    try:
        number = int(text.strip(), base)
    except ValueError:
        number = -1
    if number < 0:
        raise ProtocolError(f"not a number: {text[:40]!r}")
    return number

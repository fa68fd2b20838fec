"""Clients of etcd's gRPC API with only what a benchmark needs of HTTP/2: a fixed header block, and of the answers
the frames' heads."""

from __future__ import annotations

import asyncio
import time
from typing import cast

from bench.store.load import Door, Load

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = 1
WINDOW_BYTES = 2**30
MAX_FRAME_BYTES = 16 * 1024


def varint(number: int) -> bytes:
    encoded = b""
    while number >= 0x80:
        encoded += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return encoded + bytes((number,))


def field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(value)) + value


def put(key: bytes, value: bytes) -> bytes:
    return field(1, key) + field(2, value)


def get(key: bytes) -> bytes:
    return field(1, key)


def puts(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """A transaction of puts."""
    return b"".join(field(2, field(2, put(key, value))) for key, value in pairs)


def watch(key: bytes, range_end: bytes) -> bytes:
    return field(1, field(1, key) + field(2, range_end))


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def opening() -> bytes:
    settings = b"\x00\x04" + WINDOW_BYTES.to_bytes(4, "big")
    return (
        PREFACE
        + frame(SETTINGS, 0, 0, settings)
        + frame(WINDOW_UPDATE, 0, 0, WINDOW_BYTES.to_bytes(4, "big"))
    )


def header_block(path: bytes) -> bytes:
    fields = (
        (b":path", path),
        (b":authority", b"bench"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    )
    return b"\x83\x87" + b"".join(
        b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in fields
    )


def message(body: bytes) -> bytes:
    return b"\0" + len(body).to_bytes(4, "big") + body


def data(stream_id: int, body: bytes) -> bytes:
    """All that is sent of a stream."""
    starts = range(0, len(body), MAX_FRAME_BYTES)
    return b"".join(
        frame(DATA, END_STREAM * (start == starts[-1]), stream_id, body[start : start + MAX_FRAME_BYTES])
        for start in starts
    )


class Client(asyncio.Protocol):
    """One call after another."""

    transport: asyncio.Transport

    def __init__(self, load: Load, block: bytes) -> None:
        self._load = load
        self._block = block
        self._buffer = b""
        self._stream_id = -1
        self._has_data = False
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(opening())
        self._call()

    def _call(self) -> None:
        self._stream_id += 2
        self._has_data = False
        body = message(self._load.request(next(self._load.numbers)))
        self._sent_at = time.perf_counter()
        self.transport.write(frame(HEADERS, 4, self._stream_id, self._block) + data(self._stream_id, body))

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        position, end = 0, len(data)
        while end - position >= 9:
            length = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
            if end - position < 9 + length:
                break
            kind, flags = data[position + 3], data[position + 4]
            position += 9 + length
            if kind == DATA:
                self._has_data = True
            elif kind == HEADERS and flags & END_STREAM:
                self._on_answer()
            else:
                self._on_other(kind, flags, data[position - length : position])
        self._buffer = data[position:]

    def _on_answer(self) -> None:
        self._load.answered(self._sent_at, self._has_data)  # a status alone: an error
        if self._load.running:
            self._call()

    def _on_other(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & 1:
            self.transport.write(frame(SETTINGS, 1, 0, b""))
        elif kind == PING and not flags & 1:
            self.transport.write(frame(PING, 1, 0, payload))
        elif kind in (RST_STREAM, GOAWAY):
            self._load.failures += 1


def door(path: str) -> Door:
    block = header_block(path.encode())
    return Door("h2", lambda load: Client(load, block))

"""A load generator for etcd's gRPC API, lean enough not to be what is measured.

Each client is a TLS connection of its own that sends its next request when the last one is answered. Only
what a benchmark needs of HTTP/2 is here: a fixed header block, and of the answers the frames' heads.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
WINDOW_BYTES = 2**30

Message = Callable[[int], bytes]


def varint(number: int) -> bytes:
    encoded = b""
    while number >= 0x80:
        encoded += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return encoded + bytes((number,))


def text(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(value)) + value


def put(key: bytes, value: bytes) -> bytes:
    return text(1, key) + text(2, value)


def get(key: bytes) -> bytes:
    return text(1, key)


@dataclass
class Load:
    """What all clients of one run share."""

    path: bytes
    message: Message
    numbers: count[int] = field(default_factory=count)
    latencies_s: list[float] = field(default_factory=list)
    failures: int = 0
    running: bool = True


class Client(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._stream_id = -1
        self._has_data = False
        self._sent_at = 0.0
        self.transport: asyncio.Transport | None = None
        name = b"bench"
        self._block = b"\x83\x87" + b"".join(
            b"\x00" + bytes((len(n),)) + n + bytes((len(v),)) + v
            for n, v in (
                (b":path", load.path),
                (b":authority", name),
                (b"content-type", b"application/grpc"),
                (b"te", b"trailers"),
            )
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        settings = b"\x00\x04" + WINDOW_BYTES.to_bytes(4, "big")
        window = WINDOW_BYTES.to_bytes(4, "big")
        self._write(PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(8, 0, 0, window))
        self._request()

    def _write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def _request(self) -> None:
        self._stream_id += 2
        self._has_data = False
        body = self._load.message(next(self._load.numbers))
        self._sent_at = time.perf_counter()
        message = b"\0" + len(body).to_bytes(4, "big") + body
        self._write(
            _frame(HEADERS, 4, self._stream_id, self._block) + _frame(DATA, 1, self._stream_id, message)
        )

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        position = 0
        while len(data) - position >= 9:
            length = int.from_bytes(data[position : position + 3], "big")
            if len(data) - position < 9 + length:
                break
            kind, flags = data[position + 3], data[position + 4]
            self._on_frame(kind, flags, data[position + 9 : position + 9 + length])
            position += 9 + length
        self._buffer = data[position:]

    def _on_frame(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == DATA:
            self._has_data = True
        elif kind == HEADERS and flags & 1:
            self._on_answer()
        elif kind == SETTINGS and not flags & 1:
            self._write(_frame(SETTINGS, 1, 0, b""))
        elif kind == PING and not flags & 1:
            self._write(_frame(PING, 1, 0, payload))
        elif kind in (RST_STREAM, GOAWAY):
            self._load.failures += 1

    def _on_answer(self) -> None:
        load = self._load
        if self._has_data:
            load.latencies_s.append(time.perf_counter() - self._sent_at)
        else:
            load.failures += 1  # a status alone: an error
        if load.running:
            self._request()


def _frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


@dataclass(frozen=True)
class Result:
    per_s: float
    p50_ms: float
    p99_ms: float
    failures: int


async def run(
    urls: list[str], tls: ssl.SSLContext, path: str, message: Message, clients: int, duration_s: float
) -> Result:
    """So many clients for so long, spread over the URLs; the first fifth of the time is not counted."""
    tls.set_alpn_protocols(["h2"])
    load = Load(path.encode(), message)
    loop = asyncio.get_running_loop()
    connections = []
    for number in range(clients):
        parts = urlsplit(urls[number % len(urls)])
        _, client = await loop.create_connection(lambda: Client(load), parts.hostname, parts.port, ssl=tls)
        connections.append(client)
    await asyncio.sleep(duration_s / 5)
    load.latencies_s.clear()
    load.failures = 0
    began = time.perf_counter()
    await asyncio.sleep(duration_s)
    elapsed_s = time.perf_counter() - began
    latencies = sorted(load.latencies_s)
    failures = load.failures
    load.running = False
    for client in connections:
        if client.transport is not None:
            client.transport.abort()
    if not latencies:
        raise RuntimeError("nothing was answered")
    return Result(
        len(latencies) / elapsed_s,
        latencies[len(latencies) // 2] * 1e3,
        latencies[len(latencies) * 99 // 100] * 1e3,
        failures,
    )

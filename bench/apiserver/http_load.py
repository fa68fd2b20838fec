"""A load generator for HTTP/1.1 over TLS, lean enough not to be what is measured.

Each client is a connection of its own that sends its next request when the last one is answered. Of HTTP only what
the apiserver's answers to such requests use is here: a status line, and a length or chunks.
"""

from __future__ import annotations

import asyncio
import resource
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

Request = Callable[[int], bytes]
"""From a request's number to its bytes."""

WARM_UP_SHARE = 0.2


def request(method: str, target: str, body: bytes = b"") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\nUser-Agent: bench\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@dataclass
class Load:
    """What all clients of one run share."""

    request: Request
    numbers: count[int]
    latencies_s: list[float] = field(default_factory=list)
    failures: int = 0
    running: bool = True


@dataclass(frozen=True)
class Result:
    """`generator_share`: processor time of this process to the time that passed; near 1 it is the bottleneck."""

    per_s: float
    p50_ms: float
    p99_ms: float
    failures: int
    generator_share: float


class Client(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent_at = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        assert self.transport is not None
        data = self._load.request(next(self._load.numbers))
        self._sent_at = time.perf_counter()
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or not _is_complete(head.lower(), body):
            return
        self._load.latencies_s.append(time.perf_counter() - self._sent_at)
        self._load.failures += not head.startswith(b"HTTP/1.1 2")
        self._buffer = b""
        if self._load.running:
            self._send()


def _is_complete(head: bytes, body: bytes) -> bool:
    length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length) if length else body.endswith(b"0\r\n\r\n")


async def run(
    host: str, port: int, tls: ssl.SSLContext, make: Request, clients: int, duration_s: float, first: int = 0
) -> Result:
    """So many clients for so long; what is answered at the beginning is not counted."""
    load = Load(make, count(first))
    loop = asyncio.get_running_loop()
    connections = [
        (
            await loop.create_connection(
                lambda: Client(load), host, port, ssl=tls, server_hostname="127.0.0.1"
            )
        )[1]
        for _ in range(clients)
    ]
    await asyncio.sleep(duration_s * WARM_UP_SHARE)
    load.latencies_s.clear()
    load.failures = 0
    began, cpu_began = time.perf_counter(), cpu_s()
    await asyncio.sleep(duration_s)
    elapsed_s, spent_s = time.perf_counter() - began, cpu_s() - cpu_began
    latencies, failures = sorted(load.latencies_s), load.failures
    load.running = False
    for client in connections:
        if client.transport is not None:
            client.transport.abort()
    if not latencies:
        raise RuntimeError("nothing was answered")
    return Result(
        per_s=len(latencies) / elapsed_s,
        p50_ms=latencies[len(latencies) // 2] * 1e3,
        p99_ms=latencies[len(latencies) * 99 // 100] * 1e3,
        failures=failures,
        generator_share=spent_s / elapsed_s,
    )


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

"""Closed-loop load: so many clients, each a TLS connection of its own that sends its next request when the last one
is answered. The generator is to be lean enough not to be what is measured; it reports its own processor time.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

WARM_UP_SHARE = 0.2


@dataclass
class Load:
    """What all clients of one run share. `request` makes a request of a number."""

    request: Callable[[int], bytes]
    numbers: count[int] = field(default_factory=count)
    latencies_s: list[float] = field(default_factory=list)
    failures: int = 0
    running: bool = True

    def answered(self, sent_at: float, ok: bool) -> None:
        if ok:
            self.latencies_s.append(time.perf_counter() - sent_at)
        else:
            self.failures += 1


@dataclass(frozen=True)
class Door:
    """A protocol: what TLS is to agree on, who speaks it."""

    alpn: str
    client: Callable[[Load], asyncio.Protocol]


@dataclass(frozen=True)
class Result:
    per_s: float
    p50_ms: float
    p99_ms: float
    failures: int
    generator_cores: float


async def connect(door: Door, load: Load, url: str, tls: ssl.SSLContext) -> asyncio.BaseTransport:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(
        lambda: door.client(load), parts.hostname, parts.port, ssl=tls, server_hostname=parts.hostname
    )
    return transport


async def run(
    door: Door, load: Load, urls: list[str], tls: ssl.SSLContext, clients: int, duration_s: float
) -> Result:
    """So many clients for so long, spread over the URLs; the beginning is not counted."""
    tls.set_alpn_protocols([door.alpn])
    transports = [await connect(door, load, urls[n % len(urls)], tls) for n in range(clients)]
    await asyncio.sleep(duration_s * WARM_UP_SHARE)
    load.latencies_s.clear()
    load.failures = 0
    began, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.sleep(duration_s)
    elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    latencies, failures = sorted(load.latencies_s), load.failures
    load.running = False
    for transport in transports:
        transport.abort()  # type: ignore[attr-defined]
    if not latencies:
        raise RuntimeError("nothing was answered")
    return Result(
        len(latencies) / elapsed_s,
        latencies[len(latencies) // 2] * 1e3,
        latencies[len(latencies) * 99 // 100] * 1e3,
        failures,
        cpu_s / elapsed_s,
    )

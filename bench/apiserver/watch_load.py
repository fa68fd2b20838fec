"""Many watchers of one collection, and how long after a write each of them has the event.

The writers put the time of sending into the object; the watchers look for it in the bytes that come, without
decoding them, so that a hundred of them fit beside what is measured.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from dataclasses import dataclass, field

from bench.apiserver.http_load import request

SENT_AT = re.compile(rb'"sent":"(\d+)"')
QUIET_S = 0.5


@dataclass
class Seen:
    """Delays of all watchers' events, and when the last one came."""

    delays_s: list[float] = field(default_factory=list)
    last_at: float = 0.0


class Watcher(asyncio.Protocol):
    def __init__(self, target: str, seen: Seen) -> None:
        self._target = target
        self._seen = seen
        self._rest = b""
        self.began = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        transport.write(request("GET", self._target))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.began.set()
        now = time.perf_counter()
        lines, _, self._rest = (self._rest + data).rpartition(b"\n")
        for sent in SENT_AT.findall(lines):
            self._seen.delays_s.append(now - int(sent) / 1e9)
            self._seen.last_at = now


async def start(
    host: str, port: int, tls: ssl.SSLContext, target: str, watchers: int
) -> tuple[Seen, list[Watcher]]:
    """All of them connected; those that have an answer to wait for have its head."""
    seen, loop = Seen(), asyncio.get_running_loop()
    started = [
        (
            await loop.create_connection(
                lambda: Watcher(target, seen), host, port, ssl=tls, server_hostname="127.0.0.1"
            )
        )[1]
        for _ in range(watchers)
    ]
    await asyncio.gather(*(asyncio.wait_for(each.began.wait(), 10) for each in started))
    return seen, started


async def drained(seen: Seen, timeout_s: float = 30.0) -> None:
    """Returns when no event has come for a while."""
    deadline = time.perf_counter() + timeout_s
    before = -1
    while len(seen.delays_s) != before and time.perf_counter() < deadline:
        before = len(seen.delays_s)
        await asyncio.sleep(QUIET_S)


def stop(watchers: list[Watcher]) -> None:
    for each in watchers:
        if each.transport is not None:
            each.transport.abort()

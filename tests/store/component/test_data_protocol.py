"""One buffer for all connections of a thread: what they receive is theirs alone, in several threads at once too."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvloop

from store.component.data_protocol import BUFFER_BYTES, DataProtocol

CONNECTIONS = 8
SIZE_BYTES = 3 * BUFFER_BYTES


class Collector(DataProtocol):
    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


async def exchange(seed: int) -> None:
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    said, heard = [], []
    for _ in range(CONNECTIONS):
        near, far = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
        _, protocol = await loop.create_connection(Collector, sock=far)
        said.append((transport, rng.randbytes(SIZE_BYTES)))
        heard.append(protocol)
    for start in range(0, SIZE_BYTES, 50_000):
        for transport, data in said:
            transport.write(data[start : start + 50_000])
        await asyncio.sleep(0)
    for (transport, data), protocol in zip(said, heard, strict=True):
        transport.close()
        async with asyncio.timeout(20):
            await protocol.ended.wait()
        assert b"".join(protocol.received) == data


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_each_connection_gets_its_own_bytes(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda seed: run(exchange(seed)), range(4)))

"""Two Duplex ends joined in memory, with a bound so that backpressure is real."""

from __future__ import annotations

import asyncio

CAPACITY = 16  # chunks


class MemoryDuplex:
    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue(CAPACITY)
        self.peer: MemoryDuplex | None = None
        self.closed = False

    async def read(self) -> bytes:
        return await self.inbox.get()

    async def write(self, data: bytes) -> None:
        assert self.peer is not None
        if self.closed or self.peer.closed:
            raise ConnectionResetError("closed")
        await self.peer.inbox.put(data)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            assert self.peer is not None
            for end in (self, self.peer):
                if not end.inbox.full():
                    end.inbox.put_nowait(b"")


def joined() -> tuple[MemoryDuplex, MemoryDuplex]:
    left, right = MemoryDuplex(), MemoryDuplex()
    left.peer, right.peer = right, left
    return left, right

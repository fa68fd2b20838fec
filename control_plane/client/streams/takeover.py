"""The server's side of an upgrade: aiohttp parses the request, then its connection is ours.

aiohttp's protocol object stays in charge of the connection's life (shutdown, loss, closing at the end); its
bytes come here instead of to the HTTP parser. Nothing may be sent by the client before the 101 is, except what
follows a WebSocket handshake in the same packet, which aiohttp keeps and hands over.
"""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

HIGH_WATER_BYTES = 256 * 1024  # received and not read yet: then the socket is not read either
LOW_WATER_BYTES = 64 * 1024


class TakenConnection:
    """A Duplex. It speaks the interface that aiohttp calls a payload parser (`feed_data`, `feed_eof`)."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._protocol = request.protocol
        self._writer: AbstractStreamWriter = request.writer
        self._protocol.set_parser(self)  # type: ignore[arg-type]  # typed for WebSockets, made for any

    # from aiohttp

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER_BYTES and not self._paused:
            self._pause(True)
        self._wake()
        return False, b""

    def feed_eof(self) -> None:
        self._ended = True
        self._wake()

    # to the user

    async def read(self) -> bytes:
        while not self._chunks:
            if self._ended or self._protocol.transport is None:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._chunks.popleft()
        self._size -= len(data)
        if self._paused and self._size < LOW_WATER_BYTES:
            self._pause(False)
        return data

    async def write(self, data: bytes) -> None:
        if self._protocol.transport is None or self._protocol.transport.is_closing():
            raise ConnectionResetError("the client went away")
        await self._writer.write(data)

    def close(self) -> None:
        if self._protocol.transport is not None:
            self._protocol.transport.close()

    # inside

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _pause(self, paused: bool) -> None:
        transport = self._protocol.transport
        if transport is None:
            return
        self._paused = paused
        if paused:
            transport.pause_reading()
        else:
            transport.resume_reading()


class Taken(web.StreamResponse):
    """What a handler returns when it has answered by itself: aiohttp adds nothing and closes."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None: ...

"""One listener of the userspace proxy: TCP.

Each connection is two transports that copy into each other. A side that reads slowly pauses the other, so that
no more than BUFFER_BYTES wait in each direction; an end of stream is passed on as a half-close. A backend that
refuses is passed over for the next one; when all refuse, the client gets a reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import cast

from node.proxy.balancer import Balancer
from node.proxy.rules import Backend

BUFFER_BYTES = 256 * 1024
MAX_CONNECTIONS = 4096  # of one listener; more are reset at once
CONNECT_TIMEOUT_S = 5.0
MAX_ATTEMPTS = 4  # backends tried for one connection

Connect = Callable[[Backend, socket.SocketKind], Awaitable[socket.socket]]


class TcpListener:
    def __init__(self, balancer: Balancer, connect: Connect) -> None:
        self.balancer = balancer
        self._connect = connect
        self._server: asyncio.Server | None = None
        self.connections: set[_Side] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Side(self), sock=listening)

    async def close(self) -> None:
        """Connections that are established go on until they end, as with kube-proxy."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def abort(self) -> None:
        """End every connection now: the process is stopping."""
        for task in self._tasks:
            task.cancel()
        for side in list(self.connections):
            side.abort()

    def accepted(self, client: _Side) -> None:
        if len(self.connections) > MAX_CONNECTIONS:
            client.abort()
            return
        task = asyncio.get_running_loop().create_task(self._splice(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _splice(self, client: _Side) -> None:
        made = await self._reach(client.peer_address)
        if made is None or client.closed:
            if made is not None:
                made.close()
            client.abort()
            return
        loop = asyncio.get_running_loop()
        try:
            _, server = await loop.create_connection(lambda: _Side(None), sock=made)
        except OSError:
            made.close()
            client.abort()
            return
        client.join(server)

    async def _reach(self, client: str) -> socket.socket | None:
        failed: frozenset[Backend] = frozenset()
        for _ in range(MAX_ATTEMPTS):
            backend = self.balancer.pick(client, failed)
            if backend is None:
                return None
            try:
                return await self._connect(backend, socket.SOCK_STREAM)
            except (OSError, TimeoutError):
                failed |= {backend}
        return None


class _Side(asyncio.Protocol):
    """One of the two connections; `owner` is the listener for the client's side."""

    def __init__(self, owner: TcpListener | None) -> None:
        self._owner = owner
        self._other: _Side | None = None
        self._transport: asyncio.Transport | None = None
        self._early = b""  # what came before the other side was there
        self._eof = False
        self.closed = False
        self.peer_address = ""

    def join(self, other: _Side) -> None:
        """Start copying, both ways."""
        self._other, other._other = other, self
        for side in (self, other):
            side._begin()
        if self.closed or other.closed:
            self._other_is_gone()
            other._other_is_gone()

    def _begin(self) -> None:
        if self._transport is None or self.closed:
            return
        self._transport.resume_reading()
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)
        if self._eof:
            self.eof_received()

    def abort(self) -> None:
        """Close with a reset, as a port without a listener answers."""
        if self._transport is None or self.closed:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.pause_reading()
        self._transport.set_write_buffer_limits(high=BUFFER_BYTES)
        peer = transport.get_extra_info("peername")
        self.peer_address = peer[0] if peer else ""
        if self._owner is not None:
            self._owner.connections.add(self)
            self._owner.accepted(self)

    def data_received(self, data: bytes) -> None:
        if self._other is None:  # loops differ in when pausing takes effect
            self._early += data
            assert self._transport is not None
            self._transport.pause_reading()
        elif self._other._transport is not None and not self._other.closed:
            self._other._transport.write(data)

    def eof_received(self) -> bool:
        self._eof = True
        other = self._other
        if other is not None and other._transport is not None and not other.closed:
            if other._transport.can_write_eof():
                other._transport.write_eof()
            if other._eof:
                other._transport.close()
        return not (other is not None and other._eof)  # keep our own half open

    def pause_writing(self) -> None:
        if self._other is not None and self._other._transport is not None and not self._other.closed:
            self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and self._other._transport is not None and not self._other.closed:
            self._other._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._owner is not None:
            self._owner.connections.discard(self)
        if self._other is not None:
            if error is not None:
                self._other.abort()
            else:
                self._other._other_is_gone()

    def _other_is_gone(self) -> None:
        if self._transport is not None and not self.closed:
            self._transport.close()

"""A connection as two directions of bytes, and the tunnel that joins two connections.

TLS cannot close one direction and keep the other, so at this level an end is the end of both: what needs to
half-close says so inside the protocol that it speaks over the connection.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

CHUNK_SIZE_BYTES = 64 * 1024


class Duplex(Protocol):
    async def read(self) -> bytes:
        """Some bytes as they come; b"" when the peer has ended. One reader at a time."""

    async def write(self, data: bytes) -> None:
        """Waits while the peer is slow. Raises ConnectionError."""

    def close(self) -> None: ...


class SocketDuplex:
    """A connection made by `asyncio.open_connection`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(CHUNK_SIZE_BYTES)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except RuntimeError as error:  # uvloop's word for a transport that is closed
            raise ConnectionResetError(str(error)) from error

    def close(self) -> None:
        self._writer.close()


async def splice(left: Duplex, right: Duplex, idle_timeout_s: float) -> None:
    """Copy both ways until either side ends, nothing moves for `idle_timeout_s`, or we are cancelled.

    Each direction holds one chunk, and reads the next when the other side has taken it: a slow reader slows the
    writer down and costs no memory. Closing the two is the caller's.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(idle_timeout_s) as idle:

            async def copy(source: Duplex, target: Duplex) -> None:
                while data := await source.read():
                    idle.reschedule(loop.time() + idle_timeout_s)
                    await target.write(data)

            await first_of(copy(left, right), copy(right, left))
    except (TimeoutError, ConnectionError):
        return


async def first_of(*works: object) -> None:
    """Run all until one has ended, then cancel the others; an error of the first is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]  # type: ignore[call-overload]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()

"""`asyncio.Protocol` that receives into a buffer which is there already.

For an `asyncio.Protocol` the event loop makes a new buffer of 256 KiB for each read and cuts it down to what came.
In a process that holds much, to find room for it takes longer than to read, and the cuttings scatter its memory.
"""

from __future__ import annotations

import asyncio
import threading

BUFFER_BYTES = 256 * 1024


class _Buffer(threading.local):
    """One for all connections of a thread, so of a loop: what it holds is taken out before the loop goes on."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(BUFFER_BYTES))


_buffer = _Buffer()


class DataProtocol(asyncio.BufferedProtocol):
    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_buffer.view[:nbytes]))

    def data_received(self, data: bytes) -> None:
        raise NotImplementedError

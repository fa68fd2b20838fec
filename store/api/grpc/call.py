"""One call: the messages of a request, as they come, and the answer, as the client takes it.

message = compressed:u8 length:u32 bytes
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from store.api.errors import RequestTooLarge, TextError
from store.api.grpc.header_block import RESPONSE, TRAILERS_OK, Head, trailers
from store.mvcc.errors import Code, RequestError

if TYPE_CHECKING:
    from store.api.grpc.server import GrpcConnection

PREFIX_BYTES = 5
MAX_MESSAGE_BYTES = 2 * 1024 * 1024  # etcd's: its largest request and 512 KiB of overhead
SEND_QUEUE_BYTES = 64 * 1024  # waiting in a stream before its sender waits too


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class CallReset(ConnectionError):
    """The client has given the call up, or its connection is gone."""


class MessageError(TextError):
    """What came is no message; in grpc-go's words and code."""

    code = Code.INTERNAL


class Call:
    def __init__(self, connection: GrpcConnection, stream_id: int, head: Head) -> None:
        self.head = head
        self.stream_id = stream_id
        self.task: asyncio.Task[None] | None = None
        self.reset = False
        self.blocking = False  # may wait for ever: ends when its client gives up
        self.wake = asyncio.Event()  # something of the client's has come
        self._connection = connection
        self._buffer = bytearray()
        self._ended = False
        self._started = False
        self._drained: asyncio.Event | None = None

    # -- what the connection tells --

    def feed(self, data: bytes, ended: bool) -> None:
        self._buffer += data
        self._ended = ended
        self.wake.set()

    def on_reset(self) -> None:
        self.reset = True
        self.wake.set()
        self.on_drained()
        if self.blocking and self.task is not None:
            self.task.cancel()

    def on_drained(self) -> None:
        if self._drained is not None:
            self._drained.set()

    # -- reading --

    @property
    def peer_name(self) -> str:
        return self._connection.peer_name

    @property
    def wants_leader(self) -> bool:
        """The client would rather fail than wait on a member that is cut off."""
        return self.head.headers.get(b"hasleader") == b"true"

    @property
    def buffered_bytes(self) -> int:
        return len(self._buffer)

    @property
    def ended(self) -> bool:
        """The client has sent all it will, and all of it was taken."""
        return self._ended and not self._buffer

    def take(self) -> bytes | None:
        """The next message, if it has come whole. Raises RequestError."""
        buffer = self._buffer
        if len(buffer) < PREFIX_BYTES:
            if self._ended and buffer:
                raise MessageError("unexpected EOF")
            return None
        if buffer[0]:
            raise _Unsupported("grpc: Decompressor is not installed for grpc-encoding")
        size = int.from_bytes(buffer[1:PREFIX_BYTES], "big")
        if size > MAX_MESSAGE_BYTES:
            raise RequestTooLarge
        end = PREFIX_BYTES + size
        if len(buffer) < end:
            if self._ended:
                raise MessageError("unexpected EOF")
            return None
        message = bytes(buffer[PREFIX_BYTES:end])
        del buffer[:end]
        self._connection.consumed(self.stream_id, end)
        return message

    async def next(self) -> bytes | None:
        """The next message; None at the end. Raises RequestError or CallReset."""
        while (message := self.take()) is None:
            if self.reset:
                raise CallReset
            if self.ended:
                return None
            self.wake.clear()
            await self.wake.wait()
        return message

    # -- answering --

    def answer(self, message: bytes) -> None:
        """The whole answer of a unary call."""
        start = b"" if self._started else RESPONSE
        self._started = True
        self._connection.answer(self.stream_id, start, framed(message), TRAILERS_OK)

    async def send(self, message: bytes) -> None:
        """One message of a stream; waits while the client is slow. Raises CallReset."""
        await self.send_framed(framed(message))

    async def _wait(self, queued_bytes: int) -> None:
        if queued_bytes > SEND_QUEUE_BYTES:
            self._drained = asyncio.Event()
            await self._drained.wait()
            if self.reset:
                raise CallReset

    async def send_framed(self, messages: bytes) -> None:
        """Like `send`, for messages that `framed` made."""
        if self.reset:
            raise CallReset
        self.start()
        await self._wait(self._connection.send(self.stream_id, messages))

    def start(self) -> None:
        """The head of the answer, if the client is to have it before the first message."""
        if not self._started:
            self._started = True
            self._connection.send_headers(self.stream_id, RESPONSE)

    def finish(self) -> None:
        self.start()
        self._connection.end(self.stream_id, TRAILERS_OK)

    def fail(self, error: RequestError) -> None:
        """End with a status; the only block of the answer when nothing was sent."""
        block = trailers(error.code, str(error))
        self._connection.end(self.stream_id, block if self._started else RESPONSE + block)


class _Unsupported(TextError):
    code = Code.UNIMPLEMENTED

"""A SPDY connection over a Duplex: the shell around `connection.py`. Streams are read and written like pipes.

One task (`run`) reads the connection. While MAX_UNREAD_BYTES wait to be read by the streams' users it does not go
on: the client is slowed down by its transport. A ping now and then finds out when the peer is gone meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from control_plane.client.streams.duplex import CHUNK_SIZE_BYTES, Duplex, first_of
from control_plane.client.streams.errors import ProtocolError, StreamReset
from control_plane.client.streams.spdy.connection import (
    Connection,
    DataReceived,
    Event,
    PeerLeaves,
    StreamEnded,
    StreamGivenUp,
    StreamOpened,
    StreamReplied,
)

MAX_UNREAD_BYTES = 1024 * 1024  # of all streams of a connection
PING_INTERVAL_S = 30.0


class Stream:
    """One stream. `read` is for one reader, `write` for one writer."""

    def __init__(self, session: Session, stream_id: int, headers: Mapping[str, str]) -> None:
        self.id = stream_id
        self.headers = headers
        self._session = session
        self._unread = bytearray()
        self._ended = False
        self._given_up = False
        self._discarding = False
        self._arrived = asyncio.Event()

    async def read(self) -> bytes:
        """Some bytes; b"" when the peer has ended. Raises StreamReset."""
        while not self._unread:
            if self._ended:
                return b""
            if self._given_up:
                raise StreamReset(f"stream {self.id} was reset")
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._unread)
        self._unread.clear()
        await self._session.consumed(self.id, len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Raises StreamReset when the peer wants no more, ConnectionError when it is gone."""
        for start in range(0, len(data), CHUNK_SIZE_BYTES):
            await self._session.send(self.id, data[start : start + CHUNK_SIZE_BYTES])

    async def end(self) -> None:
        """We write no more."""
        with contextlib.suppress(StreamReset, ConnectionError):
            await self._session.send(self.id, b"", fin=True)

    async def reset(self) -> None:
        """Neither side sends any more, and nothing is read."""
        await self.discard()
        self.give_up()
        with contextlib.suppress(ConnectionError):
            await self._session.reset(self.id)

    async def discard(self) -> None:
        """What the peer sends from now on, or has sent, is not wanted."""
        self._discarding = True
        size = len(self._unread)
        self._unread.clear()
        await self._session.consumed(self.id, size)

    # to the session

    def feed(self, data: bytes) -> int:
        """How much of it waits to be read."""
        if self._discarding:
            return 0
        self._unread += data
        self._arrived.set()
        return len(data)

    def end_of_input(self) -> None:
        self._ended = True
        self._arrived.set()

    def give_up(self) -> None:
        """Nothing more will arrive."""
        self._given_up = True
        self._arrived.set()


class Session:
    """`on_stream` is called with each stream that the peer opens; it must not block."""

    def __init__(
        self, duplex: Duplex, is_server: bool, on_stream: Callable[[Stream], None] | None = None
    ) -> None:
        self._duplex = duplex
        self._connection = Connection(is_server)
        self._on_stream = on_stream
        self._streams: dict[int, Stream] = {}
        self._writing = asyncio.Lock()
        self._unread = 0
        self._roomy = asyncio.Event()

    async def run(self) -> None:
        """Until the peer ends, or breaks the protocol, or the connection is lost. Never raises for these."""
        try:
            await first_of(self._receive(), self._ping())
        except ConnectionError:
            pass
        except ProtocolError:
            with contextlib.suppress(ConnectionError):
                await self._flush()
        finally:
            for stream in self._streams.values():
                stream.give_up()

    async def open(self, headers: dict[str, str]) -> Stream:
        """A stream of ours. Raises ConnectionError, ProtocolError."""
        stream_id = self._connection.open(headers)
        stream = self._streams[stream_id] = Stream(self, stream_id, headers)
        await self._flush()
        return stream

    # to the streams

    async def send(self, stream_id: int, data: bytes, fin: bool = False) -> None:
        if not self._connection.can_send(stream_id):
            raise StreamReset(f"stream {stream_id} takes no more data")
        self._connection.send(stream_id, data, fin)
        self._forget_if_over(stream_id)
        await self._flush()

    async def reset(self, stream_id: int) -> None:
        self._connection.reset(stream_id)
        self._forget_if_over(stream_id)
        await self._flush()

    async def consumed(self, stream_id: int, size_bytes: int) -> None:
        self._unread -= size_bytes
        if self._unread < MAX_UNREAD_BYTES:
            self._roomy.set()
        self._connection.consumed(stream_id, size_bytes)
        with contextlib.suppress(ConnectionError):  # what was received is good all the same
            await self._flush()

    # inside

    async def _receive(self) -> None:
        while data := await self._duplex.read():
            events = self._connection.receive(data)
            for event in events:
                if isinstance(event, PeerLeaves):
                    return
                self._handle(event)
            for event in events:  # only now: the last events of a stream may stand behind one another
                assert not isinstance(event, PeerLeaves)
                self._forget_if_over(event.stream_id)
            await self._flush()
            while self._unread >= MAX_UNREAD_BYTES:
                self._roomy.clear()
                await self._roomy.wait()

    def _handle(self, event: Event) -> None:
        if isinstance(event, StreamOpened):
            self._opened(event)
            return
        assert not isinstance(event, PeerLeaves)
        known = self._streams.get(event.stream_id)
        if known is None:
            return
        match event:
            case DataReceived(stream_id, data):
                waiting = known.feed(data)
                self._unread += waiting
                if not waiting:
                    self._connection.consumed(stream_id, len(data))
            case StreamEnded():
                known.end_of_input()
            case StreamGivenUp():
                known.give_up()
            case StreamReplied():
                pass

    def _opened(self, event: StreamOpened) -> None:
        if self._on_stream is None:
            self._connection.reset(event.stream_id)
            return
        stream = self._streams[event.stream_id] = Stream(self, event.stream_id, event.headers)
        self._connection.reply(event.stream_id)
        self._on_stream(stream)

    def _forget_if_over(self, stream_id: int) -> None:
        if not self._connection.knows(stream_id):
            self._streams.pop(stream_id, None)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL_S)
            self._connection.ping()
            await self._flush()

    async def _flush(self) -> None:
        """In the order in which frames were made; who makes more while another writes waits for it."""
        async with self._writing:
            if data := self._connection.take():
                await self._duplex.write(data)

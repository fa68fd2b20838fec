"""Connections into a pod, over three kinds of upgrade:

    SPDY                     for each connection an error stream and a data stream, paired by `requestid`
    WebSocket, tunneled      the same SPDY inside the messages of a WebSocket (SPDY/3.1+portforward.k8s.io)
    WebSocket, channels      for the port at index i of the query: channel 2i data, 2i+1 error

An end of one direction is carried to the other side: FIN to shutdown(2) and back. What goes wrong with one
connection is said on its error stream, and the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import WSCloseCode, web

from control_plane.client.streams import handshake
from control_plane.client.streams.duplex import CHUNK_SIZE_BYTES, Duplex, first_of
from control_plane.client.streams.errors import StreamReset
from control_plane.client.streams.spdy.session import Session, Stream
from control_plane.client.streams.takeover import Taken, TakenConnection
from node.agent.streaming import over_websocket
from node.agent.streaming.command import BadOptions
from node.agent.streaming.over_websocket import Channels

MAX_PORTS = 100  # of one request over channels
PAIR_TIMEOUT_S = 30.0  # between the two streams of a connection
MAX_PORT = 65535
CHANNEL_PROTOCOLS = (
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
)  # clients that offer v5 do not mean it here

Dial = Callable[[int], Awaitable[socket.socket]]


class Local(Protocol):
    """The client's side of one connection."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def end(self) -> None:
        """The pod sends no more."""

    async def reset(self) -> None:
        """The pod's side, or the client's, is broken."""


async def serve(request: web.Request, pod: str, dial: Dial) -> web.StreamResponse:
    """Raises NotAnUpgrade, BadOptions."""
    if handshake.upgrade_of(request.headers) != "websocket":
        return await _over_spdy(request, pod, dial)
    offers = handshake.offered(request.headers.getall(handshake.WEBSOCKET_PROTOCOL, []))
    if handshake.TUNNELED_PORT_FORWARD in offers:
        return await _tunneled(request, pod, dial)
    return await _over_channels(request, pod, dial)


async def _over_spdy(request: web.Request, pod: str, dial: Dial) -> web.StreamResponse:
    offers = handshake.offered(request.headers.getall(handshake.STREAM_PROTOCOL, []))
    protocol = handshake.chosen(offers, (handshake.PORT_FORWARD,))
    connection = TakenConnection(request)
    await connection.write(handshake.spdy_answer(protocol))
    await _Forwarder(connection, pod, dial).run()
    return Taken()


async def _tunneled(request: web.Request, pod: str, dial: Dial) -> web.StreamResponse:
    response = await over_websocket.accept(request, handshake.TUNNELED_PORT_FORWARD)
    await first_of(
        _Forwarder(_WebSocketDuplex(response), pod, dial).run(), over_websocket.keep_alive(response)
    )
    await over_websocket.close(response, WSCloseCode.OK)
    return response


class _WebSocketDuplex:
    """The bytes inside a WebSocket's messages, whose borders mean nothing."""

    def __init__(self, response: web.WebSocketResponse) -> None:
        self._response = response

    async def read(self) -> bytes:
        while (data := await over_websocket.receive(self._response)) is not None:
            if data:
                return data
        return b""

    async def write(self, data: bytes) -> None:
        await self._response.send_bytes(data)

    def close(self) -> None: ...


@dataclass(slots=True)
class _Pair:
    data: Stream | None = None
    error: Stream | None = None
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Forwarder:
    """One client's SPDY connection. Its number of streams is bounded by the connection."""

    duplex: Duplex
    pod: str
    dial: Dial
    pairs: dict[str, _Pair] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        session = Session(self.duplex, is_server=True, on_stream=self._opened)
        try:
            await session.run()
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            for pair in self.pairs.values():
                _stop_timer(pair)

    def _opened(self, stream: Stream) -> None:
        kind, request_id = stream.headers.get("streamtype"), stream.headers.get("requestid", "")
        pair = self.pairs.setdefault(request_id, _Pair())
        if kind == "data" and pair.data is None:
            pair.data = stream
        elif kind == "error" and pair.error is None:
            pair.error = stream
        else:
            self._start(stream.reset())
        if pair.data is not None and pair.error is not None:
            del self.pairs[request_id]
            _stop_timer(pair)
            self._start(self._forward(pair.data, pair.error))
        elif pair.timer is None:
            loop = asyncio.get_running_loop()
            pair.timer = loop.call_later(PAIR_TIMEOUT_S, self._too_late, request_id)

    def _too_late(self, request_id: str) -> None:
        pair = self.pairs.pop(request_id)
        for stream in (pair.data, pair.error):
            if stream is not None:
                self._start(stream.reset())

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the connection is gone: everything here ends with it

    async def _forward(self, data: Stream, error: Stream) -> None:
        await error.discard()  # clients say nothing there
        try:
            port = _port(data.headers.get("port", ""))
            problem = await forward(_StreamPair(data, error), port, self.pod, self.dial)
        except BadOptions as refused:
            problem = str(refused)
        await data.discard()  # what is left of it must not count against the others
        if problem:
            with contextlib.suppress(StreamReset, ConnectionError):
                await error.write(problem.encode())
        await data.end()
        await error.end()


@dataclass(frozen=True, slots=True)
class _StreamPair:
    data: Stream
    error: Stream

    async def read(self) -> bytes:
        return await self.data.read()

    async def write(self, data: bytes) -> None:
        await self.data.write(data)

    async def end(self) -> None:
        """All is well: clients wait for that word before they close their side."""
        await self.data.end()
        await self.error.end()

    async def reset(self) -> None:
        await self.data.reset()


def _stop_timer(pair: _Pair) -> None:
    if pair.timer is not None:
        pair.timer.cancel()


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) <= MAX_PORT:
        raise BadOptions(f"invalid port {text[:20]!r}")
    return int(text)


async def forward(local: Local, port: int, pod: str, dial: Dial) -> str:
    """Join the client's side to a new connection to the pod's port, until both directions have ended; returns
    what went wrong."""
    try:
        sock = await dial(port)
    except (OSError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or str(error) or "timed out"
        return f"error forwarding port {port} to pod {pod}: {why.lower()}"
    reader, writer = await asyncio.open_connection(sock=sock)
    tasks = [
        asyncio.ensure_future(_upload(local, writer)),
        asyncio.ensure_future(_download(reader, local)),
    ]
    try:
        await asyncio.gather(*tasks)
    except (OSError, StreamReset):  # either side has broken the connection off
        await local.reset()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
    return ""


async def _upload(local: Local, writer: asyncio.StreamWriter) -> None:
    while data := await local.read():
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _download(reader: asyncio.StreamReader, local: Local) -> None:
    while data := await reader.read(CHUNK_SIZE_BYTES):
        await local.write(data)
    await local.end()


# ---- over channels


async def _over_channels(request: web.Request, pod: str, dial: Dial) -> web.StreamResponse:
    ports = [_port(text) for value in request.query.getall("port", []) for text in value.split(",") if text]
    if not ports:
        raise BadOptions('query parameter "port" is required')
    if len(ports) > MAX_PORTS:
        raise BadOptions(f"at most {MAX_PORTS} ports")
    channels = await Channels.accept(request, CHANNEL_PROTOCOLS)
    connections = [_ChannelConnection(channels, index) for index in range(len(ports))]

    async def all_ports() -> None:
        for connection, port in zip(connections, ports, strict=True):
            await connection.announce(port)
        await asyncio.gather(
            *(each.serve(port, pod, dial) for each, port in zip(connections, ports, strict=True))
        )

    await channels.serve(all_ports)
    return channels.response


class _ChannelConnection:
    def __init__(self, channels: Channels, index: int) -> None:
        self._channels = channels
        self._data, self._error = 2 * index, 2 * index + 1
        self._input = channels.input(self._data)

    async def announce(self, port: int) -> None:
        """The first message of each channel is its port, little endian."""
        for channel in (self._data, self._error):
            await self._channels.write(channel, struct.pack("<H", port))

    async def serve(self, port: int, pod: str, dial: Dial) -> None:
        if problem := await forward(self, port, pod, dial):
            self._input.discard()
            await self._channels.write(self._error, problem.encode())

    async def read(self) -> bytes:
        return await self._input.read()

    async def write(self, data: bytes) -> None:
        await self._channels.write(self._data, data)

    async def end(self) -> None:
        """There is no word for it: the whole connection ends, or the client would wait for ever."""
        raise StreamReset("the pod has ended the connection")

    async def reset(self) -> None: ...

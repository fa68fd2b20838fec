"""exec and attach over a WebSocket: each stream is a channel (see control_plane/client/streams/channels.py)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

from aiohttp import WSCloseCode, WSMsgType, web

from control_plane.client.streams import handshake
from control_plane.client.streams.channels import CODECS, Channel, Close, Codec
from control_plane.client.streams.duplex import CHUNK_SIZE_BYTES, first_of
from control_plane.client.streams.errors import NotAnUpgrade, ProtocolError
from node.agent.streaming.command import Options, Run, outcome_of, terminal_sizes
from node.runtime.interface import Streams

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_UNREAD_BYTES = 256 * 1024  # of a channel; then the WebSocket is not read
PING_INTERVAL_S = 30.0
CLOSE_TIMEOUT_S = 5.0
CLIENT_READY_TIMEOUT_S = 0.02


async def serve(request: web.Request, options: Options, run: Run, what: str) -> web.StreamResponse:
    """Raises NotAnUpgrade."""
    channels = await Channels.accept(request)
    stdin = channels.input(Channel.STDIN)
    resize = channels.input(Channel.RESIZE)
    streams = Streams(
        stdin=stdin if options.stdin else None,
        stdout=channels.output(Channel.STDOUT) if options.stdout else None,
        stderr=channels.output(Channel.STDERR) if options.stderr else None,
        tty=options.tty,
        sizes=terminal_sizes(resize) if options.tty else None,
    )
    if not options.stdin:
        stdin.discard()
    if not options.tty:
        resize.discard()

    async def command() -> None:
        await channels.write(_first(options), b"")  # tells the client that the connection stands
        outcome = await outcome_of(run, streams, what)
        stdin.discard()
        if said := outcome.encode(channels.codec.version):
            await channels.write(Channel.ERROR, said)

    await channels.serve(command)
    return channels.response


def _first(options: Options) -> Channel:
    if options.stdout:
        return Channel.STDOUT
    return Channel.STDERR if options.stderr else Channel.ERROR


class Channels:
    """A WebSocket as channels to read from and write to.

    Nothing is written before the client is ready: client-go's, which speak v5, begin to read before they have made
    their streams, and discard what comes for the others (kubernetes#131189, mended in 1.34). Their first message
    shows that all are there; who has nothing to say is given `CLIENT_READY_TIMEOUT_S`."""

    def __init__(self, response: web.WebSocketResponse, codec: Codec) -> None:
        self.response = response
        self.codec = codec
        self._inputs: dict[int, Pipe] = {}
        self._client_ready = asyncio.Event()
        if not codec.can_close:
            self._client_ready.set()

    @classmethod
    async def accept(cls, request: web.Request, known: Collection[str] = CODECS) -> Channels:
        """Raises NotAnUpgrade."""
        offers = handshake.offered(request.headers.getall(handshake.WEBSOCKET_PROTOCOL, []))
        name = handshake.chosen(offers, known) if offers else ""
        response = await accept(request, name)
        return cls(response, CODECS[name])

    def input(self, channel: int) -> Pipe:
        self._inputs[channel] = Pipe()
        return self._inputs[channel]

    def output(self, channel: int) -> Output:
        return Output(self, channel)

    async def write(self, channel: int, data: bytes) -> None:
        await self._client_ready.wait()
        message = self.codec.encode(channel, data)
        if self.codec.is_text:
            await self.response.send_str(message.decode("ascii"))
        else:
            await self.response.send_bytes(message)

    async def serve(self, work: Callable[[], object]) -> None:
        """Run `work` until it has ended or the client has gone; then close."""
        code = WSCloseCode.OK
        ready = asyncio.get_running_loop().call_later(CLIENT_READY_TIMEOUT_S, self._client_ready.set)
        try:
            await first_of(work(), self._receive(), keep_alive(self.response))
        except ConnectionError:
            pass
        except ProtocolError:
            code = WSCloseCode.PROTOCOL_ERROR
        finally:
            ready.cancel()
        await close(self.response, code)

    async def _receive(self) -> None:
        while (data := await receive(self.response)) is not None:
            message = self.codec.decode(data)
            self._client_ready.set()
            pipe = self._inputs.get(message.channel)
            if pipe is None:
                continue
            if isinstance(message, Close):
                pipe.end()
            else:
                await pipe.feed(message.data)


class Output:
    def __init__(self, channels: Channels, channel: int) -> None:
        self._channels = channels
        self._channel = channel

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK_SIZE_BYTES):
            await self._channels.write(self._channel, data[start : start + CHUNK_SIZE_BYTES])


class Pipe:
    """Bytes from the WebSocket's reader to who uses the channel, bounded."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._ended = False
        self._discarding = False
        self._arrived = asyncio.Event()
        self._roomy = asyncio.Event()

    async def read(self) -> bytes:
        while not self._unread:
            if self._ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._unread)
        self._unread.clear()
        self._roomy.set()
        return data

    async def feed(self, data: bytes) -> None:
        """Waits while too much is unread."""
        while len(self._unread) >= MAX_UNREAD_BYTES and not self._discarding:
            self._roomy.clear()
            await self._roomy.wait()
        if not self._discarding:
            self._unread += data
            self._arrived.set()

    def end(self) -> None:
        self._ended = True
        self._arrived.set()

    def discard(self) -> None:
        self._discarding = True
        self._unread.clear()
        self._roomy.set()


async def accept(request: web.Request, protocol: str) -> web.WebSocketResponse:
    """Raises NotAnUpgrade."""
    response = web.WebSocketResponse(
        protocols=[protocol] if protocol else (), max_msg_size=MAX_MESSAGE_BYTES, compress=False,
        timeout=CLOSE_TIMEOUT_S,
    )  # fmt: skip
    try:
        await response.prepare(request)
    except web.HTTPException as error:
        raise NotAnUpgrade(error.text or "malformed handshake") from error
    return response


async def receive(response: web.WebSocketResponse) -> bytes | None:
    """The next message's bytes; None when the client has closed or gone."""
    message = await response.receive()
    if message.type is WSMsgType.BINARY:
        return bytes(message.data)
    if message.type is WSMsgType.TEXT:
        return str(message.data).encode()
    return None


async def keep_alive(response: web.WebSocketResponse) -> None:
    """Find out when the client is gone although nothing is read. An answer is not asked for: it would be behind
    what is not read."""
    while True:
        await asyncio.sleep(PING_INTERVAL_S)
        await response.ping()


async def close(response: web.WebSocketResponse, code: int) -> None:
    with contextlib.suppress(ConnectionError):
        await response.close(code=code)

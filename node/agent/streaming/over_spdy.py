"""exec and attach over SPDY/3.1: the client opens one stream for each of error, stdin, stdout, stderr, resize."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from control_plane.client.streams import handshake
from control_plane.client.streams.duplex import first_of
from control_plane.client.streams.errors import StreamReset
from control_plane.client.streams.spdy.session import Session, Stream
from control_plane.client.streams.takeover import Taken, TakenConnection
from node.agent.streaming.command import Options, Run, outcome_of, terminal_sizes
from node.runtime.interface import Streams

VERSIONS = {
    "v5.channel.k8s.io": 5,
    "v4.channel.k8s.io": 4,
    "v3.channel.k8s.io": 3,
    "v2.channel.k8s.io": 2,
}
RESIZE_VERSION = 3
CREATION_TIMEOUT_S = 30.0  # for the client to open its streams
LINGER_S = 5.0  # for the client to take the outcome and hang up


async def serve(request: web.Request, options: Options, run: Run, what: str) -> web.StreamResponse:
    """Raises NotAnUpgrade."""
    offers = handshake.offered(request.headers.getall(handshake.STREAM_PROTOCOL, []))
    protocol = handshake.chosen(offers, VERSIONS)
    connection = TakenConnection(request)
    await connection.write(handshake.spdy_answer(protocol))
    command = _Command(options, VERSIONS[protocol])
    session = Session(connection, is_server=True, on_stream=command.opened)
    reading = asyncio.ensure_future(session.run())
    try:
        await first_of(asyncio.shield(reading), command.serve(run, what))
        await asyncio.wait([reading], timeout=LINGER_S)
    except (ConnectionError, StreamReset, TimeoutError):
        pass
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return Taken()


class _Command:
    def __init__(self, options: Options, version: int) -> None:
        self._options = options
        self._version = version
        wanted = {
            "error": True,
            "stdin": options.stdin,
            "stdout": options.stdout,
            "stderr": options.stderr,
            "resize": options.tty and version >= RESIZE_VERSION,
        }
        self._missing = {name for name, is_wanted in wanted.items() if is_wanted}
        self._streams: dict[str, Stream] = {}
        self._complete = asyncio.Event()
        self._refused: set[asyncio.Task[None]] = set()

    def opened(self, stream: Stream) -> None:
        kind = stream.headers.get("streamtype", "")
        if kind not in self._missing:
            task = asyncio.ensure_future(stream.reset())
            self._refused.add(task)
            task.add_done_callback(self._refused.discard)
            return
        self._missing.discard(kind)
        self._streams[kind] = stream
        if not self._missing:
            self._complete.set()

    async def serve(self, run: Run, what: str) -> None:
        async with asyncio.timeout(CREATION_TIMEOUT_S):
            await self._complete.wait()
        streams = self._streams
        resize = streams.get("resize")
        ends = Streams(
            stdin=streams.get("stdin"),
            stdout=streams.get("stdout"),
            stderr=streams.get("stderr"),
            tty=self._options.tty,
            sizes=terminal_sizes(resize) if resize else None,
        )
        outcome = await outcome_of(run, ends, what)
        if said := outcome.encode(self._version):
            await streams["error"].write(said)
        for kind in ("stdout", "stderr", "error"):
            if kind in streams:
                await streams[kind].end()
        for kind in ("stdin", "resize"):
            if kind in streams:
                with contextlib.suppress(StreamReset, ConnectionError):
                    await streams[kind].discard()
                    await streams[kind].end()

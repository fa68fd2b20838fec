"""The HTTP shell: aiohttp's low-level server (no router, no middleware) turned into our Request and Response.

It owns sockets, TLS and connections, and nothing else. The client's certificate is read once per connection.
A client that hangs up cancels its handler: a watch ends, a write that has reached the store still happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import unquote

import orjson
from aiohttp import ClientPayloadError, HttpVersion10, web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web_protocol import RequestHandler

from control_plane.api import errors
from control_plane.apiserver import warning_headers
from control_plane.apiserver.messages import JSON, BodyTooLarge, Connection, Request, Response
from control_plane.client.streams.takeover import Taken, TakenConnection
from store.component import logs

Handler = Callable[[Request], Awaitable[Response]]

KEEPALIVE_TIMEOUT_S = 180.0
MAX_LINE_BYTES = 64 * 1024
BACKLOG = 1024
DRAIN_TIMEOUT_S = 5.0

_UNFORESEEN = errors.internal("the request could not be answered")

log = logs.get("apiserver.http")


class _Protocol(RequestHandler):
    """One connection, with a place for what is known of its client."""

    __slots__ = ("client",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.client = Connection(
            remote=str(peer[0]) if peer else "",
            certificate=transport.get_extra_info("peercert") or None,
            tls=transport.get_extra_info("ssl_object"),
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, and what our own code did not foresee: a Status all the same."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        error = errors.bad_request(message or "malformed request") if status < 500 else _UNFORESEEN
        return _last_answer(error)


def _last_answer(error: errors.StatusError) -> web.Response:
    """Of its connection, and it says so: what could not be parsed may have been of any version of HTTP."""
    headers = {"Connection": "close"}
    response = web.Response(
        status=error.code, body=orjson.dumps(error.status()), content_type=JSON, headers=headers
    )
    response.force_close()
    return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class HTTPServer:
    """Serves `handler` on listening sockets. `stop` drains: no new connection, requests under way finish."""

    def __init__(self, handler: Handler, sockets: Sequence[socket.socket], context: ssl.SSLContext) -> None:
        self._handler = handler
        self._sockets = sockets
        self._context = context
        self._listeners: list[asyncio.Server] = []
        self._draining = False
        self._server = _Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_TIMEOUT_S,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            listener = await loop.create_server(self._server, sock=sock, ssl=self._context, backlog=BACKLOG)
            self._listeners.append(listener)

    def drain(self) -> None:
        """From now on a response ends its connection, so that clients move to another replica."""
        self._draining = True

    async def stop(self) -> None:
        self.drain()
        for listener in self._listeners:
            listener.close()
        self._server.pre_shutdown()  # connections that wait for a request are closed at once
        await self._server.shutdown(DRAIN_TIMEOUT_S)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ConnectionError:
            raise  # the client went away
        except Exception:
            log.exception("a request could not be answered", method=request.method, path=request.path)
            raise

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.version < HttpVersion10:
            return _last_answer(errors.bad_request("malformed HTTP version"))
        ours = Request(
            method=request.method,
            path=unquote(request.rel_url.raw_path),
            raw_query=request.rel_url.raw_query_string,
            headers=request.headers,
            connection=_connection(request),
            read=lambda limit: _read(request, limit),
            raw_path=request.rel_url.raw_path,
            headers_all=lambda name: list(request.headers.getall(name, [])),
        )
        try:
            response = await self._handler(ours)
            return await self._send(request, response)
        finally:
            for end in ours.on_end:
                end()

    async def _send(self, request: web.BaseRequest, response: Response) -> web.StreamResponse:
        if response.upgrade is not None:
            with contextlib.suppress(ConnectionError):  # the client went away
                await response.upgrade(TakenConnection(request))
            return Taken()
        headers = {"Content-Type": response.content_type, **response.headers}
        if self._draining:
            headers["Connection"] = "close"
        if response.stream is None:
            plain = web.Response(status=response.status, body=response.body, headers=headers)
            _add_headers(plain, response)
            return plain
        streaming = web.StreamResponse(status=response.status, headers=headers)
        _add_headers(streaming, response)
        if request.version >= (1, 1):
            streaming.enable_chunked_encoding()
        await streaming.prepare(request)
        try:
            await response.stream(streaming.write)
        except ConnectionError:
            return streaming  # the client went away
        await streaming.write_eof()
        return streaming


def _add_headers(response: web.StreamResponse, ours: Response) -> None:
    """Those that may be there more than once."""
    for name, value in ours.repeated:
        response.headers.add(name, value)
    for warning in warning_headers.headers(ours.warnings):
        response.headers.add("Warning", warning)


def _connection(request: web.BaseRequest) -> Connection:
    protocol = request.protocol
    return protocol.client if isinstance(protocol, _Protocol) else Connection()


async def _read(request: web.BaseRequest, limit: int) -> bytes:
    if not request.body_exists:
        return b""
    if (request.content_length or 0) > limit:
        raise BodyTooLarge
    try:
        if request.content.is_eof():  # as a rule all of it came with the head
            body = request.content.read_nowait()
            if len(body) > limit:
                raise BodyTooLarge
            return body
        return await _collected(request, limit)
    except (web.RequestPayloadError, ClientPayloadError, BadHttpMessage) as error:
        raise errors.bad_request(f"the request's body is malformed: {error}") from error


async def _collected(request: web.BaseRequest, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > limit:
            raise BodyTooLarge
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)

"""The client door: one port for HTTP/1.1 (the JSON gateway) and HTTP/2 (gRPC).

TLS's ALPN decides. HTTP/1.1 is preferred, so that a client that speaks both gets the gateway, as it would
by path and content type at an etcd; a gRPC client offers HTTP/2 alone.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

from store.api.auth import TokenKeeper
from store.api.calls import Calls
from store.api.grpc import streams
from store.api.grpc.auth_rows import MAY_BLOCK
from store.api.grpc.call import Call
from store.api.grpc.server import GrpcConnection, Method
from store.api.grpc.unary import UNARY, serve_unary
from store.api.grpc.watch import watch
from store.api.http1 import Server
from store.api.methods import Row
from store.api.service import StoreService
from store.component.data_protocol import DataProtocol

ALPN_PROTOCOLS = ("http/1.1", "h2")


Stream = Callable[[StoreService, Call], Awaitable[None]]


STREAMS: dict[bytes, Stream] = {
    b"/etcdserverpb.KV/RangeStream": streams.range_stream,
    b"/etcdserverpb.Watch/Watch": watch,
    b"/etcdserverpb.Lease/LeaseKeepAlive": streams.keep_alive,
    b"/etcdserverpb.Maintenance/Snapshot": streams.snapshot,
    b"/v3electionpb.Election/Observe": streams.observe,
    b"/grpc.health.v1.Health/Watch": streams.watch_health,
}


def offer(context: ssl.SSLContext) -> None:
    context.set_alpn_protocols(list(ALPN_PROTOCOLS))


class GrpcMethods:
    """Path → what serves it, in the name of whoever calls."""

    def __init__(self, service: StoreService, tokens: TokenKeeper, calls: Calls) -> None:
        self._service = service
        self._tokens = tokens
        self._calls = calls
        methods: dict[bytes, Method] = {path: partial(self._unary, row) for path, row in UNARY.items()}
        for path in MAY_BLOCK:
            methods[path] = partial(self._blocking_unary, UNARY[path])
        for path, stream in STREAMS.items():
            methods[path] = partial(self._stream, stream)
        self.by_path: dict[bytes, Method] = {
            path: partial(self._counted, path[1:].decode(), method) for path, method in methods.items()
        }

    async def _counted(self, name: str, method: Method, call: Call) -> None:
        await self._calls.count(name, partial(method, call))

    async def _unary(self, row: Row, call: Call) -> None:
        await serve_unary(self._for_caller(call), row, call)

    async def _blocking_unary(self, row: Row, call: Call) -> None:
        call.blocking = True
        await serve_unary(self._for_caller(call), row, call)

    async def _stream(self, stream: Stream, call: Call) -> None:
        call.blocking = True
        await stream(self._for_caller(call), call)

    def _for_caller(self, call: Call) -> StoreService:
        """While authentication is on: by token, else by the certificate's common name, as in etcd."""
        if not self._service.machine.auth.enabled:
            return self._service
        headers = call.head.headers
        token = headers.get(b"token") or headers.get(b"authorization")
        user = self._tokens.user(token.decode("latin-1")) if token else call.peer_name
        return self._service.on_behalf_of(user)


class Door(asyncio.Protocol):
    """Stands in until the connection says what it speaks."""

    def __init__(self, server: Server, methods: GrpcMethods) -> None:
        self._server = server
        self._methods = methods

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        tls = transport.get_extra_info("ssl_object")
        speaks_http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        protocol: DataProtocol = self._server.protocol()
        if speaks_http2:
            protocol = GrpcConnection(self._server, self._methods.by_path, _common_name(transport))
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


def _common_name(transport: asyncio.Transport) -> str:
    """Of the client's certificate, which TLS has verified."""
    certificate = transport.get_extra_info("peercert") or {}
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return ""

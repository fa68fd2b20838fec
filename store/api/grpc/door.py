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

from store.api.grpc import streams
from store.api.grpc.call import Call
from store.api.grpc.server import GrpcConnection, Method
from store.api.grpc.unary import UNARY, Row, serve_unary
from store.api.grpc.watch import watch
from store.api.http1 import Server
from store.api.service import StoreService

ALPN_PROTOCOLS = ("http/1.1", "h2")


Stream = Callable[[StoreService, Call], Awaitable[None]]


def offer(context: ssl.SSLContext) -> None:
    context.set_alpn_protocols(list(ALPN_PROTOCOLS))


def grpc_methods(service: StoreService) -> dict[bytes, Method]:
    def unary(row: Row) -> Method:
        return lambda call: serve_unary(service, row, call)

    methods: dict[bytes, Method] = {path: unary(row) for path, row in UNARY.items()}
    for path, stream in (
        (b"/etcdserverpb.Watch/Watch", watch),
        (b"/etcdserverpb.Lease/LeaseKeepAlive", streams.keep_alive),
        (b"/etcdserverpb.Maintenance/Snapshot", streams.snapshot),
    ):
        methods[path] = partial(_stream, stream, service)
    return methods


async def _stream(stream: Stream, service: StoreService, call: Call) -> None:
    call.blocking = True
    await stream(service, call)


class Door(asyncio.Protocol):
    """Stands in until the connection says what it speaks."""

    def __init__(self, server: Server, methods: dict[bytes, Method]) -> None:
        self._server = server
        self._methods = methods

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        tls = transport.get_extra_info("ssl_object")
        speaks_http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        protocol = GrpcConnection(self._server, self._methods) if speaks_http2 else self._server.protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

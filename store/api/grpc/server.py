"""The asyncio protocol around an HTTP/2 `Connection`: one `Call` and one task per request.

What is written in one turn of the event loop goes out in one piece. Bounds: the connection's streams and
windows, what waits to be sent and what is buffered of requests; a client beyond them is refused, or cut off
when it does not read what it made us write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from store.api.errors import ServerStopped, TextError, TooManyRequests
from store.api.grpc.call import Call, CallReset
from store.api.grpc.connection import Connection
from store.api.grpc.events import (
    ConnectionFailed,
    DataReceived,
    Drained,
    Event,
    PingReceived,
    PongReceived,
    RequestStarted,
    StreamReset,
)
from store.api.grpc.frames import ErrorCode
from store.api.grpc.header_block import Head, refusal
from store.api.grpc.keepalive import PingPolicy
from store.api.http1 import Server
from store.component import logs
from store.component.data_protocol import DataProtocol
from store.mvcc.errors import Code, RequestError

QUEUE_BYTES = 64 * 1024 * 1024  # answers waiting in one connection; beyond it new calls are refused
BUFFER_BYTES = 32 * 1024 * 1024  # requests half received in one connection; likewise
UNREAD_BYTES = 1024 * 1024  # answers to pings and the like that a client may leave unread
PING_AFTER_S = 60.0  # of silence
PONG_TIMEOUT_S = 20.0

log = logs.get("grpc")

Method = Callable[[Call], Awaitable[None]]


class Unknown(TextError):
    code = Code.UNIMPLEMENTED


class Internal(RequestError):
    code = Code.INTERNAL
    message = "internal error"


class GrpcConnection(DataProtocol):
    def __init__(self, server: Server, methods: Mapping[bytes, Method], peer_name: str = "") -> None:
        self._server = server
        self._methods = methods
        self._http = Connection()
        self._calls: dict[int, Call] = {}
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._flushing = False
        self._last_heard = 0.0
        self._pinged_at: float | None = None
        self._buffered_bytes = 0
        self._pings = PingPolicy(server.keepalive_min_time_s)
        self.peer_name = peer_name  # the common name of the client's certificate

    # -- DataProtocol --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._last_heard = self._loop.time()
        if len(self._server.connections) >= self._server.max_connections or self._server.stopping:
            self._server.refused += 1
            self._transport.abort()
            return
        self._server.connections.add(self)
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.remove(self)
        for call in list(self._calls.values()):
            call.on_reset()
        self._calls.clear()

    def pause_writing(self) -> None:
        self._http.sender.writable = False

    def resume_writing(self) -> None:
        self._http.sender.writable = True
        self._schedule()

    def data_received(self, data: bytes) -> None:
        self._last_heard = self._loop.time()
        self._pinged_at = None
        self._server.received_bytes += len(data)
        self._dispatch(self._http.receive(data))
        self._schedule()

    # -- events --

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case RequestStarted():
                    self._on_request(event.stream_id, event.head, event.ended)
                case DataReceived():
                    self._on_data(event)
                case StreamReset():
                    if (call := self._calls.pop(event.stream_id, None)) is not None:
                        self._buffered_bytes -= call.buffered_bytes
                        call.on_reset()
                case Drained():
                    if (call := self._calls.get(event.stream_id)) is not None:
                        call.on_drained()
                case ConnectionFailed():
                    log.debug("a connection failed", reason=event.why)
                case PingReceived():
                    if not self._pings.allows(self._last_heard, len(self._calls)):
                        self._http.refuse(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")
                case PongReceived():
                    pass

    def _on_request(self, stream_id: int, head: Head, ended: bool) -> None:
        if head.method != b"POST":
            self._http.end(stream_id, refusal(405))
            return
        if not head.headers.get(b"content-type", b"").startswith(b"application/grpc"):
            self._http.end(stream_id, refusal(415))
            return
        call = Call(self, stream_id, head)
        method = self._methods.get(head.path)
        if method is None:
            call.fail(_unknown(head.path))
        elif self._http.sender.queued_bytes > QUEUE_BYTES or self._buffered_bytes > BUFFER_BYTES:
            call.fail(TooManyRequests())
        else:
            self._calls[stream_id] = call
            self._http.running += 1
            if ended:
                call.feed(b"", True)
            call.task = self._loop.create_task(self._run(call, method))

    def _on_data(self, event: DataReceived) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            self._buffered_bytes += len(event.data)
            call.feed(event.data, event.ended)

    async def _run(self, call: Call, method: Method) -> None:
        try:
            await method(call)
        except RequestError as error:
            call.fail(error)
        except CallReset:
            pass
        except asyncio.CancelledError:
            call.fail(ServerStopped())  # says nothing to a client that has gone
        except Exception:
            log.exception("a call failed", path=call.head.path.decode("latin-1"))
            call.fail(Internal())
        finally:
            self._http.running -= 1
            if self._calls.pop(call.stream_id, None) is not None:
                self._buffered_bytes -= call.buffered_bytes

    # -- for calls --

    def consumed(self, stream_id: int, size_bytes: int) -> None:
        if stream_id in self._calls:
            self._buffered_bytes -= size_bytes
            self._http.consume(stream_id, size_bytes)
            self._schedule()

    def send_headers(self, stream_id: int, block: bytes) -> None:
        self._http.sender.headers(stream_id, block)
        self._schedule()

    def send(self, stream_id: int, data: bytes) -> int:
        queued = self._http.sender.data(stream_id, data)
        self._schedule()
        return queued

    def end(self, stream_id: int, trailers: bytes) -> None:
        self._http.end(stream_id, trailers)
        self._schedule()

    def answer(self, stream_id: int, start: bytes, message: bytes, trailers: bytes) -> None:
        """All of it; at once when there is no other call whose answer could go out with it."""
        sender = self._http.sender
        if start:
            sender.headers(stream_id, start)
        sender.data(stream_id, message)
        self._http.end(stream_id, trailers)
        if len(self._calls) == 1 and not self._flushing:
            self._flush()
        else:
            self._schedule()

    # -- writing --

    def _schedule(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        transport, http = self._transport, self._http
        if transport is None:
            return
        self._dispatch(http.flush())
        output = http.take_output()
        if output:
            transport.write(output)
            if http.sender.spoke:
                http.sender.spoke = False
                self._pings.forgiven = True
            self._server.sent_bytes += len(output)
            if not http.sender.writable and transport.get_write_buffer_size() > UNREAD_BYTES:
                transport.abort()
                return
        if http.failed:
            transport.close()
        elif http.sender.more and http.sender.writable:
            self._schedule()
        elif self._server.stopping and not self._calls:
            transport.close()

    # -- for the server --

    def check_idle(self, now: float) -> None:
        """A client that is silent is asked whether it is there; gRPC keeps idle connections open."""
        if self._pinged_at is not None:
            if now - self._pinged_at > PONG_TIMEOUT_S:
                self.abort()
        elif now - self._last_heard > PING_AFTER_S:
            self._pinged_at = now
            self._http.ping()
            self._schedule()

    def close_when_idle(self) -> None:
        """No new calls; streams end now, the others when they are answered."""
        self._http.stop()
        for call in list(self._calls.values()):
            if call.blocking and call.task is not None:
                call.task.cancel()
        self._schedule()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _unknown(path: bytes) -> Unknown:
    service, _, method = path.decode("latin-1").lstrip("/").rpartition("/")
    return Unknown(f"unknown method {method} for service {service}")

"""Unary calls with fail-over: which failures lead to another attempt, and which must be told to the caller.

    what happened                                     a read (or idempotent call)     a write
    no connection, or the member says "no leader"     next endpoint                   next endpoint
    connection lost after sending, or timeout         next endpoint                   OutcomeUnknown
    the store answered with another error             raised                          raised
    the deadline passed before anything was sent      Unavailable                     Unavailable

So a write is never sent a second time unless the first was certainly not applied.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from store.client import codec
from store.client.endpoints import ConnectFailed, Endpoint, Endpoints
from store.client.errors import OutcomeUnknown, StoreError, TooManyRequests, Unavailable
from store.component.http_connection import ConnectionClosed, ConnectionLost, Response

HEADERS = b"Content-Type: application/json\r\n"
# etcd then refuses at once on a member that knows no leader, instead of letting the request wait
LEADER_HEADERS = HEADERS + b"Grpc-Metadata-hasleader: true\r\n"

# header lines of the caller's own (where a trace goes on), for what it asks in this context
EXTRA_HEADERS: ContextVar[bytes] = ContextVar("extra_headers", default=b"")

MAX_IN_FLIGHT = 512  # calls of one client; more wait for their turn
READ_ATTEMPT_S = 2.0  # a read that a member has not answered by then is asked of the next one
SLOW_S = 0.5  # an endpoint that is silent this long is avoided by new requests
BACKOFF_FIRST_S = 0.01  # between rounds of all endpoints; doubles, with jitter
BACKOFF_LIMIT_S = 0.2


@dataclass(frozen=True, slots=True)
class _Request:
    path: str
    body: bytes
    headers: bytes
    idempotent: bool


class Transport:
    def __init__(
        self, urls: Sequence[str], ssl_context: ssl.SSLContext | None, request_timeout_s: float
    ) -> None:
        self.endpoints = Endpoints(urls, ssl_context)
        self._request_timeout_s = request_timeout_s
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)

    async def call(self, path: str, body: bytes, *, idempotent: bool, needs_leader: bool = True) -> bytes:
        """POST to whichever member can answer; return the body of its answer."""
        headers = LEADER_HEADERS if needs_leader else HEADERS
        request = _Request(path, body, headers + EXTRA_HEADERS.get(), idempotent)
        async with self._slots:
            return await self._call(request)

    async def _call(self, request: _Request) -> bytes:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._request_timeout_s
        failure: StoreError = Unavailable("no endpoint was tried")
        attempt = 0
        while (now := loop.time()) < deadline:
            endpoint = self.endpoints.pick(now)
            patience_s = min(self.endpoints.patience_s(attempt), deadline - now)
            try:
                return await self._attempt(endpoint, request, patience_s, deadline)
            except TooManyRequests:
                raise
            except Unavailable as error:
                failure = error
            except OutcomeUnknown as error:
                if not request.idempotent:
                    raise
                failure = error
            self._failed(endpoint, failure)
            attempt += 1
            await self._pause(attempt, deadline)
        if isinstance(failure, OutcomeUnknown):  # of a read: nothing can have been applied
            raise Unavailable(failure.message, failure.code) from failure
        raise failure

    async def _attempt(
        self, endpoint: Endpoint, request: _Request, patience_s: float, deadline: float
    ) -> bytes:
        """One exchange with one endpoint; Unavailable when nothing can have been applied."""
        loop = asyncio.get_running_loop()
        try:
            connection = await endpoint.acquire(patience_s)
        except ConnectFailed as error:
            raise Unavailable(str(error)) from error
        limit = deadline
        if request.idempotent and len(self.endpoints.all) > 1:
            limit = min(deadline, loop.time() + READ_ATTEMPT_S)
        slow = loop.call_later(SLOW_S, self._mark_slow, endpoint)
        try:
            async with asyncio.timeout_at(limit):
                response = await connection.request("POST", request.path, request.body, request.headers)
        except ConnectionClosed as error:
            raise Unavailable(f"{endpoint.url}: connection closed") from error
        except ConnectionLost as error:
            raise OutcomeUnknown(f"{endpoint.url}: {error}") from error
        except TimeoutError as error:
            raise OutcomeUnknown(f"{endpoint.url}: no answer in time") from error
        finally:
            slow.cancel()
            endpoint.release(connection)
        return self._result(endpoint, response)

    def _result(self, endpoint: Endpoint, response: Response) -> bytes:
        if endpoint.duplex is None:
            endpoint.duplex = is_duplex(response)
        if response.status == 200:
            self.endpoints.worked(endpoint)
            return response.body
        raise codec.error_of(response.status, response.body)

    async def ask(
        self, endpoint: Endpoint, method: str, path: str, body: bytes, timeout_s: float
    ) -> Response:
        """One exchange with exactly this endpoint, without fail-over."""
        try:
            connection = await endpoint.acquire(timeout_s)
            try:
                async with asyncio.timeout(timeout_s):
                    return await connection.request(method, path, body, HEADERS)
            finally:
                endpoint.release(connection)
        except (ConnectFailed, ConnectionClosed, ConnectionLost, TimeoutError) as error:
            raise Unavailable(f"{endpoint.url}: {str(error) or type(error).__name__}") from error

    def _failed(self, endpoint: Endpoint, failure: StoreError) -> None:
        endpoint.avoid(asyncio.get_running_loop().time())
        if failure.code is None:  # no answer at all: what is idle there is probably dead as well
            endpoint.drop_idle()

    def _mark_slow(self, endpoint: Endpoint) -> None:
        endpoint.avoid(asyncio.get_running_loop().time())

    async def _pause(self, attempt: int, deadline: float) -> None:
        """Breathe after each full round, so that a cluster without a leader is not hammered."""
        rounds, rest = divmod(attempt, len(self.endpoints.all))
        if rest:
            return
        pause_s = min(BACKOFF_LIMIT_S, BACKOFF_FIRST_S * 2 ** min(rounds, 10))
        pause_s *= 0.5 + random.random() / 2  # noqa: S311 - jitter
        left_s = deadline - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, min(pause_s, left_s)))

    async def close(self) -> None:
        await self.endpoints.close()


def is_duplex(response: Response) -> bool:
    """Balsa's gateway takes further messages on an open watch over HTTP/1.1; etcd's would wait for the
    body's end."""
    return response.headers.get(b"server", b"").lower().startswith(b"balsa")

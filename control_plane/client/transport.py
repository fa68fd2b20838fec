"""How requests reach a server: one small interface, of which the client knows nothing more.

`HttpTransport` is the real one (HTTP/1.1 over TLS): plain requests go through a `Pool` of slim connections,
streams through aiohttp. Tests and the simulation put an in-memory API behind the same interface. Errors are
ConnectionFailed and NotSent only; an HTTP status is an answer, not an error.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import aiohttp
from yarl import URL

from control_plane.client.errors import ConnectionFailed, NotSent
from control_plane.client.pool import CONNECT_TIMEOUT_S, Pool
from control_plane.client.types import Response

TOKEN_REREAD_S = 60.0  # as client-go: a projected token is renewed long before it expires


class Stream(Protocol):
    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Ends when the server ends it; raises ConnectionFailed when it breaks."""

    async def read(self) -> bytes:
        """The whole body: for errors."""


class Transport(Protocol):
    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
    ) -> Response: ...

    def stream(
        self, method: str, target: str, headers: Mapping[str, str], idle_timeout_s: float
    ) -> AbstractAsyncContextManager[Stream]:
        """A response that is read as it comes; silence for `idle_timeout_s` breaks it."""

    async def close(self) -> None: ...


class TokenSource:
    """A bearer token, given once or kept in a file that is read again from time to time."""

    def __init__(self, token: str = "", path: str = "", now: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._path = Path(path) if path else None
        self._now = now
        self._read_at_s = float("-inf")

    def get(self) -> str:
        if self._path is not None and self._now() - self._read_at_s >= TOKEN_REREAD_S:
            self._read_at_s = self._now()
            with suppress(OSError):  # it is being replaced: the last one is still good
                self._token = self._path.read_text().strip() or self._token
        return self._token


class _HttpStream:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ConnectionFailed(f"stream broke: {error!r}") from error

    async def read(self) -> bytes:
        try:
            return await self._response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ConnectionFailed(f"stream broke: {error!r}") from error


class HttpTransport:
    """To one server. Created anywhere, used within one event loop."""

    def __init__(self, server: str, ssl_context: ssl.SSLContext | None, token: TokenSource) -> None:
        self._server = server.rstrip("/")
        self.ssl_context = ssl_context
        self._token = token
        self._pool: Pool | None = None
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
    ) -> Response:
        if self._pool is None:
            self._pool = Pool(self._server, self.ssl_context)
        return await self._pool.request(method, target, self._authorized(headers), body, timeout_s)

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: Mapping[str, str], idle_timeout_s: float
    ) -> AsyncIterator[Stream]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=idle_timeout_s)
        url = URL(self._server + target, encoded=True)
        opening = self._opened().request(
            method, url, headers=self._authorized(headers), timeout=timeout, allow_redirects=False
        )
        try:
            response = await opening.__aenter__()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _failure(method, target, error) from error
        try:
            yield _HttpStream(response)
        finally:
            response.close()  # an unread watch cannot go back to the pool

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _authorized(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        token = self._token.get()
        return {**headers, "Authorization": f"Bearer {token}"} if token else headers

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                ssl=self.ssl_context if self.ssl_context is not None else True,
                force_close=True,  # a watch ends with its connection
            )
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True
            )
        return self._session


def _failure(method: str, target: str, error: BaseException) -> ConnectionFailed:
    text = f"{method} {target}: {error or type(error).__name__}"
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return NotSent(text)
    return ConnectionFailed(text)

"""Connections to one server, and plain requests over them.

A request takes an idle connection, the last used first, so that no more are open than are needed at once. When
there is none it waits for whichever comes first: one that another request gives back, or one that is opened
meanwhile. Only a few are opened at a time: a handshake costs as much as several requests, and a burst is over
before a hundred of them are done.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from control_plane.client.errors import ConnectionFailed, NotSent
from control_plane.client.types import Response
from store.component.http_connection import Connection, ConnectionClosed, ConnectionLost

CONNECT_TIMEOUT_S = 5.0
MAX_REQUESTS_IN_FLIGHT = 128  # more wait here
MAX_OPENING = 4


class Headers(Mapping[str, str]):
    """Names in any case."""

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        return self._raw[name.lower().encode()].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class Pool:
    def __init__(self, server: str, ssl_context: ssl.SSLContext | None) -> None:
        parts = urlsplit(server)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = (ssl_context or ssl.create_default_context()) if parts.scheme == "https" else None
        self._host_header = parts.netloc.rpartition("@")[2]
        self._prefix = parts.path.rstrip("/")
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(MAX_REQUESTS_IN_FLIGHT)

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Response:
        """Raises NotSent, ConnectionFailed."""
        try:
            async with self._slots, asyncio.timeout(timeout_s):
                connection = await self._acquire()
                try:
                    answer = await connection.request(
                        method, self._prefix + target, body or b"", _encoded(headers)
                    )
                finally:
                    self._release(connection)
        except ConnectionClosed as error:
            raise NotSent(f"{method} {target}: the connection was closed") from error
        except ConnectionLost as error:
            raise ConnectionFailed(f"{method} {target}: {error}") from error
        except TimeoutError as error:
            raise ConnectionFailed(f"{method} {target}: no answer within {timeout_s:g} s") from error
        return Response(answer.status, Headers(answer.headers), answer.body)

    async def close(self) -> None:
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        while (waiter := self._next()) is not None:
            waiter.set_exception(NotSent(f"{self._host_header}: the client was closed"))
        while self._idle:
            self._idle.pop().close()

    # ---- connections

    async def _acquire(self) -> Connection:
        while self._idle:
            if (connection := self._idle.pop()).usable:
                return connection
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._open_more()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._release(waiter.result())
            raise

    def _release(self, connection: Connection) -> None:
        if not connection.usable:
            self._open_more()
        elif (waiter := self._next()) is not None:
            waiter.set_result(connection)
        else:
            self._idle.append(connection)

    def _next(self) -> asyncio.Future[Connection] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    def _open_more(self) -> None:
        while len(self._opening) < min(MAX_OPENING, len(self._waiting)):
            task = asyncio.get_running_loop().create_task(self._open(), name="connect")
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        self._open_more()

    async def _open(self) -> None:
        """A connection for whoever waits longest; so is the failure."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self._host_header),
                    self._host,
                    self._port,
                    ssl=self._ssl,
                    server_hostname=self._host if self._ssl else None,
                )
        except (OSError, TimeoutError) as error:  # TLS errors are OSErrors
            if (waiter := self._next()) is not None:
                text = str(error) or type(error).__name__
                waiter.set_exception(NotSent(f"{self._host_header}: {text}"))
        else:
            self._release(connection)


def _encoded(headers: Mapping[str, str]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("latin-1")

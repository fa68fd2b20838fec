"""The members a client may ask: idle connections of each, and the order in which to try them.

One endpoint is preferred until it fails, so that a healthy cluster sees steady connections. An endpoint
that refuses a connection, loses one, or is silent for long is passed over for a while (`PENALTY_S`) as long
as another is left. A connection attempt that takes longer than its turn is not wasted: it goes on aside and
its connection joins the idle ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from store.component.http_connection import Connection

MAX_OPENING = 64  # connections being opened to one endpoint
MAX_IDLE = 128  # per endpoint
CONNECT_PATIENCE_S = (0.08, 0.3, 1.0, 2.0)  # per round of the endpoints; the last one repeats
CONNECT_LIMIT_S = 5.0
PENALTY_S = 1.0
CLOSE_PATIENCE_S = 0.5  # for the other side to say good-bye


class ConnectFailed(Exception):
    """No connection in time: nothing was sent."""


class Endpoint:
    def __init__(self, url: str, ssl_context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an endpoint: {url!r}")
        if parts.scheme == "https" and ssl_context is None:
            raise ValueError(f"{url} needs an ssl_context")
        self.url = url
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = ssl_context if parts.scheme == "https" else None
        self._idle: list[Connection] = []
        self._opening: set[asyncio.Task[Connection]] = set()
        self.avoid_until = 0.0
        self.last_heard = 0.0
        self.duplex: bool | None = None  # may a watch send more messages on its open request?

    async def acquire(self, patience_s: float) -> Connection:
        """An idle or new connection. Give it back with `release`. Raises ConnectFailed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return await self._open_patiently(patience_s)

    def release(self, connection: Connection) -> None:
        self.last_heard = max(self.last_heard, connection.last_heard)
        if connection.usable:
            if len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
            else:
                connection.close()

    async def open(self) -> Connection:
        """A connection of its own, for a stream. Raises ConnectFailed."""
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(f"{self._host}:{self._port}"),
                    self._host,
                    self._port,
                    ssl=self._ssl,
                    server_hostname=self._host if self._ssl else None,
                )
        except (OSError, TimeoutError) as error:
            raise ConnectFailed(f"{self.url}: {str(error) or type(error).__name__}") from error
        return connection

    def avoid(self, now: float) -> None:
        """Prefer the others for a while."""
        self.avoid_until = now + PENALTY_S

    async def _open_patiently(self, patience_s: float) -> Connection:
        if len(self._opening) >= MAX_OPENING:
            await asyncio.wait(self._opening, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self.open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        try:
            done, _ = await asyncio.wait({task}, timeout=patience_s)
        except asyncio.CancelledError:
            task.add_done_callback(self._adopt)
            raise
        if not done:
            task.add_done_callback(self._adopt)
            raise ConnectFailed(f"{self.url}: no connection within {patience_s:g} s")
        return task.result()

    def _adopt(self, task: asyncio.Task[Connection]) -> None:
        if not task.cancelled() and task.exception() is None:
            self.release(task.result())

    def drop_idle(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def close(self) -> None:
        for task in list(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        idle = list(self._idle)
        self.drop_idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_PATIENCE_S):
                for connection in idle:
                    await connection.gone.wait()


class Endpoints:
    """The endpoints in the order to try them; the one that last worked comes first."""

    def __init__(self, urls: Sequence[str], ssl_context: ssl.SSLContext | None) -> None:
        if not urls:
            raise ValueError("a store client needs at least one endpoint")
        self._ssl = ssl_context
        self.all = [Endpoint(url, ssl_context) for url in dict.fromkeys(urls)]
        self._preferred = random.randrange(len(self.all))  # noqa: S311 - spreads load, no secret

    def pick(self, now: float) -> Endpoint:
        """The preferred endpoint, else the next healthy one, else the one that failed longest ago.

        Since every failure makes its endpoint avoided, attempts in a row go round all endpoints.
        """
        count = len(self.all)
        ring = [self.all[(self._preferred + i) % count] for i in range(count)]
        return min(ring, key=lambda endpoint: max(now, endpoint.avoid_until))

    def patience_s(self, attempt: int) -> float:
        if len(self.all) == 1:
            return CONNECT_PATIENCE_S[-1]
        return CONNECT_PATIENCE_S[min(attempt // len(self.all), len(CONNECT_PATIENCE_S) - 1)]

    def worked(self, endpoint: Endpoint) -> None:
        if self.all[self._preferred] is not endpoint and endpoint in self.all:
            self._preferred = self.all.index(endpoint)

    def replace(self, urls: Sequence[str]) -> None:
        """Other members from now on; those that stay keep their connections."""
        if not urls:
            raise ValueError("a store client needs at least one endpoint")
        preferred = self.all[self._preferred]
        known = {endpoint.url: endpoint for endpoint in self.all}
        self.all = [
            known.pop(url) if url in known else Endpoint(url, self._ssl) for url in dict.fromkeys(urls)
        ]
        self._preferred = self.all.index(preferred) if preferred in self.all else 0
        for gone in known.values():
            gone.drop_idle()

    async def close(self) -> None:
        await asyncio.gather(*(endpoint.close() for endpoint in self.all))

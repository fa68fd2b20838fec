"""The network of the simulation: requests and watches that are late, broken, refused; a process that is cut off.

Everything is drawn from the seed's generator. Times are the virtual clock's. A request may fail before it is
applied, or after: then its sender cannot know. Events (the API's kind) always get through: nobody acts on them.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

from control_plane.api import errors
from control_plane.client.errors import ConnectionFailed
from control_plane.client.transport import Stream
from control_plane.client.types import Response
from tests.control_plane.fakeapi import FakeApi, FakeTransport
from tests.control_plane.virtual_clock import VirtualClock

MAX_LATENCY_S = 0.3
MAX_WATCH_LAG_S = 1.5


@dataclass(slots=True)
class Weather:
    """Probabilities, per request or piece of a watch; all 0 when it is calm."""

    late: float = 0.0
    refused: float = 0.0  # 409: somebody else was quicker
    lost: float = 0.0  # not applied
    unknown: float = 0.0  # applied, but the answer is lost
    broken: float = 0.0  # a watch ends
    lagging: float = 0.0  # a watch is behind

    @classmethod
    def drawn(cls, chance: random.Random) -> Weather:
        return cls(*(chance.choice((0.0, 0.05, 0.2, 0.4)) for _ in range(6)))


@dataclass(slots=True)
class Fuse:
    """Kills a process at one of its writes: before it is applied, or just after, so that nobody hears of it."""

    at: int  # the number of the write, from 0
    after: bool
    blown: Callable[[], None] = lambda: None
    writes: int = 0

    def burns(self, method: str, target: str) -> bool:
        if method == "GET" or "/events" in target:
            return False
        self.writes += 1
        return self.writes == self.at + 1


class SimTransport:
    def __init__(
        self,
        api: FakeApi,
        clock: VirtualClock,
        chance: random.Random,
        weather: Weather,
        fuse: Fuse | None = None,
    ) -> None:
        self._real = FakeTransport(api)
        self._clock = clock
        self._chance = chance
        self._weather = weather
        self._fuse = fuse
        self.dead = False

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Response:
        self._live()
        if "/events" not in target and (refusal := await self._trouble(method, target)) is not None:
            return refusal
        fuse = self._fuse if self._fuse is not None and self._fuse.burns(method, target) else None
        if fuse is not None and not fuse.after:
            self._blow(fuse)
        response = await self._real.request(method, target, headers, body, timeout_s)
        if fuse is not None:
            self._blow(fuse)
        self._live()
        if method != "GET" and "/events" not in target and self._hit(self._weather.unknown):
            raise ConnectionFailed(f"{method} {target}: the answer was lost")
        return response

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: Mapping[str, str], idle_timeout_s: float
    ) -> AsyncIterator[Stream]:
        self._live()
        async with self._real.stream(method, target, headers, idle_timeout_s) as stream:
            yield _SimStream(stream, self)

    async def close(self) -> None: ...

    async def _trouble(self, method: str, target: str) -> Response | None:
        if self._hit(self._weather.late):
            await self._clock.sleep(self._chance.random() * MAX_LATENCY_S)
            self._live()
        if self._hit(self._weather.lost):
            raise ConnectionFailed(f"{method} {target}: connection reset")
        if method in ("PUT", "PATCH") and self._hit(self._weather.refused):
            error = errors.conflict("", "things", target)
            return Response(error.code, {}, orjson.dumps(error.status()))
        return None

    def _blow(self, fuse: Fuse) -> None:
        self.dead = True
        fuse.blown()
        self._live()

    def _hit(self, probability: float) -> bool:
        return probability > 0 and self._chance.random() < probability

    def _live(self) -> None:
        if self.dead:
            raise ConnectionFailed("this process was killed")

    async def passed(self) -> None:
        """Before a piece of a watch is handed on."""
        if self._hit(self._weather.lagging):
            await self._clock.sleep(self._chance.random() * MAX_WATCH_LAG_S)
        self._live()
        if self._hit(self._weather.broken):
            raise ConnectionFailed("the watch broke")


class _SimStream:
    def __init__(self, stream: Stream, transport: SimTransport) -> None:
        self._stream = stream
        self._transport = transport
        self.status = stream.status
        self.headers = stream.headers

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        async for chunk in self._stream.chunks():
            await self._transport.passed()
            yield chunk

    async def read(self) -> bytes:
        return await self._stream.read()

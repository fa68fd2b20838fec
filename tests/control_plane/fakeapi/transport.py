"""The client's side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from control_plane.client.types import Response
from tests.control_plane.fakeapi.store import Stream

if TYPE_CHECKING:
    from tests.control_plane.fakeapi.server import FakeApi


class FakeTransport:
    """The client's side. Requests take a turn of the loop, as a network would."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Response:
        await asyncio.sleep(0)
        return self._api.handle(method, target, headers, body)

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: Mapping[str, str], idle_timeout_s: float
    ) -> AsyncIterator[Stream]:
        await asyncio.sleep(0)
        opened = self._api.open_watch(target)
        try:
            yield opened
        finally:
            self._api.close_watch(opened)

    async def close(self) -> None: ...

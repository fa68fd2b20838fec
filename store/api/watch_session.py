"""A watch stream, whatever the door: many watches on one call, created, cancelled and answered while it lasts.

A single task turns between its two sources, the client's messages and the hub's outbox. A response is
encoded when the client can take it: while it cannot, the hub keeps the outbox, and then the watchers fall
behind and catch up from history.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable

from store.api import messages as m
from store.api.errors import NoLeader
from store.api.service import StoreService
from store.watch.stream import Spec, WatchResponse, WatchStream

MAX_WATCH_STREAMS = 10_000  # at one member, through both doors; more are refused
LEADERLESS_S = 3.0  # a stream that asked for it ends when its member has known no leader for this long
FRAGMENT_BYTES = 3 * 512 * 1024  # a watcher that takes fragments gets longer responses in pieces, as in etcd
WRITE_BYTES = 256 * 1024  # responses are joined to writes of about this size


class WatchSession(ABC):
    def __init__(self, service: StoreService, wake: asyncio.Event, wants_leader: bool) -> None:
        """`wake` is set by the door too, when a message has come or the client has gone."""
        self._service = service
        self._wake = wake
        self._hub = service.machine.hub
        self._watch: WatchStream = self._hub.open_stream(wake.set)
        self._wants_leader = wants_leader
        self._leaderless_since: float | None = None

    # -- the door's part --

    @abstractmethod
    def ended(self) -> bool:
        """The client will send nothing more, or has gone."""

    @abstractmethod
    def take(self) -> m.WatchRequest | None:
        """The next message, if one has come."""

    @abstractmethod
    def encode(self, response: WatchResponse) -> Iterable[bytes]:
        """One message, or several fragments."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Waits while the client is slow."""

    # -- the loop --

    async def serve(self) -> None:
        try:
            if self._wants_leader:
                self._service.require_leader()
            while not self.ended():
                self._wake.clear()
                while (message := self.take()) is not None:
                    self._on_message(message)
                await self._drain()
                if not self._wake.is_set() and not self.ended():
                    await self._sleep()
        finally:
            self._hub.close_stream(self._watch)

    async def _drain(self) -> None:
        """Write the outbox out; whoever fell behind then gets a turn."""
        more = True
        while more:
            pieces: list[bytes] = []
            size = 0
            for response in self._watch.take():
                for piece in self.encode(response):
                    pieces.append(piece)
                    size += len(piece)
                if size >= WRITE_BYTES:
                    await self.write(b"".join(pieces))
                    pieces, size = [], 0
            if pieces:
                await self.write(b"".join(pieces))
            more = self._hub.sync(self._watch) or not self._watch.is_idle
            if more:
                await asyncio.sleep(0)

    async def _sleep(self) -> None:
        if not self._wants_leader:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout(LEADERLESS_S / 3):
                await self._wake.wait()
        except TimeoutError:
            self._check_leader()

    def _check_leader(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._service.has_leader:
            self._leaderless_since = None
        elif self._leaderless_since is None:
            self._leaderless_since = now
        elif now - self._leaderless_since >= LEADERLESS_S:
            raise NoLeader

    def _on_message(self, message: m.WatchRequest) -> None:
        if message.create_request is not None:
            self._create(message.create_request)
        elif message.cancel_request is not None:
            self._hub.cancel(self._watch, message.cancel_request.watch_id)
        elif message.progress_request is not None:
            self._hub.request_progress(self._watch)

    def _create(self, request: m.WatchCreateRequest) -> None:
        spec = Spec(
            request.key or b"\x00",  # no key is the smallest key, as in etcd
            request.range_end,
            request.prev_kv,
            "NOPUT" in request.filters,
            "NODELETE" in request.filters,
        )
        if reason := self._service.watch_refusal(spec.key, spec.range_end):
            self._hub.refuse(self._watch, reason, request.watch_id or -1)
            return
        self._hub.create(
            self._watch,
            spec,
            request.start_revision,
            request.progress_notify,
            request.watch_id,
            request.fragment,
        )


def fragments(pieces: Iterable[bytes], limit_bytes: int = FRAGMENT_BYTES) -> list[list[bytes]]:
    """The encoded events of one response in groups below the limit; a single longer one stands alone."""
    groups: list[list[bytes]] = [[]]
    size = 0
    for piece in pieces:
        if groups[-1] and size + len(piece) > limit_bytes:
            groups.append([])
            size = 0
        groups[-1].append(piece)
        size += len(piece)
    return groups

"""The Watch stream: many watches on one call, created, cancelled and answered while it lasts.

A single task turns between its two sources, the client's messages and the hub's outbox. While the client
takes nothing the hub keeps the outbox, and then the watchers fall behind and catch up from history.
"""

from __future__ import annotations

import asyncio

from store.api import messages as m
from store.api.errors import NoLeader, TooManyRequests
from store.api.grpc import responses as encode
from store.api.grpc.call import Call, CallReset, framed
from store.api.grpc.unary import read_message
from store.api.service import StoreService
from store.watch.stream import Batch, Spec, WatchResponse, WatchStream

MAX_WATCH_CALLS = 10_000
LEADERLESS_S = 3.0  # a call that asked for it ends when its member has known no leader for this long
FRAGMENT_BYTES = 3 * 512 * 1024  # a watcher that takes fragments gets longer responses in several messages
WRITE_BYTES = 256 * 1024  # responses are joined to writes of about this size


class WatchSession:
    def __init__(self, service: StoreService, call: Call) -> None:
        self._service = service
        self._call = call
        self._hub = service.machine.hub
        self._watch: WatchStream = self._hub.open_stream(call.wake.set)
        self._wants_leader = call.wants_leader
        self._leaderless_since: float | None = None

    async def run(self) -> None:
        try:
            self._call.start()
            await self._serve()
        finally:
            self._hub.close_stream(self._watch)

    async def _serve(self) -> None:
        call = self._call
        while not call.ended:
            call.wake.clear()
            if call.reset:
                raise CallReset
            while (message := call.take()) is not None:
                self._on_message(read_message(m.WatchRequest, message))
            await self._drain()
            if not call.wake.is_set() and not call.ended:
                await self._sleep()
        call.finish()

    async def _drain(self) -> None:
        """Write the outbox out; whoever fell behind then gets a turn."""
        more = True
        while more:
            pieces: list[bytes] = []
            size = 0
            for response in self._watch.take():
                header = encode.header_field(self._service.header(response.revision))
                for message in watch_messages(header, response):
                    pieces.append(framed(message))
                    size += len(message)
                if size >= WRITE_BYTES:
                    await self._call.send_framed(b"".join(pieces))
                    pieces, size = [], 0
            if pieces:
                await self._call.send_framed(b"".join(pieces))
            more = self._hub.sync(self._watch) or not self._watch.is_idle
            if more:
                await asyncio.sleep(0)

    async def _sleep(self) -> None:
        if not self._wants_leader:
            await self._call.wake.wait()
            return
        try:
            async with asyncio.timeout(LEADERLESS_S / 3):
                await self._call.wake.wait()
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


async def watch(service: StoreService, call: Call) -> None:
    if service.machine.hub.streams >= MAX_WATCH_CALLS:
        raise TooManyRequests
    await WatchSession(service, call).run()


def watch_messages(header: bytes, response: WatchResponse) -> list[bytes]:
    """One message, unless the watcher takes fragments and it is longer than one may be."""
    start, batch = encode.watch_start(header, response), response.batch
    if batch is None:
        return [start]
    events = _events(batch)
    if not response.may_fragment or len(events) <= FRAGMENT_BYTES:
        return [start + events]
    fragments = _fragments(batch)
    return [*(start + encode.FRAGMENT + part for part in fragments[:-1]), start + fragments[-1]]


def _events(batch: Batch) -> bytes:
    """Encoded once for all who watch the same."""
    if batch.encoded_protobuf is None:
        batch.encoded_protobuf = b"".join([encode.event(each, batch.prev_kv) for each in batch.events])
    return batch.encoded_protobuf


def _fragments(batch: Batch) -> list[bytes]:
    fragments: list[list[bytes]] = [[]]
    size = 0
    for event in batch.events:
        encoded = encode.event(event, batch.prev_kv)
        if fragments[-1] and size + len(encoded) > FRAGMENT_BYTES:
            fragments.append([])
            size = 0
        fragments[-1].append(encoded)
        size += len(encoded)
    return [b"".join(fragment) for fragment in fragments]

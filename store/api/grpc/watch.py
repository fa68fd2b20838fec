"""The Watch stream over gRPC: each message framed, long ones in fragments for those who take them."""

from __future__ import annotations

from collections.abc import Iterator

from store.api import messages as m
from store.api.errors import TooManyRequests
from store.api.grpc import responses as encode
from store.api.grpc.call import Call, CallReset, framed
from store.api.grpc.unary import read_message
from store.api.service import StoreService
from store.api.watch_session import FRAGMENT_BYTES, MAX_WATCH_STREAMS, WatchSession, fragments
from store.watch.stream import Batch, WatchResponse


class GrpcWatch(WatchSession):
    def __init__(self, service: StoreService, call: Call) -> None:
        super().__init__(service, call.wake, call.wants_leader)
        self._call = call

    def ended(self) -> bool:
        if self._call.reset:
            raise CallReset
        return self._call.ended

    def take(self) -> m.WatchRequest | None:
        message = self._call.take()
        return None if message is None else read_message(m.WatchRequest, message)

    def encode(self, response: WatchResponse) -> Iterator[bytes]:
        header = encode.header_field(self._service.header(response.revision))
        return map(framed, watch_messages(header, response))

    async def write(self, data: bytes) -> None:
        await self._call.send_framed(data)


async def watch(service: StoreService, call: Call) -> None:
    if service.machine.hub.streams >= MAX_WATCH_STREAMS:
        raise TooManyRequests
    call.start()
    await GrpcWatch(service, call).serve()
    call.finish()


def watch_messages(header: bytes, response: WatchResponse) -> list[bytes]:
    """One message, unless the watcher takes fragments and it is longer than one may be."""
    start, batch = encode.watch_start(header, response), response.batch
    if batch is None:
        return [start]
    events = _events(batch)
    if not response.may_fragment or len(events) <= FRAGMENT_BYTES:
        return [start + events]
    parts = fragments(encode.event(each, batch.prev_kv) for each in batch.events)
    joined = [b"".join(part) for part in parts]
    return [*(start + encode.FRAGMENT + part for part in joined[:-1]), start + joined[-1]]


def _events(batch: Batch) -> bytes:
    """Encoded once for all who watch the same."""
    if batch.encoded_protobuf is None:
        batch.encoded_protobuf = b"".join([encode.event(each, batch.prev_kv) for each in batch.events])
    return batch.encoded_protobuf

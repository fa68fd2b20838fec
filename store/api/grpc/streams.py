"""The other streams: lease keep-alive, snapshot, observing an election, the watch of grpc.health.v1."""

from __future__ import annotations

import asyncio

from store.api import messages as m
from store.api.auth_messages import LeaderRequest
from store.api.concurrency import Concurrency
from store.api.grpc import responses as encode
from store.api.grpc.auth_rows import leader
from store.api.grpc.call import Call
from store.api.grpc.protobuf import message_field, number_field
from store.api.grpc.unary import health, read_message
from store.api.machine import LeaseResult
from store.api.methods import YIELD_RECORDS
from store.api.service import VERSION, StoreService
from store.api.snapshot_file import blobs
from store.mvcc import messages as kv
from store.mvcc.errors import LeaseNotFound

HEALTH_INTERVAL_S = 0.5


async def keep_alive(service: StoreService, call: Call) -> None:
    while (message := await call.next()) is not None:
        request = read_message(m.LeaseIdRequest, message)
        if call.wants_leader:
            service.require_leader()
        try:
            result = await service.lease_keep_alive(request.id)
        except LeaseNotFound:  # etcd answers without a TTL
            result = LeaseResult(service.machine.store.revision, request.id, 0)
        await call.send(encode.lease(encode.header_field(service.header()), result))
    call.finish()


async def range_stream(service: StoreService, call: Call) -> None:
    """A range in pieces (etcd 3.7): the keys in disjoint slices, all else in the last one."""
    request = read_message(kv.RangeRequest, await call.next() or b"")
    response = await service.range(request)
    sent = 0
    while len(response.kvs) - sent > YIELD_RECORDS:
        await call.send(message_field(1, encode.records(response.kvs[sent : sent + YIELD_RECORDS])))
        sent += YIELD_RECORDS
    header = encode.header_field(service.header(response.revision))
    last = encode.range_message(header, encode.records(response.kvs[sent:]), response)
    await call.send(message_field(1, last))
    call.finish()


async def snapshot(service: StoreService, call: Call) -> None:
    service.auth.require_admin()
    await call.next()
    async for blob, remaining_bytes in blobs(service):
        header = encode.header_field(service.header())
        await call.send(encode.snapshot_blob(header, remaining_bytes, blob, VERSION))
    call.finish()


async def observe(service: StoreService, call: Call) -> None:
    message = await call.next()
    request = read_message(LeaderRequest, message or b"")
    async for record in Concurrency(service).observe(request.name):
        await call.send(leader(encode.header_field(service.header()), record))


async def watch_health(service: StoreService, call: Call) -> None:
    """Whether this member can serve, and each change of it."""
    await call.next()
    last = None
    while True:
        now = health(service)
        if now != last:
            await call.send(number_field(1, now))
            last = now
        await asyncio.sleep(HEALTH_INTERVAL_S)

"""The other streams: lease keep-alive, snapshot."""

from __future__ import annotations

from store.api import messages as m
from store.api.grpc import responses as encode
from store.api.grpc.call import Call
from store.api.grpc.unary import read_message
from store.api.machine import LeaseResult
from store.api.service import VERSION, StoreService
from store.api.snapshot_file import blobs
from store.mvcc.errors import LeaseNotFound


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


async def snapshot(service: StoreService, call: Call) -> None:
    await call.next()
    async for blob, remaining_bytes in blobs(service.machine):
        header = encode.header_field(service.header())
        await call.send(encode.snapshot_blob(header, remaining_bytes, blob, VERSION))
    call.finish()

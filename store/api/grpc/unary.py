"""The unary methods over gRPC: path → (request, handler, encoder)."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from store.api import messages as m
from store.api.grpc import requests as _requests  # noqa: F401  (declares the field numbers)
from store.api.grpc import responses as encode
from store.api.grpc.auth_rows import response as auth_response
from store.api.grpc.call import Call, MessageError
from store.api.grpc.protobuf import Malformed, number_field, read
from store.api.methods import METHODS, YIELD_RECORDS, Encoder, Row, full_name
from store.api.service import StoreService
from store.mvcc import messages as kv

SERVING, NOT_SERVING = 1, 2  # of grpc.health.v1


def health(service: StoreService) -> int:
    return SERVING if service.has_leader else NOT_SERVING


async def _health(service: StoreService, request: m.EmptyRequest) -> int:
    return health(service)


ENCODERS: dict[str, Encoder] = {
    "KV/Range": encode.kv,
    "KV/Put": encode.kv,
    "KV/DeleteRange": encode.kv,
    "KV/Txn": encode.kv,
    "KV/Compact": encode.kv,
    "Lease/LeaseGrant": encode.lease,
    "Lease/LeaseRevoke": encode.empty,
    "Lease/LeaseTimeToLive": encode.time_to_live,
    "Lease/LeaseLeases": encode.leases,
    "Cluster/MemberList": encode.members,
    "Cluster/MemberAdd": encode.member_added,
    "Cluster/MemberPromote": encode.members,
    "Cluster/MemberUpdate": encode.members,
    "Cluster/MemberRemove": encode.members,
    "Maintenance/Status": encode.status,
    "Maintenance/Alarm": encode.alarms,
    "Maintenance/Defragment": encode.empty,
    "Maintenance/Hash": encode.hash_all,
    "Maintenance/HashKV": encode.hash_kv,
    "Maintenance/MoveLeader": encode.empty,
    "Maintenance/Downgrade": encode.downgrade,
}
"""Of all but the Auth, Lock and Election services, which share one."""

UNARY: dict[bytes, Row] = {
    **{
        f"/{full_name(name)}".encode(): (*row, ENCODERS.get(name, auth_response))
        for name, row in METHODS.items()
    },
    b"/grpc.health.v1.Health/Check": (m.EmptyRequest, _health, lambda _, status: number_field(1, status)),
}


R = TypeVar("R", bound=kv.Request)


def read_message(kind: type[R], message: bytes) -> R:
    try:
        return read(kind, message)
    except Malformed as error:
        raise MessageError(f"grpc: error unmarshalling request: {error}") from error


async def serve_unary(service: StoreService, row: Row, call: Call) -> None:
    kind, handler, encoder = row
    message = await call.next()
    if message is None:
        raise MessageError("unexpected EOF")
    request = read_message(kind, message)
    if call.wants_leader:
        service.require_leader()
    response = await handler(service, request)
    header = encode.header_field(service.header(_revision(response)))
    if isinstance(response, kv.RangeResponse) and len(response.kvs) > YIELD_RECORDS:
        call.answer(await _encode_long_range(header, response))
    else:
        call.answer(encoder(header, response))


def _revision(response: Any) -> int | None:
    """The one that a response speaks of, else the current one; membership has none."""
    return 0 if isinstance(response, m.MembersResponse) else getattr(response, "revision", None)


async def _encode_long_range(header: bytes, response: kv.RangeResponse) -> bytes:
    pieces: list[bytes] = []
    for start in range(0, len(response.kvs), YIELD_RECORDS):
        pieces.append(encode.records(response.kvs[start : start + YIELD_RECORDS]))
        await asyncio.sleep(0)
    return encode.range_message(header, b"".join(pieces), response)

"""The unary methods: path → (request, handler, encoder), one row each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from store.api import messages as m
from store.api.errors import Unimplemented
from store.api.grpc import requests as _requests  # noqa: F401  (declares the field numbers)
from store.api.grpc import responses as encode
from store.api.grpc.auth_rows import rows
from store.api.grpc.call import Call, MessageError
from store.api.grpc.protobuf import Malformed, number_field, read
from store.api.service import StoreService
from store.mvcc import messages as kv

YIELD_RECORDS = 500  # a long list is encoded in pieces of this many keys, others are served in between

Handler = Callable[[StoreService, Any], Awaitable[Any]]
Encoder = Callable[[bytes, Any], bytes]
Row = tuple[type[kv.Request], Handler, Encoder]


SERVING, NOT_SERVING = 1, 2  # of grpc.health.v1


def health(service: StoreService) -> int:
    return SERVING if service.has_leader else NOT_SERVING


async def _health(service: StoreService, request: m.EmptyRequest) -> int:
    return health(service)


async def _downgrade(service: StoreService, request: m.EmptyRequest) -> None:
    raise Unimplemented("etcdserver: downgrade is not supported: there is no older version")


async def _status(service: StoreService, request: m.EmptyRequest) -> m.StatusResponse:
    return service.status()


UNARY: dict[bytes, Row] = {
    b"/etcdserverpb.KV/Range": (kv.RangeRequest, StoreService.range, encode.kv),
    b"/etcdserverpb.KV/Put": (kv.PutRequest, StoreService.put, encode.kv),
    b"/etcdserverpb.KV/DeleteRange": (kv.DeleteRangeRequest, StoreService.delete_range, encode.kv),
    b"/etcdserverpb.KV/Txn": (kv.TxnRequest, StoreService.txn, encode.kv),
    b"/etcdserverpb.KV/Compact": (kv.CompactionRequest, StoreService.compact, encode.kv),
    b"/etcdserverpb.Lease/LeaseGrant": (
        m.LeaseGrantRequest,
        lambda s, r: s.lease_grant(r.id, r.ttl_s),
        encode.lease,
    ),
    b"/etcdserverpb.Lease/LeaseRevoke": (
        m.LeaseIdRequest,
        lambda s, r: s.lease_revoke(r.id),
        encode.empty,
    ),
    b"/etcdserverpb.Lease/LeaseTimeToLive": (
        m.LeaseTimeToLiveRequest,
        lambda s, r: s.lease_time_to_live(r.id, r.keys),
        encode.time_to_live,
    ),
    b"/etcdserverpb.Lease/LeaseLeases": (m.EmptyRequest, lambda s, r: s.lease_list(), encode.leases),
    b"/etcdserverpb.Cluster/MemberList": (
        m.MemberListRequest,
        lambda s, r: s.cluster.list_members(r.linearizable),
        encode.members,
    ),
    b"/etcdserverpb.Cluster/MemberAdd": (
        m.MemberAddRequest,
        lambda s, r: s.cluster.add(r.peer_urls, r.is_learner),
        encode.member_added,
    ),
    b"/etcdserverpb.Cluster/MemberPromote": (
        m.MemberIdRequest,
        lambda s, r: s.cluster.promote(r.id),
        encode.members,
    ),
    b"/etcdserverpb.Cluster/MemberUpdate": (
        m.MemberUpdateRequest,
        lambda s, r: s.cluster.update(r.id, r.peer_urls),
        encode.members,
    ),
    b"/etcdserverpb.Cluster/MemberRemove": (
        m.MemberIdRequest,
        lambda s, r: s.cluster.remove(r.id),
        encode.members,
    ),
    b"/etcdserverpb.Maintenance/Status": (m.EmptyRequest, _status, encode.status),
    b"/etcdserverpb.Maintenance/Alarm": (m.AlarmRequest, StoreService.alarm, encode.alarms),
    b"/etcdserverpb.Maintenance/Defragment": (m.EmptyRequest, lambda s, r: s.defragment(), encode.empty),
    b"/etcdserverpb.Maintenance/Hash": (m.EmptyRequest, lambda s, r: s.hash_kv(0), encode.hash_all),
    b"/etcdserverpb.Maintenance/HashKV": (
        m.HashKvRequest,
        lambda s, r: s.hash_kv(r.revision),
        encode.hash_kv,
    ),
    b"/etcdserverpb.Maintenance/MoveLeader": (
        m.MoveLeaderRequest,
        lambda s, r: s.cluster.move_leader(r.target_id),
        encode.empty,
    ),
    b"/etcdserverpb.Maintenance/Downgrade": (m.EmptyRequest, _downgrade, encode.empty),
    b"/grpc.health.v1.Health/Check": (m.EmptyRequest, _health, lambda _, status: number_field(1, status)),
}


R = TypeVar("R", bound=kv.Request)


def read_message(kind: type[R], message: bytes) -> R:
    try:
        return read(kind, message)
    except Malformed as error:
        raise MessageError(f"grpc: error unmarshalling request: {error}") from error


UNARY.update(rows())


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

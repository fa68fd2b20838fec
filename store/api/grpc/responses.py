"""Responses as protobuf: (header, response) → message. Field numbers are etcd's.

Keys, events and headers are on the hot path, so they are put together with few calls.
"""

from __future__ import annotations

from functools import lru_cache

from store.api.grpc.protobuf import bytes_field, message_field, number_field, text_field, varint
from store.api.machine import LeaseResult
from store.api.messages import (
    AlarmResponse,
    DowngradeResponse,
    HashResponse,
    Header,
    LeasesResponse,
    LeaseTimeToLiveResponse,
    MembersResponse,
    StatusResponse,
)
from store.mvcc.messages import (
    CompactionResponse,
    DeleteRangeResponse,
    Event,
    PutResponse,
    RangeResponse,
    Record,
    TxnResponse,
)
from store.raft.interface import Member
from store.watch.stream import WatchResponse

MEMBERS_KEPT = 16  # encoded identities; a process is one member, or was another before

ALARMS = {"NONE": 0, "NOSPACE": 1, "CORRUPT": 2}


def header_field(header: Header) -> bytes:
    """Every response's field 1."""
    body = _identity(header.cluster_id, header.member_id) + number_field(3, header.revision)
    body += number_field(4, header.raft_term)
    return b"\x0a" + varint(len(body)) + body


@lru_cache(MEMBERS_KEPT)
def _identity(cluster_id: int, member_id: int) -> bytes:
    return number_field(1, cluster_id) + number_field(2, member_id)


def record(record: Record) -> bytes:
    body = b"\x0a" + varint(len(record.key)) + record.key
    if record.version:
        body += b"\x10" + varint(record.create_revision)
    body += b"\x18" + varint(record.mod_revision)
    if record.version:
        body += b" " + varint(record.version)
    if record.value:
        body += b"*" + varint(len(record.value)) + record.value
    return body + b"0" + varint(record.lease) if record.lease else body


def records(records: list[Record]) -> bytes:
    """Field 2 of a range's response, repeated."""
    return b"".join([b"\x12" + varint(len(each)) + each for each in map(record, records)])


# -- keys and values --

KvResponse = RangeResponse | PutResponse | DeleteRangeResponse | TxnResponse | CompactionResponse


def kv(header: bytes, response: KvResponse) -> bytes:
    match response:
        case RangeResponse():
            return range_message(header, records(response.kvs), response)
        case PutResponse():
            return header + (message_field(2, record(response.prev_kv)) if response.prev_kv else b"")
        case DeleteRangeResponse():
            previous = b"".join([message_field(3, record(each)) for each in response.prev_kvs])
            return header + number_field(2, response.deleted) + previous
        case TxnResponse():
            return _txn(header, response)
        case CompactionResponse():
            return header


def range_message(header: bytes, kvs: bytes, response: RangeResponse) -> bytes:
    """`kvs` is encoded by the caller, who may take its time over a long list."""
    return header + kvs + number_field(3, response.more) + number_field(4, response.count)


_OPERATIONS: dict[type, int] = {RangeResponse: 1, PutResponse: 2, DeleteRangeResponse: 3, TxnResponse: 4}


def _txn(header: bytes, response: TxnResponse) -> bytes:
    parts = [
        message_field(3, message_field(_OPERATIONS[type(each)], kv(_inner_header(each), each)))
        for each in response.responses
    ]
    return header + number_field(2, response.succeeded) + b"".join(parts)


def _inner_header(response: KvResponse) -> bytes:
    """Inside a transaction only the revision is told, and of nested transactions nothing, as etcd does."""
    inside = b"" if isinstance(response, TxnResponse) else b"\x18" + varint(response.revision)
    return message_field(1, inside)


# -- watches --


def event(event: Event, prev_kv: bool) -> bytes:
    """One event as field 11 of a watch's response."""
    body = b"\x08\x01" if event.is_delete else b""
    body += message_field(2, record(event.record))
    if prev_kv and event.prev is not None:
        body += message_field(3, record(event.prev))
    return b"Z" + varint(len(body)) + body


def watch_start(header: bytes, response: WatchResponse) -> bytes:
    """A watch's response without its events."""
    if response.batch is not None:  # then it is nothing else
        return header + number_field(2, response.watch_id)
    return (
        header
        + number_field(2, response.watch_id)
        + number_field(3, response.created)
        + number_field(4, response.canceled)
        + number_field(5, response.compact_revision)
        + text_field(6, response.cancel_reason)
    )


FRAGMENT = number_field(7, 1)


# -- leases --


def empty(header: bytes, response: object) -> bytes:
    return header


def lease(header: bytes, response: LeaseResult) -> bytes:
    return header + number_field(2, response.id) + number_field(3, response.ttl_s)


def time_to_live(header: bytes, response: LeaseTimeToLiveResponse) -> bytes:
    return (
        header
        + number_field(2, response.id)
        + number_field(3, response.ttl_s)
        + number_field(4, response.granted_ttl_s)
        + b"".join([message_field(5, key) for key in response.keys])
    )


def leases(header: bytes, response: LeasesResponse) -> bytes:
    return header + b"".join([message_field(2, number_field(1, id)) for id in response.ids])


# -- membership and maintenance --


def _member(member: Member) -> bytes:
    return (
        number_field(1, member.id)
        + text_field(2, member.name)
        + b"".join([text_field(3, url) for url in member.peer_urls])
        + b"".join([text_field(4, url) for url in member.client_urls])
        + number_field(5, member.is_learner)
    )


def members(header: bytes, response: MembersResponse) -> bytes:
    """MemberList, -Remove, -Update and -Promote."""
    return header + b"".join([message_field(2, _member(member)) for member in response.members])


def member_added(header: bytes, response: MembersResponse) -> bytes:
    assert response.member is not None
    added = message_field(2, _member(response.member))
    return header + added + b"".join([message_field(3, _member(member)) for member in response.members])


def alarms(header: bytes, response: AlarmResponse) -> bytes:
    return header + b"".join(
        [
            message_field(2, number_field(1, each.member_id) + number_field(2, ALARMS[each.alarm]))
            for each in response.alarms
        ]
    )


def hash_kv(header: bytes, response: HashResponse) -> bytes:
    return (
        header
        + number_field(2, response.hash)
        + number_field(3, response.compact_revision)
        + number_field(4, response.hash_revision)
    )


def hash_all(header: bytes, response: HashResponse) -> bytes:
    return header + number_field(2, response.hash)


def status(header: bytes, response: StatusResponse) -> bytes:
    return (
        header
        + text_field(2, response.version)
        + number_field(3, response.db_size_bytes)
        + number_field(4, response.leader)
        + number_field(5, response.raft_index)
        + number_field(6, response.raft_term)
        + number_field(7, response.raft_applied_index)
        + b"".join([text_field(8, error) for error in response.errors])
        + number_field(9, response.db_size_bytes)
        + number_field(10, response.is_learner)
        + text_field(11, response.version)
        + number_field(12, response.quota_bytes)
        + (message_field(13, _downgrade_info(response)) if response.downgrade_target else b"")
    )


def _downgrade_info(status: StatusResponse) -> bytes:
    return number_field(1, 1) + text_field(2, status.downgrade_target)


def downgrade(header: bytes, response: DowngradeResponse) -> bytes:
    return header + text_field(2, response.version)


def snapshot_blob(header: bytes, remaining_bytes: int, blob: bytes, version: str) -> bytes:
    return header + number_field(2, remaining_bytes) + bytes_field(3, blob) + text_field(4, version)

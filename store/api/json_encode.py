"""Responses as JSON, in the form of etcd's gateway: int64 as strings, bytes as base64, zeroes and empties
left out.

Keys, events and headers are on the hot path, so their JSON is put together by hand; the rest goes through
orjson.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Any

import orjson

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
from store.api.watch_session import fragments
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
from store.watch.stream import Batch, WatchResponse


def encode_header(header: Header) -> bytes:
    return b'{"cluster_id":"%d","member_id":"%d","revision":"%d","raft_term":"%d"}' % (
        header.cluster_id,
        header.member_id,
        header.revision,
        header.raft_term,
    )


def encode_record(record: Record) -> bytes:
    key = b2a_base64(record.key, newline=False)
    if record.version == 0:
        return b'{"key":"%b","mod_revision":"%d"}' % (key, record.mod_revision)
    optional = b""
    if record.value:
        optional = b',"value":"%b"' % b2a_base64(record.value, newline=False)
    if record.lease:
        optional += b',"lease":"%d"' % record.lease
    return b'{"key":"%b","create_revision":"%d","mod_revision":"%d","version":"%d"%b}' % (
        key,
        record.create_revision,
        record.mod_revision,
        record.version,
        optional,
    )


# -- keys and values: (header, response) → JSON --

KvResponse = RangeResponse | PutResponse | DeleteRangeResponse | TxnResponse | CompactionResponse


def encode_kv(header: bytes, response: KvResponse) -> bytes:
    match response:
        case RangeResponse():
            return encode_range(header, response)
        case PutResponse():
            prev = b',"prev_kv":' + encode_record(response.prev_kv) if response.prev_kv else b""
            return b'{"header":%b%b}' % (header, prev)
        case DeleteRangeResponse():
            return _encode_delete(header, response)
        case TxnResponse():
            return _encode_txn(header, response)
        case CompactionResponse():
            return b'{"header":%b}' % header


def encode_range(header: bytes, response: RangeResponse) -> bytes:
    return range_json(header, b",".join(map(encode_record, response.kvs)), response)


def range_json(header: bytes, kvs: bytes, response: RangeResponse) -> bytes:
    """`kvs` is encoded by the caller, who may take its time over a long list."""
    rest = b',"kvs":[' + kvs + b"]" if kvs else b""
    if response.more:
        rest += b',"more":true'
    if response.count:
        rest += b',"count":"%d"' % response.count
    return b'{"header":' + header + rest + b"}"


def _encode_delete(header: bytes, response: DeleteRangeResponse) -> bytes:
    rest = b',"deleted":"%d"' % response.deleted if response.deleted else b""
    if response.prev_kvs:
        rest += b',"prev_kvs":[' + b",".join(map(encode_record, response.prev_kvs)) + b"]"
    return b'{"header":' + header + rest + b"}"


_OPERATION_NAMES: dict[type, bytes] = {
    RangeResponse: b"response_range",
    PutResponse: b"response_put",
    DeleteRangeResponse: b"response_delete_range",
    TxnResponse: b"response_txn",
}


def _encode_txn(header: bytes, response: TxnResponse) -> bytes:
    rest = b',"succeeded":true' if response.succeeded else b""
    if response.responses:
        parts = [
            b'{"%b":%b}' % (_OPERATION_NAMES[type(each)], encode_kv(_inner_header(each), each))
            for each in response.responses
        ]
        rest += b',"responses":[' + b",".join(parts) + b"]"
    return b'{"header":' + header + rest + b"}"


def _inner_header(response: KvResponse) -> bytes:
    """Inside a transaction only the revision is told, and of nested transactions nothing, as etcd does."""
    return b"{}" if isinstance(response, TxnResponse) else b'{"revision":"%d"}' % response.revision


# -- watches --


def encode_event(event: Event, prev_kv: bool) -> bytes:
    """Encoded once, with and without its predecessor, for whoever watches."""
    encoded = event.encodings[prev_kv]
    if encoded is None:
        kind = b'"type":"DELETE",' if event.is_delete else b""
        prev = b',"prev_kv":' + encode_record(event.prev) if prev_kv and event.prev else b""
        encoded = b'{%b"kv":%b%b}' % (kind, encode_record(event.record), prev)
        without, with_prev = event.encodings
        event.encodings = (without, encoded) if prev_kv else (encoded, with_prev)
    return encoded


def encode_batch(batch: Batch) -> bytes:
    if batch.encoded is None:
        batch.encoded = b",".join([encode_event(event, batch.prev_kv) for event in batch.events])
    return batch.encoded


def encode_watch_lines(header: bytes, response: WatchResponse, fragment_bytes: int) -> list[bytes]:
    """The lines of a response: one, unless its watcher takes fragments and it is longer than one may be."""
    batch = response.batch
    if batch is None or not response.may_fragment or len(encode_batch(batch)) <= fragment_bytes:
        return [encode_watch(header, response)]
    parts = fragments((encode_event(each, batch.prev_kv) for each in batch.events), fragment_bytes)
    start = _watch_start(header, response)
    lines = [start + b',"fragment":true,"events":[%b]}}\n' % b",".join(part) for part in parts[:-1]]
    return [*lines, start + b',"events":[%b]}}\n' % b",".join(parts[-1])]


def encode_watch(header: bytes, response: WatchResponse) -> bytes:
    """One line of a watch's stream."""
    line = _watch_start(header, response)
    if response.batch is not None:
        line += b',"events":[' + encode_batch(response.batch) + b"]"
    return line + b"}}\n"


def _watch_start(header: bytes, response: WatchResponse) -> bytes:
    line = b'{"result":{"header":' + header
    if response.watch_id:
        line += b',"watch_id":"%d"' % response.watch_id
    if response.created:
        line += b',"created":true'
    if response.canceled:
        line += b',"canceled":true'
    if response.compact_revision:
        line += b',"compact_revision":"%d"' % response.compact_revision
    if response.cancel_reason:
        line += b',"cancel_reason":' + orjson.dumps(response.cancel_reason)
    return line


# -- the rest: (header, response) → JSON --


def _document(header: bytes, fields: dict[str, Any]) -> bytes:
    kept = {name: value for name, value in fields.items() if value or value == "0"}
    body = orjson.dumps(kept)
    return b'{"header":' + header + (b"," + body[1:] if kept else b"}")


def _int64(number: int) -> str | None:
    return str(number) if number else None


def encode_empty(header: bytes, response: object) -> bytes:
    return _document(header, {})


def encode_lease_grant(header: bytes, response: LeaseResult) -> bytes:
    return _document(header, {"ID": _int64(response.id), "TTL": _int64(response.ttl_s)})


def encode_keep_alive(header: bytes, response: LeaseResult) -> bytes:
    return b'{"result":' + encode_lease_grant(header, response) + b"}\n"


def encode_time_to_live(header: bytes, response: LeaseTimeToLiveResponse) -> bytes:
    fields = {
        "ID": _int64(response.id),
        "TTL": _int64(response.ttl_s),
        "grantedTTL": _int64(response.granted_ttl_s),
        "keys": [b2a_base64(key, newline=False).decode() for key in response.keys],
    }
    return _document(header, fields)


def encode_leases(header: bytes, response: LeasesResponse) -> bytes:
    return _document(header, {"leases": [{"ID": str(id)} for id in response.ids]})


def _member(member: Member) -> dict[str, Any]:
    fields: dict[str, Any] = {"ID": str(member.id)}
    if member.name:
        fields["name"] = member.name
    if member.peer_urls:
        fields["peerURLs"] = list(member.peer_urls)
    if member.client_urls:
        fields["clientURLs"] = list(member.client_urls)
    if member.is_learner:
        fields["isLearner"] = True
    return fields


def encode_members(header: bytes, response: MembersResponse) -> bytes:
    fields: dict[str, Any] = {"members": [_member(member) for member in response.members]}
    if response.member is not None:
        fields["member"] = _member(response.member)
    return _document(header, fields)


def encode_alarms(header: bytes, response: AlarmResponse) -> bytes:
    alarms = [{"memberID": str(each.member_id), "alarm": each.alarm} for each in response.alarms]
    return _document(header, {"alarms": alarms})


def encode_hash(header: bytes, response: HashResponse) -> bytes:
    fields = {
        "hash": response.hash,
        "compact_revision": _int64(response.compact_revision),
        "hash_revision": _int64(response.hash_revision),
    }
    return _document(header, fields)


def encode_status(header: bytes, response: StatusResponse) -> bytes:
    fields: dict[str, Any] = {
        "version": response.version,
        "dbSize": _int64(response.db_size_bytes),
        "leader": _int64(response.leader),
        "raftIndex": _int64(response.raft_index),
        "raftTerm": _int64(response.raft_term),
        "raftAppliedIndex": _int64(response.raft_applied_index),
        "errors": response.errors,
        "dbSizeInUse": _int64(response.db_size_bytes),
        "isLearner": response.is_learner,
        "storageVersion": response.version,
        "dbSizeQuota": _int64(response.quota_bytes),
    }
    if response.downgrade_target:
        fields["downgradeInfo"] = {"enabled": True, "targetVersion": response.downgrade_target}
    return _document(header, fields)


def encode_downgrade(header: bytes, response: DowngradeResponse) -> bytes:
    return _document(header, {"version": response.version})

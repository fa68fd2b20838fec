"""Between the client's types and the JSON of etcd's gateway: int64 as strings, bytes as base64, zeroes left
out.

Requests are built as plain dicts for orjson; responses are decoded by msgspec straight into typed structs
(`strict=False` reads an int from its string). Field names are etcd's snake_case, which every gateway
version accepts and emits.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Any, TypeVar

import msgspec
import orjson

from store.client import types as t
from store.client.errors import Code, StoreError, from_status


def b64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


# -- requests -------------------------------------------------------------------------------------------


def range_request(op: t.RangeOp) -> dict[str, Any]:
    body: dict[str, Any] = {"key": b64(op.key)}
    if op.range_end:
        body["range_end"] = b64(op.range_end)
    if op.limit:
        body["limit"] = op.limit
    if op.revision:
        body["revision"] = op.revision
    if op.sort_order != "NONE":
        body["sort_order"] = op.sort_order
    if op.sort_target != "KEY":
        body["sort_target"] = op.sort_target
    for name in ("serializable", "keys_only", "count_only"):
        if getattr(op, name):
            body[name] = True
    for name in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
        if bound := getattr(op, name):
            body[name] = bound
    return body


def put_request(op: t.PutOp) -> dict[str, Any]:
    body: dict[str, Any] = {"key": b64(op.key)}
    if not op.ignore_value:
        body["value"] = b64(op.value)
    if op.lease:
        body["lease"] = op.lease
    if op.prev_kv:
        body["prev_kv"] = True
    if op.ignore_value:
        body["ignore_value"] = True
    if op.ignore_lease:
        body["ignore_lease"] = True
    return body


def delete_request(op: t.DeleteOp) -> dict[str, Any]:
    body: dict[str, Any] = {"key": b64(op.key)}
    if op.range_end:
        body["range_end"] = b64(op.range_end)
    if op.prev_kv:
        body["prev_kv"] = True
    return body


_RESULTS = {"=": "EQUAL", "!=": "NOT_EQUAL", ">": "GREATER", "<": "LESS"}
_OPERANDS = {"VERSION": "version", "CREATE": "create_revision", "MOD": "mod_revision", "LEASE": "lease"}


def _compare(compare: t.Compare) -> dict[str, Any]:
    body: dict[str, Any] = {
        "key": b64(compare.key),
        "target": compare.target,
        "result": _RESULTS[compare.result],
    }
    if isinstance(compare.operand, bytes):
        body["value"] = b64(compare.operand)
    else:
        body[_OPERANDS[compare.target]] = str(compare.operand)
    if compare.range_end:
        body["range_end"] = b64(compare.range_end)
    return body


def _operation(op: t.Operation) -> dict[str, Any]:
    match op:
        case t.RangeOp():
            return {"request_range": range_request(op)}
        case t.PutOp():
            return {"request_put": put_request(op)}
        case t.DeleteOp():
            return {"request_delete_range": delete_request(op)}
        case t.TxnOp():
            return {"request_txn": txn_request(op)}


def txn_request(op: t.TxnOp) -> dict[str, Any]:
    return {
        "compare": [_compare(c) for c in op.compares],
        "success": [_operation(o) for o in op.success],
        "failure": [_operation(o) for o in op.failure],
    }


def is_read_only(op: t.Operation) -> bool:
    match op:
        case t.RangeOp():
            return True
        case t.TxnOp():
            return all(is_read_only(o) for o in (*op.success, *op.failure))
        case _:
            return False


# -- responses ------------------------------------------------------------------------------------------


class Header(msgspec.Struct):
    cluster_id: int = 0
    member_id: int = 0
    revision: int = 0
    raft_term: int = 0


class HeaderOnly(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)


class RangeBody(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    kvs: list[t.KeyValue] = msgspec.field(default_factory=list)
    more: bool = False
    count: int = 0

    def public(self) -> t.RangeResponse:
        return t.RangeResponse(self.header.revision, self.kvs, self.more, self.count)


class PutBody(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    prev_kv: t.KeyValue | None = None

    def public(self) -> t.PutResponse:
        return t.PutResponse(self.header.revision, self.prev_kv)


class DeleteBody(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    deleted: int = 0
    prev_kvs: list[t.KeyValue] = msgspec.field(default_factory=list)

    def public(self) -> t.DeleteRangeResponse:
        return t.DeleteRangeResponse(self.header.revision, self.deleted, self.prev_kvs)


class OpBody(msgspec.Struct):
    response_range: RangeBody | None = None
    response_put: PutBody | None = None
    response_delete_range: DeleteBody | None = None
    response_txn: TxnBody | None = None

    def public(self) -> t.RangeResponse | t.PutResponse | t.DeleteRangeResponse | t.TxnResponse:
        body = self.response_range or self.response_put or self.response_delete_range or self.response_txn
        if body is None:
            raise StoreError("the store answered an operation of a transaction with nothing")
        return body.public()


class TxnBody(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    succeeded: bool = False
    responses: list[OpBody] = msgspec.field(default_factory=list)

    def public(self) -> t.TxnResponse:
        return t.TxnResponse(self.header.revision, self.succeeded, [r.public() for r in self.responses])


class WatchBody(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    watch_id: int = 0
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""
    events: list[t.Event] = msgspec.field(default_factory=list)


class StreamError(msgspec.Struct):
    """`code` is the gRPC code in newer gateways, `grpc_code` in etcd 3.4's."""

    code: int = 0
    grpc_code: int = 0
    message: str = ""


class WatchLine(msgspec.Struct):
    result: WatchBody | None = None
    error: StreamError | None = None


class LeaseGrantBody(msgspec.Struct):
    ID: int = 0
    TTL: int = 0
    error: str = ""


class LeaseKeepAliveLine(msgspec.Struct):
    result: LeaseGrantBody | None = None
    error: StreamError | None = None


class LeaseTimeToLiveBody(msgspec.Struct):
    ID: int = 0
    TTL: int = 0
    grantedTTL: int = 0
    keys: list[bytes] = msgspec.field(default_factory=list)


class LeaseIdBody(msgspec.Struct):
    ID: int = 0


class LeasesBody(msgspec.Struct):
    leases: list[LeaseIdBody] = msgspec.field(default_factory=list)


class StatusBody(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    version: str = ""
    dbSize: int = 0
    dbSizeInUse: int = 0
    leader: int = 0
    raftIndex: int = 0
    raftAppliedIndex: int = 0
    raftTerm: int = 0
    isLearner: bool = False
    errors: list[str] = msgspec.field(default_factory=list)


class MemberBody(msgspec.Struct):
    ID: int = 0
    name: str = ""
    peerURLs: list[str] = msgspec.field(default_factory=list)
    clientURLs: list[str] = msgspec.field(default_factory=list)
    isLearner: bool = False

    def public(self) -> t.MemberInfo:
        return t.MemberInfo(self.ID, self.name, self.peerURLs, self.clientURLs, self.isLearner)


class MembersBody(msgspec.Struct):
    members: list[MemberBody] = msgspec.field(default_factory=list)


class MemberAddBody(msgspec.Struct):
    member: MemberBody = msgspec.field(default_factory=MemberBody)


class HashBody(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    hash: int = 0
    compact_revision: int = 0


class ErrorBody(msgspec.Struct):
    code: int = int(Code.UNKNOWN)
    message: str = ""
    error: str = ""


T = TypeVar("T")
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def decode(kind: type[T], body: bytes) -> T:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, strict=False)
    try:
        decoded: T = decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the store's answer cannot be read: {error}") from error
    return decoded


def encode(body: dict[str, Any]) -> bytes:
    return orjson.dumps(body)


def error_of(status: int, body: bytes) -> StoreError:
    """The error of an answer that is not 200; a body that is no gateway error is quoted, shortened."""
    try:
        answer = decode(ErrorBody, body)
    except StoreError:
        return StoreError(f"HTTP {status}: {body[:200].decode('utf-8', 'replace')}")
    return from_status(answer.code, answer.message or answer.error)


def stream_error(error: StreamError) -> StoreError:
    return from_status(error.grpc_code or error.code, error.message)

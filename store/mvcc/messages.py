"""Requests and responses of the key-value service: etcd's rpc.proto as typed structs.

One set of classes serves every encoding: msgspec decodes a JSON request straight into them, and the same
structs in msgpack are the commands in the Raft log (defaults left out, so a put costs its key, its value
and a dozen bytes). Enumerations are their names. A gateway fills in the response header from `revision`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""In requests: JSON knows no bounds, the log and etcd's clients do."""

SortOrder = Literal["NONE", "ASCEND", "DESCEND"]
SortTarget = Literal["KEY", "VERSION", "CREATE", "MOD", "VALUE"]
CompareResult = Literal["EQUAL", "GREATER", "LESS", "NOT_EQUAL"]
CompareTarget = Literal["VERSION", "CREATE", "MOD", "VALUE", "LEASE"]


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One version of one key; `version` 0 marks a deletion. Not tracked by the collector: it cannot form a
    cycle."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class Event(msgspec.Struct, gc=False):
    """A change that `apply` made. `encodings` lets each gateway encode it once for all its watchers."""

    record: Record
    prev: Record | None
    encodings: tuple[bytes | None, bytes | None] = (None, None)  # without and with prev_kv

    @property
    def is_delete(self) -> bool:
        return self.record.version == 0


class Request(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all requests: unknown fields are refused, in JSON and in the log."""


class RangeRequest(Request):
    key: bytes = b""
    range_end: bytes = b""
    limit: Int64 = 0
    revision: Int64 = 0
    sort_order: SortOrder = "NONE"
    sort_target: SortTarget = "KEY"
    serializable: bool = False
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: Int64 = 0
    max_mod_revision: Int64 = 0
    min_create_revision: Int64 = 0
    max_create_revision: Int64 = 0


class PutRequest(Request):
    key: bytes = b""
    value: bytes = b""
    lease: Int64 = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


class DeleteRangeRequest(Request):
    key: bytes = b""
    range_end: bytes = b""
    prev_kv: bool = False


class Compare(Request):
    result: CompareResult = "EQUAL"
    target: CompareTarget = "VERSION"
    key: bytes = b""
    range_end: bytes = b""
    version: Int64 = 0
    create_revision: Int64 = 0
    mod_revision: Int64 = 0
    value: bytes = b""
    lease: Int64 = 0


class RequestOp(Request):
    """Exactly one is set."""

    request_range: RangeRequest | None = None
    request_put: PutRequest | None = None
    request_delete_range: DeleteRangeRequest | None = None
    request_txn: TxnRequest | None = None

    @property
    def request(self) -> Operation | None:
        return self.request_put or self.request_range or self.request_delete_range or self.request_txn


class TxnRequest(Request):
    compare: list[Compare] = []
    success: list[RequestOp] = []
    failure: list[RequestOp] = []


class CompactionRequest(Request):
    revision: Int64 = 0
    physical: bool = False


Operation = RangeRequest | PutRequest | DeleteRangeRequest | TxnRequest


class RangeResponse(msgspec.Struct):
    revision: int
    kvs: list[Record]
    more: bool = False
    count: int = 0


class PutResponse(msgspec.Struct):
    revision: int
    prev_kv: Record | None = None


class DeleteRangeResponse(msgspec.Struct):
    revision: int
    deleted: int = 0
    prev_kvs: list[Record] = []


class TxnResponse(msgspec.Struct):
    revision: int
    succeeded: bool
    responses: list[RangeResponse | PutResponse | DeleteRangeResponse | TxnResponse]


class CompactionResponse(msgspec.Struct):
    revision: int


Response = RangeResponse | PutResponse | DeleteRangeResponse | TxnResponse | CompactionResponse

"""What a store client sends and receives: etcd v3's messages, reduced to what a caller reads.

Keys and values are bytes, revisions and leases ints. The classes are immutable; `KeyValue` and `Event` are
also the shape of the wire (msgspec decodes JSON straight into them), so a range of many keys costs no
Python per field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

Key = bytes


class KeyValue(msgspec.Struct, frozen=True):
    key: bytes = b""
    value: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    lease: int = 0


class Event(msgspec.Struct, frozen=True):
    """One change; a DELETE's `kv` has only the key and the revision of the deletion."""

    kv: KeyValue
    type: Literal["PUT", "DELETE"] = "PUT"
    prev_kv: KeyValue | None = None


class RangeResponse(msgspec.Struct, frozen=True):
    revision: int
    kvs: list[KeyValue]
    more: bool = False
    count: int = 0


class PutResponse(msgspec.Struct, frozen=True):
    revision: int
    prev_kv: KeyValue | None = None


class DeleteRangeResponse(msgspec.Struct, frozen=True):
    revision: int
    deleted: int = 0
    prev_kvs: list[KeyValue] = msgspec.field(default_factory=list)


class TxnResponse(msgspec.Struct, frozen=True):
    """`responses` are in the order of the operations of the branch that was taken."""

    revision: int
    succeeded: bool
    responses: list[RangeResponse | PutResponse | DeleteRangeResponse | TxnResponse]


class WatchResponse(msgspec.Struct, frozen=True):
    """Events in revision order; `progress` says that everything up to `revision` has been delivered."""

    revision: int
    events: list[Event]
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    progress: bool = False


class LeaseGrantResponse(msgspec.Struct, frozen=True):
    id: int
    ttl_s: int


class LeaseTimeToLiveResponse(msgspec.Struct, frozen=True):
    """`ttl_s` is -1 when the lease does not exist."""

    id: int
    ttl_s: int
    granted_ttl_s: int
    keys: list[bytes]


class StatusResponse(msgspec.Struct, frozen=True):
    endpoint: str
    cluster_id: int
    member_id: int
    revision: int
    version: str
    db_size_bytes: int
    db_size_in_use_bytes: int
    leader: int
    raft_index: int
    raft_applied_index: int
    raft_term: int
    is_learner: bool
    errors: list[str]


class MemberInfo(msgspec.Struct, frozen=True):
    id: int
    name: str
    peer_urls: list[str]
    client_urls: list[str]
    is_learner: bool = False


CompareResult = Literal["=", "!=", ">", "<"]
CompareTarget = Literal["VERSION", "CREATE", "MOD", "VALUE", "LEASE"]


@dataclass(frozen=True, slots=True)
class Compare:
    """One condition of a transaction, on one key or (with `range_end`) on every key of a range."""

    key: bytes
    target: CompareTarget
    result: CompareResult
    operand: int | bytes
    range_end: bytes = b""

    @classmethod
    def mod_revision(cls, key: bytes, result: CompareResult, n: int, range_end: bytes = b"") -> Compare:
        return cls(key, "MOD", result, n, range_end)

    @classmethod
    def create_revision(cls, key: bytes, result: CompareResult, n: int, range_end: bytes = b"") -> Compare:
        return cls(key, "CREATE", result, n, range_end)

    @classmethod
    def version(cls, key: bytes, result: CompareResult, n: int, range_end: bytes = b"") -> Compare:
        return cls(key, "VERSION", result, n, range_end)

    @classmethod
    def value(cls, key: bytes, result: CompareResult, value: bytes, range_end: bytes = b"") -> Compare:
        return cls(key, "VALUE", result, value, range_end)

    @classmethod
    def lease(cls, key: bytes, result: CompareResult, lease: int, range_end: bytes = b"") -> Compare:
        return cls(key, "LEASE", result, lease, range_end)


SortOrder = Literal["NONE", "ASCEND", "DESCEND"]
SortTarget = Literal["KEY", "VERSION", "CREATE", "MOD", "VALUE"]


@dataclass(frozen=True, slots=True)
class RangeOp:
    key: bytes
    range_end: bytes = b""
    limit: int = 0
    revision: int = 0
    sort_order: SortOrder = "NONE"
    sort_target: SortTarget = "KEY"
    serializable: bool = False
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0


@dataclass(frozen=True, slots=True)
class PutOp:
    key: bytes
    value: bytes
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOp:
    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


@dataclass(frozen=True, slots=True)
class TxnOp:
    compares: Sequence[Compare] = field(default_factory=tuple)
    success: Sequence[Operation] = field(default_factory=tuple)
    failure: Sequence[Operation] = field(default_factory=tuple)


Operation = RangeOp | PutOp | DeleteOp | TxnOp


class Op:
    """Constructors under the names people look for: `Op.put`, `Op.range`, `Op.delete`, `Op.txn`."""

    put = PutOp
    range = RangeOp
    delete = DeleteOp
    txn = TxnOp


def prefix_end(prefix: bytes) -> bytes:
    """The `range_end` that makes a range cover every key with `prefix` (b"\\0" means: to the end of all
    keys)."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        return b"\x00"
    return stripped[:-1] + bytes((stripped[-1] + 1,))

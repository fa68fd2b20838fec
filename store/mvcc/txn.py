"""Transactions: what is refused before anything happens, the choice of a branch, and the plan that is then
carried out.

Order, as in etcd: shape (`check_txn`, also done before proposing) → all compares, of nested transactions
too, against the state before the transaction → checks of the chosen operations (`check_operations`) →
execution, which cannot fail. So a transaction happens as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import eq, gt, lt, ne
from typing import Any, Protocol

from store.mvcc.errors import (
    DuplicateKey,
    EmptyKey,
    KeyNotFound,
    LeaseNotFound,
    LeaseProvided,
    TooManyOps,
    ValueProvided,
)
from store.mvcc.index import KeyIndex
from store.mvcc.messages import (
    Compare,
    DeleteRangeRequest,
    Operation,
    PutRequest,
    RangeRequest,
    Record,
    RequestOp,
    TxnRequest,
)
from store.mvcc.query import check_range, in_range, read_revision

MAX_TXN_OPS = 128


class Leases(Protocol):
    """What the key-value store knows of leases."""

    def exists(self, lease: int) -> bool: ...

    def attach(self, lease: int, key: bytes) -> None: ...

    def detach(self, lease: int, key: bytes) -> None: ...


# -- shape ----------------------------------------------------------------------------------------------


def check_put(request: PutRequest) -> None:
    if not request.key:
        raise EmptyKey
    if request.ignore_value and request.value:
        raise ValueProvided
    if request.ignore_lease and request.lease:
        raise LeaseProvided


def check_delete(request: DeleteRangeRequest) -> None:
    if not request.key:
        raise EmptyKey


def check_txn(request: TxnRequest, max_ops: int = MAX_TXN_OPS) -> None:
    _check_shape(request, max_ops)
    _check_intervals(request.success)
    _check_intervals(request.failure)


def _check_shape(request: TxnRequest, max_ops: int) -> None:
    ops = max(len(request.compare), len(request.success), len(request.failure))
    if ops > max_ops:
        raise TooManyOps
    if any(not compare.key for compare in request.compare):
        raise EmptyKey
    for op in (*request.success, *request.failure):
        _check_op(op, max_ops - ops)


def _check_op(op: RequestOp, max_ops: int) -> None:
    match op.request:
        case PutRequest() as put:
            check_put(put)
        case RangeRequest() as read:
            check_range(read)
        case DeleteRangeRequest() as delete:
            check_delete(delete)
        case TxnRequest() as nested:
            _check_shape(nested, max_ops)
        case None:
            raise KeyNotFound  # etcd's answer to an operation that says nothing


Interval = tuple[bytes, bytes]


def _check_intervals(ops: Sequence[RequestOp]) -> tuple[set[bytes], list[Interval]]:
    """No key may be put twice, or put and deleted, on any path through a branch; returns its puts and
    deletes."""
    deletes = [
        (op.request_delete_range.key, op.request_delete_range.range_end)
        for op in ops
        if op.request_delete_range is not None
    ]
    puts: set[bytes] = set()
    nested_deletes: list[Interval] = []
    for op in ops:
        if op.request_txn is not None:
            then_puts, then_deletes = _check_intervals(op.request_txn.success)
            else_puts, else_deletes = _check_intervals(op.request_txn.failure)
            _refuse_overlap(then_puts | else_puts, puts, deletes + nested_deletes)
            _refuse_overlap(puts, set(), then_deletes + else_deletes)
            puts |= then_puts | else_puts
            nested_deletes += then_deletes + else_deletes
    for op in ops:
        if op.request_put is not None:
            _refuse_overlap({op.request_put.key}, puts, deletes + nested_deletes)
            puts.add(op.request_put.key)
    return puts, deletes + nested_deletes


def _refuse_overlap(new: set[bytes], puts: set[bytes], deletes: Sequence[Interval]) -> None:
    if not new.isdisjoint(puts):
        raise DuplicateKey
    if any(in_range(key, start, end) for start, end in deletes for key in new):
        raise DuplicateKey


def is_read_only(request: TxnRequest) -> bool:
    return all(
        op.request_range is not None or (op.request_txn is not None and is_read_only(op.request_txn))
        for op in (*request.success, *request.failure)
    )


# -- choice ---------------------------------------------------------------------------------------------


class Plan:
    """A transaction whose compares are decided: the steps of the branch to take, nested ones decided as
    well."""

    __slots__ = ("steps", "succeeded")

    def __init__(self, index: KeyIndex, request: TxnRequest) -> None:
        self.succeeded = all(_holds(index, compare) for compare in request.compare)
        branch = request.success if self.succeeded else request.failure
        self.steps = [_step(index, op.request) for op in branch if op.request is not None]


Step = RangeRequest | PutRequest | DeleteRangeRequest | Plan


def _step(index: KeyIndex, operation: Operation) -> Step:
    return Plan(index, operation) if isinstance(operation, TxnRequest) else operation


_RELATIONS = {"EQUAL": eq, "NOT_EQUAL": ne, "GREATER": gt, "LESS": lt}


def _holds(index: KeyIndex, compare: Compare) -> bool:
    """Every key of the range must fulfil it; where there is none, all numbers are 0 and no value compares."""
    records = [
        record
        for key in index.live_keys(compare.key, compare.range_end)
        if (record := index.current(key)) is not None
    ]
    if not records:
        return compare.target != "VALUE" and _relation(compare, None)
    return all(_relation(compare, record) for record in records)


def _relation(compare: Compare, record: Record | None) -> bool:
    found, wanted = _sides(compare, record)
    return bool(_RELATIONS[compare.result](found, wanted))


def _sides(compare: Compare, record: Record | None) -> tuple[Any, Any]:
    match compare.target:
        case "VERSION":
            return (record.version if record else 0), compare.version
        case "CREATE":
            return (record.create_revision if record else 0), compare.create_revision
        case "MOD":
            return (record.mod_revision if record else 0), compare.mod_revision
        case "LEASE":
            return (record.lease if record else 0), compare.lease
        case "VALUE":
            return (record.value if record else b""), compare.value


# -- checks of the chosen operations --------------------------------------------------------------------


def check_operations(index: KeyIndex, leases: Leases, plan: Plan, revision: int, compacted: int) -> None:
    for step in plan.steps:
        match step:
            case PutRequest():
                check_put_possible(index, leases, step)
            case RangeRequest():
                read_revision(step.revision, revision, compacted)
            case Plan():
                check_operations(index, leases, step, revision, compacted)


def check_put_possible(index: KeyIndex, leases: Leases, request: PutRequest) -> None:
    if (request.ignore_value or request.ignore_lease) and index.current(request.key) is None:
        raise KeyNotFound
    if request.lease and not leases.exists(request.lease):
        raise LeaseNotFound

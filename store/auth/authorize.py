"""Which permissions a request needs. Pure; asked by the state machine for writes, by the service for reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from store.auth.table import AuthTable
from store.mvcc.messages import (
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)

KeysOf = Callable[[int], Iterable[bytes]]  # the keys on a lease

Operation = RangeRequest | PutRequest | DeleteRangeRequest | TxnRequest


def check(auth: AuthTable, user: str, request: Operation, keys_of: KeysOf) -> None:
    """Raises AuthError unless the user may do all of it, on either branch of a transaction."""
    match request:
        case RangeRequest():
            auth.check_range(user, request.key, request.range_end, write=False)
        case PutRequest():
            auth.check_range(user, request.key, b"", write=True)
            if request.prev_kv:
                auth.check_range(user, request.key, b"", write=False)
            check_lease(auth, user, keys_of(request.lease) if request.lease else ())
        case DeleteRangeRequest():
            auth.check_range(user, request.key, request.range_end, write=True)
            if request.prev_kv:
                auth.check_range(user, request.key, request.range_end, write=False)
        case TxnRequest():
            for compare in request.compare:
                auth.check_range(user, compare.key, compare.range_end, write=False)
            _check_branch(auth, user, request.success, keys_of)
            _check_branch(auth, user, request.failure, keys_of)


def _check_branch(auth: AuthTable, user: str, ops: Iterable[RequestOp], keys_of: KeysOf) -> None:
    for op in ops:
        if op.request is not None:
            check(auth, user, op.request, keys_of)


def check_lease(auth: AuthTable, user: str, keys: Iterable[bytes]) -> None:
    """To end a lease, or hang a key on it, is to decide about all of its keys."""
    for key in keys:
        auth.check_range(user, key, b"", write=True)

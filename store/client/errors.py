"""Every error a store client raises, and the one mapping from etcd's codes to them.

    StoreError
    ├── Unavailable            certainly not applied: no member could take the request in time
    │   └── TooManyRequests    certainly not applied: the store sheds load, slow down and try again
    ├── OutcomeUnknown         a write may have been applied, or may still be; read before trying again
    ├── Compacted              the asked revision is compacted; `revision` is the oldest that can be asked for
    ├── FutureRevision         the asked revision does not exist yet on the member that answered
    ├── LeaseNotFound          the lease does not exist or has expired
    ├── NoSpace                the quota is used up; reads, deletes and compaction still work
    ├── PermissionDenied       the certificate or user may not do this
    └── InvalidArgument        the request is wrong and will be wrong again

The distinction that matters is between `Unavailable` and `OutcomeUnknown`: the first may be retried
blindly, the second never. etcd's own texts decide which it is (`_NOT_APPLIED`); a text we do not know
counts as unknown.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """The gRPC status codes that etcd uses."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class StoreError(Exception):
    """Root; `code` is the gRPC status code when the store answered, else None."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Unavailable(StoreError): ...


class TooManyRequests(Unavailable): ...


class OutcomeUnknown(StoreError): ...


class Compacted(StoreError):
    def __init__(self, revision: int = 0, message: str = "", code: int | None = Code.OUT_OF_RANGE) -> None:
        super().__init__(message or "etcdserver: mvcc: required revision has been compacted", code)
        self.revision = revision


class FutureRevision(StoreError): ...


class LeaseNotFound(StoreError): ...


class NoSpace(StoreError): ...


class PermissionDenied(StoreError): ...


class InvalidArgument(StoreError): ...


_NOT_APPLIED = frozenset(
    {
        "etcdserver: no leader",
        "etcdserver: not leader",
        "etcdserver: leader changed",
        "etcdserver: not capable",
        "etcdserver: rpc not supported for learner",
    }
)

_BY_MESSAGE: dict[str, type[StoreError]] = {
    "etcdserver: mvcc: required revision is a future revision": FutureRevision,
    "etcdserver: requested lease not found": LeaseNotFound,
    "etcdserver: mvcc: database space exceeded": NoSpace,
    "etcdserver: too many requests": TooManyRequests,
    "etcdserver: permission denied": PermissionDenied,
}

_BY_CODE: dict[int, type[StoreError]] = {
    Code.INVALID_ARGUMENT: InvalidArgument,
    Code.FAILED_PRECONDITION: InvalidArgument,
    Code.PERMISSION_DENIED: PermissionDenied,
    Code.UNAUTHENTICATED: PermissionDenied,
    Code.RESOURCE_EXHAUSTED: TooManyRequests,
    Code.UNAVAILABLE: OutcomeUnknown,
    Code.DEADLINE_EXCEEDED: OutcomeUnknown,
    Code.CANCELLED: OutcomeUnknown,
    Code.UNKNOWN: OutcomeUnknown,
    Code.INTERNAL: OutcomeUnknown,
}


def from_status(code: int, message: str) -> StoreError:
    """The error for an answer of the store: by its text where that says more, else by its code."""
    if message.endswith("required revision has been compacted"):
        return Compacted(0, message, code)
    if message in _NOT_APPLIED:
        return Unavailable(message, code)
    if message.startswith("grpc: received message larger than max"):
        return InvalidArgument(message, code)  # by its code it would be an overload that passes
    kind = _BY_MESSAGE.get(message) or _BY_CODE.get(code, StoreError)
    return kind(message, code)

"""What the state machine answers instead of a result, in etcd's codes and words.

    RequestError ├── EmptyKey, DuplicateKey, TooManyOps, ValueProvided, LeaseProvided, InvalidSort   the
    request is malformed ├── KeyNotFound            ignore_value or ignore_lease on a key that is not there
    ├── Compacted, FutureRevision                                                       the revision cannot
    be read ├── LeaseNotFound, LeaseExists, LeaseTtlTooLarge └── NoSpace                the NOSPACE alarm is
    set

An error is a value: `apply` returns it where a response would stand, the same on every member. `code` is a
gRPC status code; the gateways map it to theirs.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class Code(IntEnum):
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RequestError(Exception):
    code: ClassVar[Code] = Code.UNKNOWN
    message: ClassVar[str] = "etcdserver: unknown error"

    def __str__(self) -> str:
        return self.message


class EmptyKey(RequestError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: key is not provided"


class KeyNotFound(RequestError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: key not found"


class ValueProvided(RequestError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: value is provided"


class LeaseProvided(RequestError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: lease is provided"


class TooManyOps(RequestError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: too many operations in txn request"


class DuplicateKey(RequestError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: duplicate key given in txn request"


class InvalidSort(RequestError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: invalid sort option"


class Compacted(RequestError):
    code = Code.OUT_OF_RANGE
    message = "etcdserver: mvcc: required revision has been compacted"


class FutureRevision(RequestError):
    code = Code.OUT_OF_RANGE
    message = "etcdserver: mvcc: required revision is a future revision"


class NoSpace(RequestError):
    code = Code.RESOURCE_EXHAUSTED
    message = "etcdserver: mvcc: database space exceeded"


class LeaseNotFound(RequestError):
    code = Code.NOT_FOUND
    message = "etcdserver: requested lease not found"


class LeaseExists(RequestError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: lease already exists"


class LeaseTtlTooLarge(RequestError):
    code = Code.OUT_OF_RANGE
    message = "etcdserver: too large lease TTL"

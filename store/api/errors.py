"""Errors of the service beyond those of the state machine, and the one mapping from the engine's errors to
etcd's.

    RequestError (store.mvcc.errors)
    ├── … what the state machine answers
    ├── NoLeader, TooManyRequests             certainly not applied
    ├── TimedOut, ServerStopped               a write may have been applied
    ├── RequestTooLarge, BadRequest, Unimplemented
    ├── Corrupt                               the CORRUPT alarm is set
    ├── MemberNotFound, MemberChangeRefused   membership
    └── WrongVersionFormat, DowngradeRefused, DowngradeInProcess
"""

from __future__ import annotations

from store.mvcc.errors import Code, RequestError
from store.raft import interface as raft


class NoLeader(RequestError):
    code = Code.UNAVAILABLE
    message = "etcdserver: no leader"


class TooManyRequests(RequestError):
    code = Code.RESOURCE_EXHAUSTED
    message = "etcdserver: too many requests"


class TimedOut(RequestError):
    code = Code.UNAVAILABLE
    message = "etcdserver: request timed out"


class ServerStopped(RequestError):
    code = Code.UNAVAILABLE
    message = "etcdserver: server stopped"


class RequestTooLarge(RequestError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: request is too large"


class Corrupt(RequestError):
    code = Code.DATA_LOSS
    message = "etcdserver: corrupt cluster"


class MemberNotFound(RequestError):
    code = Code.NOT_FOUND
    message = "etcdserver: member not found"


class NotLeader(RequestError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: not leader"


class BadFeatureForLearner(RequestError):
    code = Code.UNAVAILABLE
    message = "etcdserver: rpc not supported for learner"


class WrongVersionFormat(RequestError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: wrong downgrade target version format"


class DowngradeRefused(RequestError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: invalid downgrade target version"


class DowngradeInProcess(RequestError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: cluster has a downgrade job in progress"


class TextError(RequestError):
    """An error whose words are made at the time."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class BadRequest(TextError):
    code = Code.INVALID_ARGUMENT


class MemberChangeRefused(TextError):
    code = Code.FAILED_PRECONDITION


class Unimplemented(TextError):
    code = Code.UNIMPLEMENTED


def from_raft(error: raft.RaftError) -> RequestError:
    match error:
        case raft.TooManyRequests():
            return TooManyRequests()
        case raft.NotLeader() | raft.ProposalDropped():
            return NoLeader()
        case raft.MembershipError():
            return MemberChangeRefused(f"etcdserver: {error}")
        case raft.Stopped():
            return ServerStopped()
        case _:
            return TimedOut()

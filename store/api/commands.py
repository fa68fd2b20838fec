"""Commands: what a member proposes, as bytes in the Raft log.

    command = kind:u8 msgpack(request)

Requests are the typed structs of the service themselves. Kinds are never reused; a member that meets an
unknown kind or field stops rather than differ from the others.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from store.auth import messages as auth
from store.mvcc.messages import CompactionRequest, DeleteRangeRequest, PutRequest, Request, TxnRequest

AlarmType = Literal["NONE", "NOSPACE", "CORRUPT"]


class LeaseGrant(Request):
    id: int
    ttl_s: int


class LeaseRevoke(Request):
    id: int


class LeaseRenew(Request):
    id: int


class LeaseExpire(Request):
    """Revoke, if there has been no further renewal."""

    id: int
    renewals: int


class LeaseCheckpoint(Request):
    remaining: list[tuple[int, int]]


class SetAlarm(Request):
    member_id: int
    alarm: AlarmType
    active: bool


class SetDowngrade(Request):
    target: str  # "" ends it


Command = (
    PutRequest
    | DeleteRangeRequest
    | TxnRequest
    | CompactionRequest
    | LeaseGrant
    | LeaseRevoke
    | LeaseRenew
    | LeaseExpire
    | LeaseCheckpoint
    | SetAlarm
    | SetDowngrade
    | auth.AuthCommand
    | auth.As
)

KINDS: dict[int, type[Command]] = {
    1: PutRequest,
    2: DeleteRangeRequest,
    3: TxnRequest,
    4: CompactionRequest,
    5: LeaseGrant,
    6: LeaseRevoke,
    7: LeaseRenew,
    8: LeaseExpire,
    9: LeaseCheckpoint,
    10: SetAlarm,
    11: auth.As,
    12: auth.Enable,
    13: auth.Disable,
    14: auth.UserAdd,
    15: auth.UserDelete,
    16: auth.UserChangePassword,
    17: auth.UserGrantRole,
    18: auth.UserRevokeRole,
    19: auth.RoleAdd,
    20: auth.RoleDelete,
    21: auth.RoleGrantPermission,
    22: auth.RoleRevokePermission,
    23: auth.AssignToken,
    24: SetDowngrade,
}

_prefixes = {kind: bytes((number,)) for number, kind in KINDS.items()}
_encoder = msgspec.msgpack.Encoder()
_decoders: dict[int, msgspec.msgpack.Decoder[Any]] = {
    number: msgspec.msgpack.Decoder(kind) for number, kind in KINDS.items()
}


class UnknownCommand(Exception):
    """The log holds a command that this version does not know."""


def encode(command: Command) -> bytes:
    return _prefixes[type(command)] + _encoder.encode(command)


def decode(data: bytes) -> Command:
    decoder = _decoders.get(data[0]) if data else None
    if decoder is None:
        raise UnknownCommand(f"command kind {data[:1]!r}: this member is older than the one that proposed it")
    try:
        command: Command = decoder.decode(memoryview(data)[1:])
    except msgspec.MsgspecError as error:
        raise UnknownCommand(f"a command cannot be read: {error}") from error
    return command

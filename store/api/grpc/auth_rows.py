"""The responses of the Auth, Lock and Election services as protobuf, and which of these calls may block."""

from __future__ import annotations

from typing import Any

from store.api.auth_messages import (
    AuthStatusResponse,
    NamesResponse,
    PermissionsResponse,
    TokenResponse,
)
from store.api.concurrency import LeaderKey
from store.api.grpc import responses as encode
from store.api.grpc.protobuf import bytes_field, message_field, number_field, text_field
from store.mvcc.messages import Record

PERMISSION_TYPES = {"READ": 0, "WRITE": 1, "READWRITE": 2}


def response(header: bytes, answer: Any) -> bytes:
    match answer:
        case TokenResponse():
            return header + text_field(2, answer.token)
        case NamesResponse():
            return header + b"".join([text_field(2, name) for name in answer.names])
        case PermissionsResponse():
            return header + b"".join([message_field(2, _permission(each)) for each in answer.permissions])
        case AuthStatusResponse():
            return header + number_field(2, answer.enabled) + number_field(3, answer.auth_revision)
        case bytes():  # the key of a lock
            return header + bytes_field(2, answer)
        case LeaderKey():
            return header + message_field(2, _leader_key(answer))
        case Record():
            return leader(header, answer)
        case _:
            return header


def leader(header: bytes, record: Record) -> bytes:
    return header + message_field(2, encode.record(record))


def _permission(permission: Any) -> bytes:
    return (
        number_field(1, PERMISSION_TYPES[permission.type])
        + bytes_field(2, permission.key)
        + bytes_field(3, permission.range_end)
    )


def _leader_key(leader: LeaderKey) -> bytes:
    return (
        bytes_field(1, leader.name)
        + bytes_field(2, leader.key)
        + number_field(3, leader.rev)
        + number_field(4, leader.lease)
    )


MAY_BLOCK = frozenset((b"/v3lockpb.Lock/Lock", b"/v3electionpb.Election/Campaign"))

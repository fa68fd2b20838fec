"""What the data of a log entry means. The first byte is its kind; pysyncobj writes one of them itself (NO_OP).

An entry of commands holds all that the leader took in one turn, its own and the followers', each under the session
and numbers by which the member that waits for it knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import msgpack

from store.raft.codec import pack
from store.raft.membership import Change


class Kind(IntEnum):
    COMMANDS = 0
    NO_OP = 1
    CHANGE = 4


class Group(NamedTuple):
    """Commands of one member, in the order in which it was given them."""

    session: int
    numbers: Sequence[int]
    commands: Sequence[bytes]


def pack_commands(groups: Sequence[Group]) -> bytes:
    return bytes([Kind.COMMANDS]) + pack(groups)


def unpack_commands(data: bytes) -> list[Group]:
    return [Group(*each) for each in msgpack.unpackb(memoryview(data)[1:], use_list=False)]


def pack_change(session: int, number: int, change: Change) -> bytes:
    packed: bytes = msgpack.packb((session, number, change.pack()))
    return bytes([Kind.CHANGE]) + packed


def unpack_change(data: bytes) -> tuple[int, int, Change]:
    session, number, change = msgpack.unpackb(memoryview(data)[1:])
    return session, number, Change.unpack(change)

"""Messages between members: msgpack arrays in length-prefixed frames. Nothing is ever unpickled.

A message is a dict with a `type` (pysyncobj's own form); on the wire it is its type's number and its fields in the
order of the table below. Decoding accepts nothing but what the table says, with sizes bounded by the frame, so that
no byte sequence from a peer reaches the core unchecked. The names of pysyncobj's five messages are its own; what it
lacks (term and round on an acknowledgement, …) is added here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import msgspec

from store.raft.errors import ProtocolError

PROTOCOL_VERSION = 1
MAX_FRAME_BYTES = 32 * 1024 * 1024
"""Holds the largest entry: a batch of commands, or one command of the largest size."""

LENGTH = struct.Struct("<I")
pack = msgspec.msgpack.Encoder().encode  # msgpack's own takes room for 256 KiB at every call
_MAX_INTEGER = 2**64

Message = dict[str, Any]
Check = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_INTEGER


def _flag(value: Any) -> bool:
    return type(value) is bool


def _data(value: Any) -> bool:
    return type(value) is bytes


def _text(value: Any) -> bool:
    return type(value) is str


def _numbers(value: Any) -> bool:
    return type(value) is tuple and all(map(_number, value))


def _blobs(value: Any) -> bool:
    return type(value) is tuple and all(map(_data, value))


def _entry(value: Any) -> bool:
    return (
        type(value) is tuple
        and len(value) == 3
        and _data(value[0])
        and _number(value[1])
        and _number(value[2])
    )


def _entries(value: Any) -> bool:
    return type(value) is tuple and all(map(_entry, value))


_TABLE: Sequence[tuple[str, tuple[tuple[str, Check], ...]]] = (
    ("hello", (("version", _number), ("cluster_id", _number), ("member_id", _number))),
    # elections
    (
        "pre_vote",
        (("term", _number), ("last_log_index", _number), ("last_log_term", _number), ("ballot", _number)),
    ),
    ("pre_vote_reply", (("term", _number), ("ballot", _number), ("granted", _flag))),
    (
        "request_vote",
        (("term", _number), ("last_log_index", _number), ("last_log_term", _number), ("transfer", _flag)),
    ),
    ("response_vote", (("term", _number),)),
    ("timeout_now", (("term", _number),)),
    # replication
    (
        "append_entries",
        (
            ("term", _number),
            ("round", _number),
            ("commit_index", _number),
            ("prevLogIdx", _number),
            ("prevLogTerm", _number),
            ("entries", _entries),
        ),
    ),
    (
        "next_node_idx",
        (
            ("term", _number),
            ("round", _number),
            ("next_node_idx", _number),
            ("reset", _flag),
            ("success", _flag),
        ),
    ),
    ("stale", (("term", _number),)),
    (
        "snapshot_chunk",
        (
            ("term", _number),
            ("index", _number),
            ("index_term", _number),
            ("offset", _number),
            ("data", _data),
            ("last", _flag),
        ),
    ),
    ("snapshot_reply", (("term", _number), ("index", _number), ("offset", _number))),
    # requests that a follower hands to the leader
    ("propose", (("term", _number), ("session", _number), ("numbers", _numbers), ("commands", _blobs))),
    ("propose_change", (("term", _number), ("session", _number), ("number", _number), ("change", _data))),
    ("read_request", (("term", _number), ("number", _number))),
    ("read_reply", (("term", _number), ("number", _number), ("index", _number))),
    # instead of a greeting: who wants to join asks who is there
    ("members_request", (("version", _number),)),
    ("members_reply", (("cluster_id", _number), ("members", _data))),
    # of the connection itself, to measure it
    ("ping", (("number", _number),)),
    ("pong", (("number", _number),)),
)

_NUMBERS = {name: number for number, (name, _) in enumerate(_TABLE)}
_FIELDS = {name: tuple(field for field, _ in fields) for name, fields in _TABLE}


def encode(message: Message) -> bytes:
    """One frame, its length in front."""
    kind = message["type"]
    body = pack([_NUMBERS[kind], *(message[field] for field in _FIELDS[kind])])
    assert len(body) <= MAX_FRAME_BYTES, f"a {kind} of {len(body)} bytes"
    return LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """The message in a frame's body. Raises ProtocolError."""
    try:
        parts = msgpack.unpackb(body, use_list=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise ProtocolError(f"not msgpack: {error}") from error
    if type(parts) is not tuple or not parts or not _number(parts[0]) or parts[0] >= len(_TABLE):
        raise ProtocolError("not a message")
    kind, fields = _TABLE[parts[0]]
    if len(parts) != len(fields) + 1:
        raise ProtocolError(f"{kind} with {len(parts) - 1} fields")
    message: Message = {"type": kind}
    for (field, check), value in zip(fields, parts[1:], strict=True):
        if not check(value):
            raise ProtocolError(f"{kind} with a wrong {field}")
        message[field] = value
    _check_whole(message)
    return message


def _check_whole(message: Message) -> None:
    """What the fields must be to each other."""
    if message["type"] == "append_entries":
        index, term = message["prevLogIdx"], message["prevLogTerm"]
        for _, entry_index, entry_term in message["entries"]:
            if entry_index != index + 1 or entry_term < term:
                raise ProtocolError("append_entries with a gap, or with falling terms")
            index, term = entry_index, entry_term
        if term > message["term"]:
            raise ProtocolError("append_entries with an entry of a later term")
    elif message["type"] == "propose" and len(message["numbers"]) != len(message["commands"]):
        raise ProtocolError("propose with commands that have no number")


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that are complete now. Raises ProtocolError on a frame that is too large."""
        buffer = self._buffer
        buffer += data
        bodies = []
        position = 0
        while len(buffer) - position >= LENGTH.size:
            (size,) = LENGTH.unpack_from(buffer, position)
            if size > MAX_FRAME_BYTES:
                raise ProtocolError(f"a frame of {size} bytes")
            end = position + LENGTH.size + size
            if end > len(buffer):
                break
            bodies.append(bytes(memoryview(buffer)[position + LENGTH.size : end]))
            position = end
        if position:
            del buffer[:position]
        return bodies

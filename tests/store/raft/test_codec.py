"""Frames between members: round trips, and nothing but what the table allows gets through."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.raft.codec import LENGTH, MAX_FRAME_BYTES, FrameReader, Message, decode, encode
from store.raft.errors import ProtocolError

APPEND: Message = {
    "type": "append_entries",
    "term": 3,
    "round": 9,
    "commit_index": 4,
    "prevLogIdx": 5,
    "prevLogTerm": 2,
    "entries": ((b"x", 6, 2), (b"y", 7, 3)),
}


@pytest.mark.parametrize(
    "message",
    [
        APPEND,
        {"type": "hello", "version": 1, "cluster_id": 2**64 - 1, "member_id": 0},
        {"type": "request_vote", "term": 1, "last_log_index": 1, "last_log_term": 0, "transfer": True},
        {"type": "propose", "term": 1, "session": 7, "numbers": (1, 2), "commands": (b"a", b"")},
    ],
    ids=lambda message: str(message["type"]),
)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    (body,) = FrameReader().feed(encode(message))
    assert decode(body) == message


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"term": -1}, "term"),
        ({"term": True}, "term"),
        ({"term": "3"}, "term"),
        ({"term": 2}, "later term"),
        ({"entries": ((b"x", 8, 2),)}, "gap"),
        ({"entries": ((b"x", 6, 3), (b"y", 7, 2))}, "falling"),
        ({"entries": ((b"x", 6),)}, "entries"),
        ({"entries": (("x", 6, 2),)}, "entries"),
        ({"entries": 5}, "entries"),
    ],
    ids=lambda value: str(value),
)
def test_a_message_that_makes_no_sense_is_refused(change: dict[str, Any], why: str) -> None:
    body = msgpack.packb([6, *({**APPEND, **change}[key] for key in APPEND if key != "type")])
    with pytest.raises(ProtocolError, match=why):
        decode(body)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", b"\x91\xcc\xff", b"\x92\x00", b"\x80"], ids=repr)
def test_bytes_that_are_no_message_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(body)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(body: bytes) -> None:
    try:
        message = decode(body)
    except ProtocolError:
        return
    assert decode(encode(message)[LENGTH.size :]) == message


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(min_value=0, max_value=5000), max_size=5), st.integers(min_value=1, max_value=700)
)
def test_frames_are_cut_wherever_the_stream_breaks(sizes: list[int], step: int) -> None:
    stream = b"".join(LENGTH.pack(size) + bytes(size) for size in sizes)
    reader = FrameReader()
    bodies = [
        body for start in range(0, len(stream), step) for body in reader.feed(stream[start : start + step])
    ]
    assert [len(body) for body in bodies] == sizes


def test_a_frame_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(ProtocolError, match="a frame of"):
        FrameReader().feed(LENGTH.pack(MAX_FRAME_BYTES + 1))

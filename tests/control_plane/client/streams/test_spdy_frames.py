"""SPDY/3.1 frames: what is written is read back, however it is cut; what is no frame is refused; nothing grows."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.client.streams.errors import ProtocolError
from control_plane.client.streams.spdy import frames, headers
from control_plane.client.streams.spdy.frames import (
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    HeadersFrame,
    Ping,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)

IDS = st.integers(1, 0x7FFFFFFF)
WORDS = st.integers(0, 0xFFFFFFFF)
NAMES = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=12)
HEADERS = st.dictionaries(NAMES, st.text(st.characters(max_codepoint=255), max_size=40), max_size=6)
FRAMES = st.one_of(
    st.builds(SynStream, IDS, HEADERS, st.booleans(), st.booleans(), st.just(0), st.integers(0, 7)),
    st.builds(SynReply, IDS, HEADERS, st.booleans()),
    st.builds(HeadersFrame, IDS, HEADERS, st.booleans()),
    st.builds(RstStream, IDS, WORDS),
    st.builds(Settings, st.dictionaries(st.integers(0, 0xFFFFFF), WORDS, max_size=8)),
    st.builds(Ping, WORDS),
    st.builds(GoAway, st.integers(0, 0x7FFFFFFF), WORDS),
    st.builds(WindowUpdate, st.integers(0, 0x7FFFFFFF), st.integers(0, 0x7FFFFFFF)),
    st.builds(Data, IDS, st.binary(max_size=300), st.booleans()),
)


def merged(read: list[Frame]) -> list[Frame]:
    """The pieces of data frames put together again, as their sender had them, empty ones left out."""
    whole: list[Frame] = []
    for frame in read:
        last = whole[-1] if whole else None
        both = isinstance(frame, Data) and isinstance(last, Data)
        if both and not last.fin and last.stream_id == frame.stream_id:
            whole[-1] = Data(last.stream_id, last.data + frame.data, frame.fin)
        else:
            whole.append(frame)
    return whole


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAMES, max_size=8), st.data())
def test_frames_survive_any_cut(sent: list[Frame], data: st.DataObject) -> None:
    writer, reader = FrameWriter(), FrameReader()
    wire = b"".join(writer.encode(frame) for frame in sent)
    read: list[Frame] = []
    while wire:
        cut = data.draw(st.integers(1, len(wire)))
        read += reader.feed(wire[:cut])
        wire = wire[cut:]
    assert merged(read) == merged(sent)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=600), max_size=6))
def test_any_bytes_are_frames_or_a_protocol_error(pieces: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for piece in pieces:
            reader.feed(piece)
    except ProtocolError:
        pass


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_damaged_frames_are_frames_or_a_protocol_error(sent: list[Frame], data: st.DataObject) -> None:
    writer = FrameWriter()
    wire = bytearray(b"".join(writer.encode(frame) for frame in sent))
    for _ in range(data.draw(st.integers(1, 5))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    reader = FrameReader()
    try:
        for start in range(0, len(wire), 7):
            reader.feed(bytes(wire[start : start + 7]))
    except ProtocolError:
        pass


def control(kind: int, body: bytes, version: int = 3) -> bytes:
    return struct.pack("!II", 0x80000000 | version << 16 | kind, len(body)) + body


def block(plain: bytes) -> bytes:
    deflate = zlib.compressobj(zdict=headers._dictionary())
    return deflate.compress(plain) + deflate.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(control(6, b"\0\0\0\1", version=2), id="another version"),
        pytest.param(control(6, b"\0"), id="a short ping"),
        pytest.param(control(3, b"\0\0\0\1"), id="a reset without its status"),
        pytest.param(control(1, b"\0\0\0\1"), id="a short syn"),
        pytest.param(control(2, b"\0\0\0\0"), id="a reply to stream 0"),
        pytest.param(control(4, b"\0\0\xff\xff"), id="more settings than there are"),
        pytest.param(struct.pack("!II", 0, 4) + b"data", id="data for stream 0"),
        pytest.param(struct.pack("!II", 0x80030001, 0xFFFFFF), id="a control frame of 16 MiB"),
        pytest.param(control(2, b"\0\0\0\1" + b"no zlib"), id="headers that are not compressed"),
        pytest.param(
            control(2, b"\0\0\0\1" + block(b"\xff\xff\xff\xff")), id="four thousand million headers"
        ),
        pytest.param(control(2, b"\0\0\0\1" + block(struct.pack("!II", 1, 9) + b"a")), id="a cut header"),
        pytest.param(
            control(2, b"\0\0\0\1" + block(struct.pack("!III", 1, 0, 0))), id="a header without a name"
        ),
        pytest.param(control(2, b"\0\0\0\1" + block(b"\0" * 10_000_000)), id="a bomb"),
    ],
)
def test_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        FrameReader().feed(wire)


def test_unknown_control_frames_are_passed_over() -> None:
    assert FrameReader().feed(control(77, b"what") + control(6, b"\0\0\0\5")) == [Ping(5)]


def test_a_long_data_frame_is_not_held() -> None:
    reader = FrameReader()
    chunk = b"x" * 65536
    reader.feed(struct.pack("!II", 1, frames.MAX_DATA_BYTES))
    tracemalloc.start()
    try:
        for _ in range(100):
            assert reader.feed(chunk) == [Data(1, chunk)]
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_the_dictionary_is_the_draft_s() -> None:
    """zlib names a dictionary by its Adler-32; peers would answer with this one's."""
    assert zlib.adler32(headers._dictionary()) == 0xE3C6A7C2

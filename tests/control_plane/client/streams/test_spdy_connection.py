"""The state of a SPDY connection: streams open and end, limits hold, and nobody gets it into disorder."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.client.streams.errors import ProtocolError
from control_plane.client.streams.spdy.connection import (
    MAX_STREAMS,
    WINDOW_STEP_BYTES,
    Connection,
    DataReceived,
    PeerLeaves,
    StreamEnded,
    StreamGivenUp,
    StreamOpened,
    StreamReplied,
)
from control_plane.client.streams.spdy.frames import (
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    HeadersFrame,
    Leaving,
    Ping,
    Reset,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)


class Peer:
    """The other side of a server's connection, frame by frame."""

    def __init__(self) -> None:
        self.server = Connection(is_server=True)
        self._writer, self._reader = FrameWriter(), FrameReader()

    def send(self, *frames: Frame) -> list[object]:
        return list(self.server.receive(b"".join(self._writer.encode(frame) for frame in frames)))

    def heard(self) -> list[Frame]:
        return self._reader.feed(self.server.take())


def test_a_conversation() -> None:
    peer = Peer()
    assert peer.send(SynStream(1, {"streamtype": "data"})) == [StreamOpened(1, {"streamtype": "data"})]
    peer.server.reply(1)
    assert peer.send(Data(1, b"ping", fin=True)) == [DataReceived(1, b"ping"), StreamEnded(1)]
    peer.server.send(1, b"pong")
    peer.server.send(1, b"", fin=True)
    assert peer.heard() == [SynReply(1, {}), Data(1, b"pong"), Data(1, b"", fin=True)]
    assert not peer.server.knows(1)


def test_a_client_s_stream() -> None:
    client, server = Connection(is_server=False), Connection(is_server=True)
    assert client.open({"port": "80"}) == 1
    assert server.receive(client.take()) == [StreamOpened(1, {"port": "80"})]
    server.reply(1)
    assert client.receive(server.take()) == [StreamReplied(1, {})]
    assert client.open({}) == 3


@pytest.mark.parametrize(
    ("frames", "answer"),
    [
        pytest.param([Ping(1)], [Ping(1)], id="a ping comes back"),
        pytest.param([Ping(2)], [], id="our own ping's answer is not answered"),
        pytest.param([Data(9, b"x")], [RstStream(9, Reset.INVALID_STREAM)], id="data for nobody"),
        pytest.param([RstStream(7, 5), Settings({4: 1}), WindowUpdate(0, 9)], [], id="what changes nothing"),
        pytest.param([SynReply(2, {}), HeadersFrame(5, {})], [], id="replies to what was not opened"),
    ],
)
def test_answers(frames: list[Frame], answer: list[Frame]) -> None:
    peer = Peer()
    peer.send(*frames)
    assert peer.heard() == answer


def test_a_reset_stream_is_gone_and_late_data_is_dropped() -> None:
    peer = Peer()
    assert peer.send(SynStream(1, {}), RstStream(1, 5)) == [StreamOpened(1, {}), StreamGivenUp(1, 5)]
    assert peer.send(Data(1, b"late")) == []
    assert peer.heard() == []
    assert not peer.server.can_send(1)


def test_data_after_the_end_gives_the_stream_up() -> None:
    peer = Peer()
    events = peer.send(SynStream(1, {}, fin=True), Data(1, b"more"))
    assert events == [StreamOpened(1, {}), StreamEnded(1), StreamGivenUp(1, Reset.PROTOCOL_ERROR)]
    assert peer.heard() == [RstStream(1, Reset.PROTOCOL_ERROR)]


@pytest.mark.parametrize("ids", [[2], [3, 1], [5, 5]], ids=["of our parity", "falling", "twice"])
def test_streams_out_of_order_end_the_connection(ids: list[int]) -> None:
    peer = Peer()
    with pytest.raises(ProtocolError):
        peer.send(*(SynStream(stream_id, {}) for stream_id in ids))
    assert GoAway(ids[0] if len(ids) > 1 else 0, Leaving.PROTOCOL_ERROR) in peer.heard()


def test_too_many_streams_are_refused() -> None:
    peer = Peer()
    for number in range(MAX_STREAMS):
        peer.send(SynStream(2 * number + 1, {}))
    assert peer.send(SynStream(2 * MAX_STREAMS + 1, {})) == []
    assert peer.heard() == [RstStream(2 * MAX_STREAMS + 1, Reset.REFUSED_STREAM)]


def test_the_peer_says_goodbye() -> None:
    assert Peer().send(GoAway(0, 0)) == [PeerLeaves(0)]


def test_what_was_consumed_is_given_back() -> None:
    peer = Peer()
    peer.send(SynStream(1, {}))
    peer.server.consumed(1, WINDOW_STEP_BYTES - 1)
    assert peer.heard() == []
    peer.server.consumed(1, 1)
    assert peer.heard() == [WindowUpdate(0, WINDOW_STEP_BYTES), WindowUpdate(1, WINDOW_STEP_BYTES)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=5))
def test_any_bytes_leave_it_usable_or_ended(pieces: list[bytes]) -> None:
    connection = Connection(is_server=True)
    try:
        for piece in pieces:
            connection.receive(piece)
            connection.take()
    except ProtocolError:
        assert connection.take().startswith(b"\x80\x03\x00") or not pieces

"""The HTTP/2 connection against an independent peer (h2), and against bytes that nobody should send."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.api.grpc import connection as c
from store.api.grpc import frames as f
from store.api.grpc.connection import Connection
from store.api.grpc.events import ConnectionFailed, DataReceived, Event, RequestStarted, StreamReset
from store.api.grpc.header_block import MAX_BLOCK_BYTES, RESPONSE, TRAILERS_OK

HEADERS = [
    (":method", "POST"),
    (":scheme", "https"),
    (":path", "/etcdserverpb.KV/Range"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
PREFACE = f.PREFACE + f.settings({})
BLOCK = b"\x83\x87\x04\x01/"  # POST, https, path "/"


class Pair:
    """A client of h2's and our connection, with no network in between."""

    def __init__(self) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.server = Connection()
        self.client.initiate_connection()

    def exchange(self) -> tuple[list[Event], list[h2.events.Event]]:
        """Move bytes until nobody has any."""
        at_server: list[Event] = []
        at_client: list[h2.events.Event] = []
        while True:
            up, down = self.client.data_to_send(), self.server.take_output()
            if not up and not down:
                return at_server, at_client
            if up:
                at_server += self.server.receive(up)
            if down:
                at_client += self.client.receive_data(down)

    def request(self, body: bytes = b"", end: bool = True, headers: object = HEADERS) -> int:
        stream_id = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, headers, end_stream=end and not body)
        if body:
            self.client.send_data(stream_id, body, end_stream=end)
        return stream_id


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    pair.exchange()
    return pair


def test_a_call_from_head_to_trailers(pair: Pair) -> None:
    stream_id = pair.request(b"question")
    events, _ = pair.exchange()
    started, data = events
    assert isinstance(started, RequestStarted)
    assert started.head.path == b"/etcdserverpb.KV/Range"
    assert started.head.headers[b"content-type"] == b"application/grpc"
    assert data == DataReceived(stream_id, b"question", True)
    pair.server.sender.headers(stream_id, RESPONSE)
    pair.server.sender.data(stream_id, b"answer")
    pair.server.end(stream_id, TRAILERS_OK)
    _, answer = pair.exchange()
    kinds = [type(event) for event in answer]
    assert kinds == [
        h2.events.ResponseReceived,
        h2.events.DataReceived,
        h2.events.TrailersReceived,
        h2.events.StreamEnded,
    ]
    assert pair.server.open_streams == 0


def test_equal_and_changing_headers_are_all_understood(pair: Pair) -> None:
    for number in range(200):
        headers = [*HEADERS, ("grpc-timeout", f"{number // 3}m"), ("x-long", "v" * (number % 50) * 30)]
        pair.request(headers=headers)
        (started,) = pair.exchange()[0]
        assert isinstance(started, RequestStarted)
        expected = {name.encode(): value.encode() for name, value in headers if not name.startswith(":")}
        assert started.head.headers == expected


def test_a_long_answer_waits_for_windows(pair: Pair) -> None:
    stream_id = pair.request(b"x")
    pair.exchange()
    body = bytes(range(256)) * 4096  # 1 MiB
    pair.server.sender.headers(stream_id, RESPONSE)
    assert pair.server.sender.data(stream_id, body) > 0
    pair.server.end(stream_id, TRAILERS_OK)
    received, ended = b"", False
    while not ended:
        _, answer = pair.exchange()
        assert answer, "nothing moves"
        for event in answer:
            if isinstance(event, h2.events.DataReceived):
                received += event.data
                pair.client.acknowledge_received_data(event.flow_controlled_length, stream_id)
            ended = ended or isinstance(event, h2.events.StreamEnded)
    assert received == body
    assert pair.server.sender.queued_bytes == 0


def test_streams_share_the_window_fairly(pair: Pair) -> None:
    first, second = pair.request(b"x"), pair.request(b"x")
    pair.exchange()
    for stream_id in (first, second):
        pair.server.sender.headers(stream_id, RESPONSE)
        pair.server.sender.data(stream_id, bytes(500_000))
    pair.client.increment_flow_control_window(100_000)
    got = {first: 0, second: 0}
    for event in pair.exchange()[1]:
        if isinstance(event, h2.events.DataReceived):
            got[event.stream_id] += len(event.data)
    assert min(got.values()) > 0


def test_nothing_is_sent_while_the_socket_is_full(pair: Pair) -> None:
    stream_id = pair.request(b"x")
    pair.exchange()
    sender = pair.server.sender
    sender.writable = False
    assert sender.data(stream_id, b"later") == 5
    assert pair.server.take_output() == b""
    sender.writable = True
    pair.server.flush()
    assert b"later" in pair.server.take_output()


def test_a_large_request_arrives_whole(pair: Pair) -> None:
    stream_id = pair.request(end=False)
    pair.exchange()
    sent = received = 0
    while sent < c.STREAM_WINDOW_BYTES:
        room = min(pair.client.local_flow_control_window(stream_id), 16_384)
        assert room > 0
        pair.client.send_data(stream_id, bytes(room))
        sent += room
        received += sum(len(each.data) for each in pair.exchange()[0] if isinstance(each, DataReceived))
    assert received == sent
    assert pair.client.local_flow_control_window(stream_id) == 0  # nobody has read it
    pair.server.consume(stream_id, received)
    pair.exchange()
    assert pair.client.local_flow_control_window(stream_id) > 0


def test_reset_by_the_client(pair: Pair) -> None:
    stream_id = pair.request(b"x", end=False)
    pair.exchange()
    pair.client.reset_stream(stream_id)
    assert pair.exchange()[0] == [StreamReset(stream_id)]
    pair.server.end(stream_id, TRAILERS_OK)  # the call did not know yet
    assert pair.exchange() == ([], [])


def test_too_many_streams_are_refused() -> None:
    server = Connection(max_streams=2)
    server.receive(PREFACE)
    for stream_id in (1, 3, 5):
        server.receive(f.frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, stream_id, BLOCK))
    assert f.reset(5, f.ErrorCode.REFUSED_STREAM) in server.take_output()


def test_calls_that_were_reset_count_until_they_end() -> None:
    """A client that starts and resets without end gets no more work done than one that waits."""
    server = Connection(max_streams=2)
    server.receive(PREFACE)
    refused = 0
    for number in range(10):
        stream_id = 2 * number + 1
        events = server.receive(f.frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, stream_id, BLOCK))
        server.running += any(isinstance(event, RequestStarted) for event in events)
        server.receive(f.reset(stream_id, f.ErrorCode.CANCEL))
        refused += f.reset(stream_id, f.ErrorCode.REFUSED_STREAM) in server.take_output()
    assert (server.running, refused) == (2, 8)


FAULTS = {
    "no preface": b"GET / HTTP/1.1\r\n\r\n",
    "no settings": f.PREFACE + f.frame(f.PING, 0, 0, bytes(8)),
    "a frame too large": PREFACE + b"\x00\x40\x01\x00\x00\x00\x00\x00\x01",
    "an even stream": PREFACE + f.frame(f.HEADERS, f.END_HEADERS, 2, BLOCK),
    "data on an idle stream": PREFACE + f.frame(f.DATA, 0, 1, b"x"),
    "reset of an idle stream": PREFACE + f.reset(7, f.ErrorCode.CANCEL),
    "data on stream 0": PREFACE + f.frame(f.DATA, 0, 0, b"x"),
    "settings on a stream": PREFACE + f.frame(f.SETTINGS, 0, 1, b""),
    "settings of a wrong size": PREFACE + f.frame(f.SETTINGS, 0, 0, b"12345"),
    "a ping of a wrong size": PREFACE + f.frame(f.PING, 0, 0, b"1"),
    "an empty window update": PREFACE + f.window_update(0, 0),
    "a window overflow": PREFACE + f.window_update(0, 2**31 - 1),
    "a push": PREFACE + f.frame(f.PUSH_PROMISE, 0, 1, b""),
    "a bad header block": PREFACE + f.frame(f.HEADERS, f.END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
    "an unfinished header block": PREFACE + f.frame(f.HEADERS, 0, 1, BLOCK) + f.frame(f.DATA, 0, 1, b"x"),
    "a continuation of nothing": PREFACE + f.frame(f.CONTINUATION, f.END_HEADERS, 1, BLOCK),
    "padding beyond the frame": PREFACE + f.frame(f.HEADERS, f.END_HEADERS | f.PADDED, 1, b"\x09x"),
    "data after the end": PREFACE
    + f.frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, 1, BLOCK)
    + f.frame(f.DATA, 0, 1, b"x"),
    "an endless header block": PREFACE
    + f.frame(f.HEADERS, 0, 1, b"\x00\x01a\x01b" * 1000)
    + f.frame(f.CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 3000) * (MAX_BLOCK_BYTES // 15_000 + 1),
    "more data than the window": PREFACE
    + f.frame(f.HEADERS, f.END_HEADERS, 1, BLOCK)
    + f.frame(f.DATA, 0, 1, bytes(16_384)) * (c.STREAM_WINDOW_BYTES // 16_384 + 1),
}


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS)
def test_faults_end_the_connection(data: bytes) -> None:
    server = Connection()
    events = server.receive(data)
    assert isinstance(events[-1], ConnectionFailed)
    goaway_kind = f.GOAWAY
    kinds = list(_kinds(server.take_output()))
    assert kinds[-1] == goaway_kind
    assert server.receive(PREFACE) == []


MALFORMED = {
    "no path": b"\x83\x87",
    "upper case": BLOCK + b"\x00\x01A\x01b",
    "a pseudo-header after others": b"\x83\x87\x00\x01a\x01b\x04\x01/",
    "a connection's header": BLOCK + b"\x00\x0aconnection\x05close",
}


@pytest.mark.parametrize("block", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_costs_only_its_stream(block: bytes) -> None:
    server = Connection()
    server.receive(PREFACE)
    assert server.receive(f.frame(f.HEADERS, f.END_HEADERS, 1, block)) == []
    assert f.reset(1, f.ErrorCode.PROTOCOL_ERROR) in server.take_output()
    assert server.receive(f.frame(f.HEADERS, f.END_HEADERS, 3, BLOCK))


def _kinds(output: bytes) -> list[int]:
    kinds, position = [], 0
    while position < len(output):
        kinds.append(output[position + 3])
        position += f.HEAD_BYTES + int.from_bytes(output[position : position + 3], "big")
    return kinds


some_frames = st.builds(
    f.frame,
    st.integers(0, 12),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1]),
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([BLOCK, bytes(4), bytes(8), b"\x00\x00\x00\x09", b"\x00\x04\x7f\xff\xff\xff"]),
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(some_frames, max_size=30), st.integers(1, 50))
def test_no_bytes_break_it(frames: list[bytes], step: int) -> None:
    """Whatever comes, in whatever pieces: no exception, bounded output, and the same events as in one piece."""
    data = PREFACE + b"".join(frames)
    whole, pieces = Connection(), Connection()
    expected = _answer_all(whole, [data])
    assert _answer_all(pieces, [data[at : at + step] for at in range(0, len(data), step)]) == expected


def _answer_all(server: Connection, parts: list[bytes]) -> list[object]:
    events: list[object] = []
    for part in parts:
        events += server.receive(part)
    for event in events:
        if isinstance(event, RequestStarted):
            server.sender.headers(event.stream_id, RESPONSE)
            server.sender.data(event.stream_id, bytes(100))
            server.end(event.stream_id, TRAILERS_OK)
    server.flush()
    assert len(server.take_output()) < 100_000
    return events


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_header_block_breaks_it(block: bytes) -> None:
    server = Connection()
    server.receive(PREFACE)
    for event in server.receive(f.frame(f.HEADERS, f.END_HEADERS, 1, block)):
        assert isinstance(event, RequestStarted | ConnectionFailed)

"""The state of one SPDY/3.1 connection, without I/O: bytes in, events out, bytes to send collected.

    a stream    open ──we end──> half-closed (local)  ──peer ends──> gone
                 ├───peer ends─> half-closed (remote) ──we end─────> gone
                 └───either resets────────────────────────────────> gone

Flow control: what was consumed is given back to the peer by WINDOW_UPDATE, but its window is not a bound for what
we send, because the peers of this protocol (Kubernetes' Go clients) never open it: the transport's own flow
control does it. Who reads slowly therefore slows the whole connection.
"""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.client.streams.errors import ProtocolError
from control_plane.client.streams.spdy.frames import (
    MAX_DATA_BYTES,
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

MAX_STREAMS = 512  # open at a time; more are refused
WINDOW_STEP_BYTES = 32 * 1024  # half the draft's initial window: how much is consumed before it is given back
_LAST_ID = 0x7FFFFFFF
_WHOLE_CONNECTION = 0


@dataclass(frozen=True, slots=True)
class StreamOpened:
    stream_id: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class StreamReplied:
    stream_id: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class DataReceived:
    stream_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The peer sends no more; we still may."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamGivenUp:
    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class PeerLeaves:
    status: int


Event = StreamOpened | StreamReplied | DataReceived | StreamEnded | StreamGivenUp | PeerLeaves


@dataclass(slots=True)
class _Stream:
    sending: bool = True
    receiving: bool = True
    consumed: int = 0


class Connection:
    def __init__(self, is_server: bool, max_streams: int = MAX_STREAMS) -> None:
        self._reader = FrameReader()
        self._writer = FrameWriter()
        self._streams: dict[int, _Stream] = {}
        self._max_streams = max_streams
        self._next_id = 2 if is_server else 1
        self._next_ping = 2 if is_server else 1
        self._last_peer_id = 0
        self._consumed = 0
        self._out = bytearray()
        self._leaving = False

    # what arrives

    def receive(self, data: bytes) -> list[Event]:
        """Raises ProtocolError; a GOAWAY that says so is then among what is to be sent."""
        events: list[Event] = []
        try:
            for frame in self._reader.feed(data):
                self._handle(frame, events)
        except ProtocolError:
            self.go_away(Leaving.PROTOCOL_ERROR)
            raise
        return events

    def _handle(self, frame: Frame, events: list[Event]) -> None:
        match frame:
            case Data(stream_id, data, fin):
                self._data(stream_id, data, fin, events)
            case SynStream():
                self._opened(frame, events)
            case SynReply(stream_id, headers, fin):
                if stream_id in self._streams:
                    events.append(StreamReplied(stream_id, headers))
                    self._peer_ended(stream_id, fin, events)
            case HeadersFrame(stream_id, _, fin):
                self._peer_ended(stream_id, fin, events)
            case RstStream(stream_id, status):
                if self._streams.pop(stream_id, None) is not None:
                    events.append(StreamGivenUp(stream_id, status))
            case Ping(ping_id):
                if ping_id % 2 != self._next_ping % 2:
                    self._send(frame)
            case GoAway(_, status):
                events.append(PeerLeaves(status))
            case Settings() | WindowUpdate():
                pass

    def _opened(self, frame: SynStream, events: list[Event]) -> None:
        stream_id = frame.stream_id
        if stream_id % 2 == self._next_id % 2 or stream_id <= self._last_peer_id:
            raise ProtocolError(f"stream {stream_id} cannot be opened after {self._last_peer_id}")
        self._last_peer_id = stream_id
        if self._leaving or len(self._streams) >= self._max_streams:
            self._send(RstStream(stream_id, Reset.REFUSED_STREAM))
            return
        self._streams[stream_id] = _Stream(sending=not frame.unidirectional)
        events.append(StreamOpened(stream_id, frame.headers))
        self._peer_ended(stream_id, frame.fin, events)

    def _data(self, stream_id: int, data: bytes, fin: bool, events: list[Event]) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            if not self._is_past(stream_id):
                self._send(RstStream(stream_id, Reset.INVALID_STREAM))
            return  # else it crossed our reset or our last frame
        if not stream.receiving:
            self.reset(stream_id, Reset.PROTOCOL_ERROR)
            events.append(StreamGivenUp(stream_id, Reset.PROTOCOL_ERROR))
            return
        if data:
            events.append(DataReceived(stream_id, data))
        self._peer_ended(stream_id, fin, events)

    def _peer_ended(self, stream_id: int, fin: bool, events: list[Event]) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or not fin or not stream.receiving:
            return
        stream.receiving = False
        events.append(StreamEnded(stream_id))
        self._forget_if_over(stream_id, stream)

    def _is_past(self, stream_id: int) -> bool:
        is_ours = stream_id % 2 == self._next_id % 2
        return stream_id < self._next_id if is_ours else stream_id <= self._last_peer_id

    # what is sent

    def take(self) -> bytes:
        """What is to be sent now; the caller sends it."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def open(self, headers: dict[str, str], fin: bool = False) -> int:
        stream_id = self._next_id
        if stream_id > _LAST_ID or len(self._streams) >= self._max_streams:
            raise ProtocolError("no stream is left")
        self._next_id += 2
        self._streams[stream_id] = _Stream(sending=not fin)
        self._send(SynStream(stream_id, headers, fin))
        return stream_id

    def reply(self, stream_id: int) -> None:
        if stream_id in self._streams:
            self._send(SynReply(stream_id, {}))

    def knows(self, stream_id: int) -> bool:
        """At least one side may still send."""
        return stream_id in self._streams

    def can_send(self, stream_id: int) -> bool:
        stream = self._streams.get(stream_id)
        return stream is not None and stream.sending

    def send(self, stream_id: int, data: bytes, fin: bool = False) -> None:
        """The stream must be open to us (`can_send`)."""
        stream = self._streams[stream_id]
        assert stream.sending, f"stream {stream_id} was ended before"
        for start in range(0, len(data), MAX_DATA_BYTES):
            self._send(Data(stream_id, data[start : start + MAX_DATA_BYTES]))
        if fin:
            self._send(Data(stream_id, b"", fin=True))
            stream.sending = False
            self._forget_if_over(stream_id, stream)

    def consumed(self, stream_id: int, size_bytes: int) -> None:
        """The user has taken so much of what arrived on the stream."""
        self._consumed += size_bytes
        if self._consumed >= WINDOW_STEP_BYTES:
            self._send(WindowUpdate(_WHOLE_CONNECTION, self._consumed))
            self._consumed = 0
        stream = self._streams.get(stream_id)
        if stream is None or not stream.receiving:
            return
        stream.consumed += size_bytes
        if stream.consumed >= WINDOW_STEP_BYTES:
            self._send(WindowUpdate(stream_id, stream.consumed))
            stream.consumed = 0

    def reset(self, stream_id: int, status: int = Reset.CANCEL) -> None:
        if self._streams.pop(stream_id, None) is not None:
            self._send(RstStream(stream_id, status))

    def ping(self) -> None:
        self._send(Ping(self._next_ping))
        self._next_ping = (self._next_ping + 2) & _LAST_ID

    def go_away(self, status: int = Leaving.OK) -> None:
        """No new stream from now on."""
        if not self._leaving:
            self._leaving = True
            self._send(GoAway(self._last_peer_id, status))

    # inside

    def _forget_if_over(self, stream_id: int, stream: _Stream) -> None:
        if not stream.sending and not stream.receiving:
            del self._streams[stream_id]

    def _send(self, frame: Frame) -> None:
        self._out += self._writer.encode(frame)

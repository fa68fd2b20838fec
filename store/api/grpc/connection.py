"""The server's side of an HTTP/2 connection: bytes in, events out; no sockets here.

States of a stream (RFC 9113 §5.1), seen from the server; a stream in no state is idle or closed, which the
highest id so far tells apart:

    open                 both send
    half-closed remote   the client has ended its side; we may send
    closed               we ended ours (then the client is told to stop), or either reset it

Receiving: the connection's window is given back as data comes, a stream's only when its bytes were
`consume`d, so a stream that nobody reads stops its client. Sending is the `Sender`'s.

Every fault of the client ends in a `ConnectionFailed`, with a GOAWAY in the output, or in a reset of its
stream; nothing here raises for what the peer sent. Bounds: streams, header blocks, frames, windows; answers
that a client makes us queue (pings, settings, resets) are bounded by who writes the output.
"""

from __future__ import annotations

from store.api.grpc import frames as f
from store.api.grpc.events import (
    ConnectionFailed,
    DataReceived,
    Drained,
    Event,
    PingReceived,
    PongReceived,
    RequestStarted,
    StreamReset,
)
from store.api.grpc.frames import ErrorCode
from store.api.grpc.header_block import MAX_BLOCK_BYTES, BadHeaders, HeaderDecoder, MalformedRequest
from store.api.grpc.sender import Sender, WindowOverflow

MAX_STREAMS = 4096  # calls on one connection, those included whose client has given up
STREAM_WINDOW_BYTES = 2560 * 1024  # holds any request (1.5 MiB and its overhead), so none waits half sent
CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024


class _Fault(Exception):
    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.code = code


class _Stream:
    __slots__ = ("consumed", "remote_ended", "window")

    def __init__(self, remote_ended: bool) -> None:
        self.window = STREAM_WINDOW_BYTES
        self.consumed = 0
        self.remote_ended = remote_ended


class Connection:
    def __init__(self, max_streams: int = MAX_STREAMS) -> None:
        self.sender = Sender()
        self.failed = False
        self.running = 0  # calls that the application still works on, reset ones too
        self._buffer = b""
        self._preface = f.PREFACE
        self._settled = False  # the client's settings have come
        self._decoder = HeaderDecoder()
        self._streams: dict[int, _Stream] = {}
        self._block: tuple[int, bool, bytes] | None = None  # stream, end of stream, header block so far
        self._last_id = 0
        self._max_streams = max_streams
        self._window = CONNECTION_WINDOW_BYTES
        self._events: list[Event] = []
        self._stopping = False
        self._write(
            f.settings(
                {
                    f.SETTING_MAX_CONCURRENT_STREAMS: max_streams,
                    f.SETTING_INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
                    f.SETTING_MAX_HEADER_LIST_SIZE: MAX_BLOCK_BYTES,
                }
            )
        )
        self._write(f.window_update(0, CONNECTION_WINDOW_BYTES - f.DEFAULT_WINDOW_BYTES))

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    def take_output(self) -> bytes:
        pieces, self.sender.output = self.sender.output, []
        return b"".join(pieces)

    def _write(self, data: bytes) -> None:
        self.sender.output.append(data)

    # -- receiving --

    def receive(self, data: bytes) -> list[Event]:
        """Everything that these bytes complete. After a failure there is nothing more."""
        if not self.failed:
            try:
                self._parse(self._buffer + data if self._buffer else data)
            except _Fault as fault:
                self._fail(fault)
        return self._take_events()

    def _take_events(self) -> list[Event]:
        self._settle()
        events, self._events = self._events, []
        return events

    def _fail(self, fault: _Fault) -> None:
        self.failed = True
        self._buffer = b""
        self._write(f.goaway(self._last_id, fault.code, str(fault)))
        self._events.append(ConnectionFailed(str(fault)))

    def _parse(self, data: bytes) -> None:
        position = self._take_preface(data) if self._preface else 0
        size = len(data)
        while size - position >= f.HEAD_BYTES:
            high, low, kind, flags, stream_id = f.unpack_head(data, position)
            length = high << 8 | low
            if length > f.MAX_FRAME_BYTES:
                raise _Fault(ErrorCode.FRAME_SIZE_ERROR, "frame too large")
            start = position + f.HEAD_BYTES
            if start + length > size:
                break
            position = start + length
            self._on_frame(kind, flags, stream_id & 0x7FFFFFFF, data[start:position])
        self._buffer = data[position:]

    def _take_preface(self, data: bytes) -> int:
        taken = min(len(data), len(self._preface))
        if data[:taken] != self._preface[:taken]:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "no HTTP/2 preface")
        self._preface = self._preface[taken:]
        return taken

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and kind != f.CONTINUATION:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "a header block was not continued")
        if not self._settled and kind != f.SETTINGS:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "settings come first")
        match kind:
            case f.DATA:
                self._on_data(stream_id, flags, payload)
            case f.HEADERS:
                self._on_headers(stream_id, flags, payload)
            case f.CONTINUATION:
                self._on_continuation(stream_id, flags, payload)
            case f.WINDOW_UPDATE:
                self._on_window_update(stream_id, payload)
            case f.RST_STREAM:
                self._on_reset(stream_id, payload)
            case f.SETTINGS:
                self._on_settings(stream_id, flags, payload)
            case f.PING:
                self._on_ping(stream_id, flags, payload)
            case f.PUSH_PROMISE:
                raise _Fault(ErrorCode.PROTOCOL_ERROR, "a client does not push")
            case _:
                pass  # PRIORITY, GOAWAY (its streams go on) and unknown kinds are ignored

    # -- requests --

    def _on_headers(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id % 2 == 0:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "a client's streams are odd")
        payload = _unpadded(flags, payload)
        if flags & f.HAS_PRIORITY:
            if len(payload) < 5:
                raise _Fault(ErrorCode.FRAME_SIZE_ERROR, "bad priority")
            payload = payload[5:]
        ended = bool(flags & f.END_STREAM)
        if flags & f.END_HEADERS:
            self._on_block(stream_id, ended, payload)
        else:
            self._block = stream_id, ended, payload

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != stream_id:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "nothing to continue")
        _, ended, block = self._block
        block += payload
        if len(block) > MAX_BLOCK_BYTES or not payload:
            raise _Fault(ErrorCode.ENHANCE_YOUR_CALM, "header block too large")
        self._block = stream_id, ended, block
        if flags & f.END_HEADERS:
            self._block = None
            self._on_block(stream_id, ended, block)

    def _on_block(self, stream_id: int, ended: bool, block: bytes) -> None:
        try:
            self._on_request(stream_id, ended, block)
        except BadHeaders as error:
            raise _Fault(ErrorCode.COMPRESSION_ERROR, "bad header block") from error
        except MalformedRequest:
            self._write(f.reset(stream_id, ErrorCode.PROTOCOL_ERROR))

    def _on_request(self, stream_id: int, ended: bool, block: bytes) -> None:
        if stream_id <= self._last_id:
            self._decoder.skip(block)
            self._on_trailers(stream_id, ended)
            return
        self._last_id = stream_id
        if self._stopping or max(len(self._streams), self.running) >= self._max_streams:
            self._decoder.skip(block)
            self._write(f.reset(stream_id, ErrorCode.REFUSED_STREAM))
            return
        head = self._decoder.decode(block)
        self._streams[stream_id] = _Stream(ended)
        self.sender.open(stream_id)
        self._events.append(RequestStarted(stream_id, head, ended))

    def _on_trailers(self, stream_id: int, ended: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return  # of a stream that we closed; the client did not know yet
        if stream.remote_ended or not ended:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "headers in the middle of a request")
        stream.remote_ended = True
        self._events.append(DataReceived(stream_id, b"", True))

    def _on_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        self._refuse_idle(stream_id)
        size = len(payload)  # padding counts
        self._window -= size
        if self._window < 0:
            raise _Fault(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window")
        if self._window < CONNECTION_WINDOW_BYTES // 2:
            self._write(f.window_update(0, CONNECTION_WINDOW_BYTES - self._window))
            self._window = CONNECTION_WINDOW_BYTES
        stream = self._streams.get(stream_id)
        if stream is None:
            return  # closed by us; what was on its way is dropped
        if stream.remote_ended:
            raise _Fault(ErrorCode.STREAM_CLOSED, "data after the end of a stream")
        data = _unpadded(flags, payload)
        stream.window -= size
        if stream.window < 0:
            raise _Fault(ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window")
        stream.remote_ended = bool(flags & f.END_STREAM)
        self._events.append(DataReceived(stream_id, data, stream.remote_ended))
        self.consume(stream_id, size - len(data))

    def _on_reset(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _Fault(ErrorCode.FRAME_SIZE_ERROR, "bad reset frame")
        self._refuse_idle(stream_id)
        if self._close(stream_id):
            self._events.append(StreamReset(stream_id))

    def _refuse_idle(self, stream_id: int) -> None:
        if stream_id == 0 or stream_id % 2 == 0 or stream_id > self._last_id:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "a frame on a stream that was not opened")

    # -- about the connection --

    def _on_settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id != 0:
            raise _Fault(ErrorCode.PROTOCOL_ERROR, "settings on a stream")
        if len(payload) % 6 or (flags & f.ACK and payload):
            raise _Fault(ErrorCode.FRAME_SIZE_ERROR, "bad settings frame")
        if flags & f.ACK:
            return
        self._settled = True
        for setting, value in f.iter_settings(payload):
            if setting == f.SETTING_INITIAL_WINDOW_SIZE:
                self._resize(value)
            elif setting == f.SETTING_MAX_FRAME_SIZE and not f.MAX_FRAME_BYTES <= value < 2**24:
                raise _Fault(ErrorCode.PROTOCOL_ERROR, "bad maximum frame size")
        self._write(f.SETTINGS_ACK)

    def _resize(self, window: int) -> None:
        try:
            if window > f.MAX_WINDOW_BYTES:
                raise WindowOverflow
            self.sender.resize(window)
        except WindowOverflow:
            raise _Fault(ErrorCode.FLOW_CONTROL_ERROR, "window too large") from None
        self.sender.flush()

    def _on_ping(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id != 0 or len(payload) != 8:
            raise _Fault(ErrorCode.FRAME_SIZE_ERROR, "bad ping frame")
        if flags & f.ACK:
            self._events.append(PongReceived())
        else:
            self._write(f.frame(f.PING, f.ACK, 0, payload))
            self._events.append(PingReceived())

    def _on_window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _Fault(ErrorCode.FRAME_SIZE_ERROR, "bad window frame")
        if stream_id:
            self._refuse_idle(stream_id)
        try:
            self.sender.grow(stream_id, f.unpack_word(payload)[0] & 0x7FFFFFFF)
        except WindowOverflow:
            if stream_id == 0:
                raise _Fault(ErrorCode.FLOW_CONTROL_ERROR, "bad window") from None
            self.reset(stream_id, ErrorCode.FLOW_CONTROL_ERROR)
            self._events.append(StreamReset(stream_id))
        self.sender.flush()

    # -- for the application --

    def consume(self, stream_id: int, size_bytes: int) -> None:
        """So much of a stream's data was read; its client may send as much again."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.remote_ended:
            return
        stream.consumed += size_bytes
        if stream.consumed > STREAM_WINDOW_BYTES // 2:
            self._write(f.window_update(stream_id, stream.consumed))
            stream.window += stream.consumed
            stream.consumed = 0

    def flush(self) -> list[Event]:
        """Go on with what is queued."""
        self.sender.flush()
        return self._take_events()

    def _settle(self) -> None:
        """Streams that the sender brought to an end, or to an empty queue."""
        sender = self.sender
        if sender.drained:
            self._events += [Drained(stream_id) for stream_id in sender.drained]
            sender.drained = []
        if sender.ended:
            for stream_id in sender.ended:
                if not self._streams[stream_id].remote_ended:
                    self._write(f.reset(stream_id, ErrorCode.NO_ERROR))  # it need not send the rest
                self._close(stream_id)
            sender.ended = []

    def end(self, stream_id: int, trailers: bytes) -> None:
        self.sender.end(stream_id, trailers)
        self._settle()

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        if self._close(stream_id):
            self._write(f.reset(stream_id, code))

    def _close(self, stream_id: int) -> bool:
        self.sender.close(stream_id)
        return self._streams.pop(stream_id, None) is not None

    def ping(self) -> None:
        self._write(f.frame(f.PING, 0, 0, b"balsa\0\0\0"))

    def refuse(self, code: ErrorCode, why: str) -> None:
        """The client does what it may not: the connection ends."""
        if not self.failed:
            self._fail(_Fault(code, why))

    def stop(self) -> None:
        """No new requests; those that run go on."""
        if not self._stopping and not self.failed:
            self._stopping = True
            self._write(f.goaway(self._last_id, ErrorCode.NO_ERROR))


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & f.PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise _Fault(ErrorCode.PROTOCOL_ERROR, "bad padding")
    return payload[1 : len(payload) - payload[0]]

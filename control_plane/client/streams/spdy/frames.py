"""The frames of SPDY/3.1 as values, and their bytes.

    control  |1| version 3 (15) | type (16) | flags (8) | length (24) | ...
    data     |0| stream (31)                | flags (8) | length (24) | ...

A data frame may be 16 MiB long and is handed on in pieces as they arrive; a control frame is held until it is
complete, at most MAX_CONTROL_BYTES.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from control_plane.client.streams.errors import ProtocolError
from control_plane.client.streams.spdy.headers import HeaderReader, HeaderWriter

VERSION = 3
MAX_CONTROL_BYTES = 64 * 1024
MAX_DATA_BYTES = 0xFFFFFF  # of one frame
MAX_SETTINGS = 64
_HEAD = struct.Struct("!II")
_CONTROL = 0x80000000
_STREAM = 0x7FFFFFFF


class Type(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class Flag(IntEnum):
    FIN = 1
    UNIDIRECTIONAL = 2


class Reset(IntEnum):
    """Why a stream was given up (section 2.6.3)."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7


class Leaving(IntEnum):
    """Why a connection ends (section 2.6.6)."""

    OK = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


@dataclass(frozen=True, slots=True)
class SynStream:
    stream_id: int
    headers: dict[str, str]
    fin: bool = False
    unidirectional: bool = False
    associated_id: int = 0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class SynReply:
    stream_id: int
    headers: dict[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class HeadersFrame:
    stream_id: int
    headers: dict[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    values: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ping:
    ping_id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_good_id: int
    status: int = Leaving.OK


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    stream_id: int
    delta: int


@dataclass(frozen=True, slots=True)
class Data:
    """A data frame, or a piece of one; `fin` is with the last."""

    stream_id: int
    data: bytes
    fin: bool = False


Frame = SynStream | SynReply | HeadersFrame | RstStream | Settings | Ping | GoAway | WindowUpdate | Data


class FrameWriter:
    """Frames to bytes, for one direction of one connection."""

    def __init__(self) -> None:
        self._headers = HeaderWriter()

    def encode(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream_id, data, fin):
                assert len(data) <= MAX_DATA_BYTES
                return _HEAD.pack(stream_id, (Flag.FIN if fin else 0) << 24 | len(data)) + data
            case SynStream():
                flags = (Flag.FIN if frame.fin else 0) | (Flag.UNIDIRECTIONAL if frame.unidirectional else 0)
                head = struct.pack("!IIBB", frame.stream_id, frame.associated_id, frame.priority << 5, 0)
                return _control(Type.SYN_STREAM, flags, head + self._headers.encode(frame.headers))
            case SynReply(stream_id, headers, fin) | HeadersFrame(stream_id, headers, fin):
                kind = Type.SYN_REPLY if isinstance(frame, SynReply) else Type.HEADERS
                body = struct.pack("!I", stream_id) + self._headers.encode(headers)
                return _control(kind, Flag.FIN if fin else 0, body)
            case RstStream(stream_id, status):
                return _control(Type.RST_STREAM, 0, struct.pack("!II", stream_id, status))
            case Settings(values):
                entries = b"".join(struct.pack("!II", key, value) for key, value in values.items())
                return _control(Type.SETTINGS, 0, struct.pack("!I", len(values)) + entries)
            case Ping(ping_id):
                return _control(Type.PING, 0, struct.pack("!I", ping_id))
            case GoAway(last_good_id, status):
                return _control(Type.GOAWAY, 0, struct.pack("!II", last_good_id, status))
            case WindowUpdate(stream_id, delta):
                return _control(Type.WINDOW_UPDATE, 0, struct.pack("!II", stream_id, delta))


class FrameReader:
    """Bytes to frames, for one direction of one connection. After a ProtocolError it must not be fed again."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._headers = HeaderReader()
        self._data_left = 0  # of the data frame that is being handed on
        self._data_id = 0
        self._data_fin = False

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. Raises ProtocolError."""
        self._buffer += data
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            if not isinstance(frame, _Ignored):
                frames.append(frame)
        return frames

    def _next(self) -> Frame | _Ignored | None:
        if self._data_left:
            return self._piece()
        if len(self._buffer) < _HEAD.size:
            return None
        first, second = _HEAD.unpack_from(self._buffer)
        flags, size = second >> 24, second & 0xFFFFFF
        if not first & _CONTROL:
            return self._data(first, flags, size)
        if first >> 16 & 0x7FFF != VERSION:
            raise ProtocolError(f"SPDY version {first >> 16 & 0x7FFF}")
        if size > MAX_CONTROL_BYTES:
            raise ProtocolError(f"control frame of {size} bytes")
        if len(self._buffer) < _HEAD.size + size:
            return None
        body = bytes(self._buffer[_HEAD.size : _HEAD.size + size])
        del self._buffer[: _HEAD.size + size]
        return self._control(first & 0xFFFF, flags, body)

    def _data(self, stream_id: int, flags: int, size: int) -> Data | None:
        if not stream_id:
            raise ProtocolError("data for stream 0")
        del self._buffer[: _HEAD.size]
        fin = bool(flags & Flag.FIN)
        if not size:
            return Data(stream_id, b"", fin)
        self._data_left, self._data_id, self._data_fin = size, stream_id, fin
        return self._piece()

    def _piece(self) -> Data | None:
        if not self._buffer:
            return None
        piece = bytes(self._buffer[: self._data_left])
        del self._buffer[: len(piece)]
        self._data_left -= len(piece)
        return Data(self._data_id, piece, self._data_fin and not self._data_left)

    def _control(self, kind: int, flags: int, body: bytes) -> Frame | _Ignored:
        fin = bool(flags & Flag.FIN)
        match kind:
            case Type.SYN_STREAM:
                stream, associated, priority, _ = _fields("!IIBB", body)
                headers = self._headers.decode(body[10:])
                one_way = bool(flags & Flag.UNIDIRECTIONAL)
                return SynStream(_id(stream), headers, fin, one_way, associated & _STREAM, priority >> 5)
            case Type.SYN_REPLY:
                return SynReply(_id(_fields("!I", body)[0]), self._headers.decode(body[4:]), fin)
            case Type.HEADERS:
                return HeadersFrame(_id(_fields("!I", body)[0]), self._headers.decode(body[4:]), fin)
            case Type.RST_STREAM:
                stream, status = _fields("!II", body)
                return RstStream(_id(stream), status)
            case Type.SETTINGS:
                return _settings(body)
            case Type.PING:
                return Ping(_fields("!I", body)[0])
            case Type.GOAWAY:
                last, status = _fields("!II", body)
                return GoAway(last & _STREAM, status)
            case Type.WINDOW_UPDATE:
                stream, delta = _fields("!II", body)
                return WindowUpdate(stream & _STREAM, delta & _STREAM)
        return _Ignored()  # section 2.2.1: unknown control frames are passed over


class _Ignored: ...


def _control(kind: Type, flags: int, body: bytes) -> bytes:
    return _HEAD.pack(_CONTROL | VERSION << 16 | kind, flags << 24 | len(body)) + body


def _fields(layout: str, body: bytes) -> tuple[int, ...]:
    if len(body) < struct.calcsize(layout):
        raise ProtocolError("control frame is too short")
    return struct.unpack_from(layout, body)


def _id(number: int) -> int:
    stream_id = number & _STREAM
    if not stream_id:
        raise ProtocolError("stream 0")
    return stream_id


def _settings(body: bytes) -> Settings:
    (count,) = _fields("!I", body)
    if count > MAX_SETTINGS or len(body) < 4 + 8 * count:
        raise ProtocolError("malformed settings")
    pairs = struct.iter_unpack("!II", body[4 : 4 + 8 * count])
    return Settings({flags_and_id & 0xFFFFFF: value for flags_and_id, value in pairs})

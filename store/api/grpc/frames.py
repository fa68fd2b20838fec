"""HTTP/2 frames (RFC 9113): the numbers, and how each is written.

frame = length:u24 type:u8 flags:u8 stream:u31 payload
"""

from __future__ import annotations

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
MAX_FRAME_BYTES = 16 * 1024  # what we take, and the least that every peer takes
MAX_WINDOW_BYTES = 2**31 - 1
DEFAULT_WINDOW_BYTES = 65_535

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

SETTING_MAX_CONCURRENT_STREAMS = 3
SETTING_INITIAL_WINDOW_SIZE = 4
SETTING_MAX_FRAME_SIZE = 5
SETTING_MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


_HEAD = struct.Struct(">HBBBL")
_SETTING = struct.Struct(">HL")
_WORD = struct.Struct(">L")

unpack_head = _HEAD.unpack_from  # (length >> 8, length & 0xff, type, flags, stream)
unpack_word = _WORD.unpack_from
iter_settings = _SETTING.iter_unpack


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def settings(values: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*each) for each in values.items()))


def window_update(stream_id: int, size_bytes: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, _WORD.pack(size_bytes))


def reset(stream_id: int, code: ErrorCode) -> bytes:
    return frame(RST_STREAM, 0, stream_id, _WORD.pack(code))


def goaway(last_stream_id: int, code: ErrorCode, why: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, _WORD.pack(last_stream_id) + _WORD.pack(code) + why.encode())


SETTINGS_ACK = frame(SETTINGS, ACK, 0, b"")

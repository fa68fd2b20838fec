"""The *.channel.k8s.io protocols: several streams in one WebSocket, each message led by its channel.

    channel.k8s.io, v4.channel.k8s.io   first byte the channel's number; v4's error channel carries a Status
    v5.channel.k8s.io                   v4, and the message [255, channel] ends a channel
    base64.channel.k8s.io, v4.base64…   first character the channel's digit, the rest base64

Channels of exec and attach: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize. Of port-forward, for the port at
index i: 2i data, 2i+1 error.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import IntEnum

from control_plane.client.streams.errors import ProtocolError

MAX_CHANNELS = 255
_CLOSE = 255


class Channel(IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4


@dataclass(frozen=True, slots=True)
class Message:
    channel: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """No more will come on the channel."""

    channel: int


@dataclass(frozen=True, slots=True)
class Codec:
    """One of the protocols: WebSocket messages to and from what they mean."""

    name: str
    version: int  # 4 and later: the outcome of a command is a Status on the error channel
    is_text: bool = False

    @property
    def can_close(self) -> bool:
        return self.version >= 5

    def encode(self, channel: int, data: bytes) -> bytes:
        if self.is_text:
            return str(channel).encode() + base64.b64encode(data)
        return bytes([channel]) + data

    def encode_close(self, channel: int) -> bytes:
        assert self.can_close
        return bytes([_CLOSE, channel])

    def decode(self, message: bytes) -> Message | Close:
        """Raises ProtocolError."""
        if not message:
            raise ProtocolError("empty message")
        if self.is_text:
            return Message(_digit(message), _base64(message[1:]))
        if self.can_close and message[0] == _CLOSE:
            if len(message) != 2:
                raise ProtocolError("malformed close of a channel")
            return Close(message[1])
        return Message(message[0], message[1:])


CODECS = {
    codec.name: codec
    for codec in (
        Codec("v5.channel.k8s.io", 5),
        Codec("v4.channel.k8s.io", 4),
        Codec("v4.base64.channel.k8s.io", 4, is_text=True),
        Codec("channel.k8s.io", 1),
        Codec("base64.channel.k8s.io", 1, is_text=True),
        Codec("", 1),
    )
}


def _digit(message: bytes) -> int:
    if not message[:1].isdigit():
        raise ProtocolError("the channel is no digit")
    return int(message[:1])


def _base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ProtocolError(f"base64: {error}") from error

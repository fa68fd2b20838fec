"""What a client's bytes mean, and what became of those for it: the events of a `Connection`."""

from __future__ import annotations

from dataclasses import dataclass

from store.api.grpc.header_block import Head


@dataclass(slots=True)
class RequestStarted:
    stream_id: int
    head: Head
    ended: bool


@dataclass(slots=True)
class DataReceived:
    stream_id: int
    data: bytes
    ended: bool


@dataclass(slots=True)
class StreamReset:
    stream_id: int


@dataclass(slots=True)
class Drained:
    """What was queued of a stream is in the output; more may be sent."""

    stream_id: int


@dataclass(slots=True)
class PongReceived:
    pass


@dataclass(slots=True)
class PingReceived:
    """It is answered already."""


@dataclass(slots=True)
class ConnectionFailed:
    why: str


Event = RequestStarted | DataReceived | StreamReset | Drained | PingReceived | PongReceived | ConnectionFailed

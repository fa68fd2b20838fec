"""The gRPC health check (grpc.health.v1.Health/Check), with just as much HTTP/2 as one unary call needs.

Header fields go out as HPACK literals without indexing (RFC 7541 §6.2.2); of the answer only the DATA frame
matters: a five-byte prefix and HealthCheckResponse{status = 1}. An answer without DATA is a gRPC error.
"""

from __future__ import annotations

import asyncio
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_BYTES = 16_384
MAX_FRAMES = 64
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
SERVING = 1
_STATUS_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def check(sock: socket.socket, service: str, authority: str) -> tuple[bool, str]:
    """Whether the service says SERVING, and what it said. Raises OSError or ValueError."""
    try:
        reader, writer = await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise
    try:
        writer.write(PREFACE + _frame(SETTINGS, 0, 0, b"") + _call(service, authority))
        await writer.drain()
        return await _read_status(reader, writer)
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("EOF") from error
    finally:
        writer.close()


def _call(service: str, authority: str) -> bytes:
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority), ("content-type", "application/grpc"), ("te", "trailers"),
        ("user-agent", "kube-probe/1.36"),
    ]  # fmt: skip
    block = b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields)
    name = service.encode()
    message = b"\x0a" + _varint(len(name), 8) + name if name else b""
    body = b"\x00" + struct.pack(">I", len(message)) + message
    return _frame(HEADERS, END_HEADERS, 1, block) + _frame(DATA, END_STREAM, 1, body)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _string(text: str) -> bytes:
    data = text.encode()
    prefix = 7
    if len(data) < (1 << prefix) - 1:
        return bytes([len(data)]) + data
    rest = len(data) - ((1 << prefix) - 1)
    return bytes([(1 << prefix) - 1]) + _varint(rest, 8) + data


def _varint(value: int, _bits: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


async def _read_status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bool, str]:
    body = b""
    for _ in range(MAX_FRAMES):
        head = await reader.readexactly(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        if size > MAX_FRAME_BYTES:
            raise ValueError("HTTP/2 frame too large")
        payload = await reader.readexactly(size)
        if kind == SETTINGS and not flags & ACK:
            writer.write(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            writer.write(_frame(PING, ACK, 0, payload))
        elif kind == DATA:
            body += payload
        elif kind in (RST_STREAM, GOAWAY):
            raise ConnectionError("the server closed the stream")
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            break
        if len(body) >= 5 and len(body) >= 5 + struct.unpack(">I", body[1:5])[0]:
            break
    return _verdict(body)


def _verdict(body: bytes) -> tuple[bool, str]:
    if len(body) < 5:
        return False, "service unhealthy (the server answered with an error)"
    message = body[5:]
    status = message[1] if len(message) >= 2 and message[0] == 0x08 else 0
    name = _STATUS_NAMES.get(status, str(status))
    return status == SERVING, f'service healthy (responded with "{name}")' if status == SERVING else (
        f'service unhealthy (responded with "{name}")'
    )

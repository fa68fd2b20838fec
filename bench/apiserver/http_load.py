"""HTTP/1.1 over TLS for the load generator. Of HTTP only what the apiserver's answers to such requests use is here:
a status line, and a length or chunks.
"""

from __future__ import annotations

import asyncio
import time

from bench.store.load import Door, Load


def request(method: str, target: str, body: bytes = b"") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\nUser-Agent: bench\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Client(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        data = self._load.request(next(self._load.numbers))
        self._sent_at = time.perf_counter()
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or not _is_complete(head.lower(), body):
            return
        self._buffer = b""
        self._load.answered(self._sent_at, head.startswith(b"HTTP/1.1 2"))
        if self._load.running:
            self._send()


DOOR = Door("http/1.1", Client)


def length_of(head: bytes) -> int | None:
    """Of the body, by the head in small letters; None when it comes in chunks."""
    length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return int(length) if length else None


def _is_complete(head: bytes, body: bytes) -> bool:
    length = length_of(head)
    return body.endswith(b"0\r\n\r\n") if length is None else len(body) >= length


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    """One request, and the body of its answer, which has to be good."""
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 2"), head
    length = length_of(head.lower())
    if length is not None:
        return await reader.readexactly(length)
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body

"""Clients of etcd's JSON gateway: one keep-alive connection each; of the answers the status and the length."""

from __future__ import annotations

import asyncio
import re
import time
from base64 import b64encode
from typing import cast

from bench.store.load import Door, Load

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
END_OF_HEAD = b"\r\n\r\n"
END_OF_CHUNKS = b"0\r\n\r\n"


def put(key: bytes, value: bytes) -> bytes:
    return b'{"key":"%b","value":"%b"}' % (b64encode(key), b64encode(value))


def get(key: bytes) -> bytes:
    return b'{"key":"%b"}' % b64encode(key)


class Client(asyncio.Protocol):
    """One request after another."""

    transport: asyncio.Transport

    def __init__(self, load: Load, path: bytes) -> None:
        self._load = load
        self._head = b"POST %b HTTP/1.1\r\nHost: bench\r\nContent-Length: %%d\r\n\r\n" % path
        self._buffer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._request()

    def _request(self) -> None:
        body = self._load.request(next(self._load.numbers))
        self._sent_at = time.perf_counter()
        self.transport.write(self._head % len(body) + body)

    def data_received(self, data: bytes) -> None:
        data = self._buffer = self._buffer + data
        end = data.find(END_OF_HEAD)
        if end < 0:
            return
        length = LENGTH.search(data, 0, end)
        if length is None:
            whole = data.endswith(END_OF_CHUNKS)
        else:
            whole = len(data) >= end + len(END_OF_HEAD) + int(length[1])
        if whole:
            self._buffer = b""
            self._load.answered(self._sent_at, data.startswith(b"HTTP/1.1 200"))
            if self._load.running:
                self._request()


def door(path: str) -> Door:
    return Door("http/1.1", lambda load: Client(load, path.encode()))

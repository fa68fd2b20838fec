"""Sends what is wrong, and takes what comes for an answer."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass

import orjson

from tests.fuzz.apiserver.requests import Mutant

ANSWER_TIMEOUT_S = 20.0
OWN_WORDS = frozenset(("bad framing", "raw path", "long header", "many headers", "bad upgrade"))
"""What HTTP's own layer or the agent of a node answers, in its own words."""
MAX_ANSWER_BYTES = 2**25


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    tls: ssl.SSLContext


class Sender:
    """One connection after another, each as long as both sides keep it."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._before = ""  # what this connection carried last

    async def send(self, mutant: Mutant) -> str:
        """What is wrong with the answer, or nothing."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._exchange(mutant)
        except TimeoutError:
            self.close()
            return "no answer in time"

    def close(self) -> None:
        if self._open is not None:
            self._open[1].transport.abort()
            self._open = None

    async def _exchange(self, mutant: Mutant) -> str:
        reader, writer = self._open or await self._connect()
        writer.write(mutant.data)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await _body(reader, head.lower())
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError) as error:
            self.close()
            return f"the connection ended without an answer, after {self._before or 'nothing'!r}: {error!r}"
        self._before = mutant.kind
        status = int(head.split(b" ", 2)[1])
        if status == 101:
            return await self._tunnel(reader, writer, mutant.frames)
        if b"\r\nconnection: close" in head.lower() or mutant.kind in (
            "bad framing",
            "raw path",
            "bad method",
        ):
            self.close()  # how the rest of the bytes is read is then the server's
        return _judge(mutant, status, body)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        there, self._before = self._address, ""
        self._open = await asyncio.open_connection(
            there.host, there.port, ssl=there.tls, server_hostname="127.0.0.1", limit=MAX_ANSWER_BYTES
        )
        return self._open

    async def _tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frames: tuple[bytes, ...]
    ) -> str:
        """The frames, then nothing more: the server has to end it, which the time limit watches."""
        for frame in frames:
            writer.write(frame)
        with contextlib.suppress(ConnectionError):
            await asyncio.sleep(0)
            self.close()
        return ""


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    if length:
        return await reader.readexactly(int(length))
    if b"\r\ntransfer-encoding: chunked" not in head:
        return b""
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


def _judge(mutant: Mutant, status: int, body: bytes) -> str:
    if status >= 500:
        return f"{status}: {body[:300]!r}"
    if status < 400:
        return f"{status}: taken for sound" if mutant.must_fail else ""
    if mutant.kind in OWN_WORDS:
        return ""
    try:
        document = orjson.loads(body)
        ok = document["kind"] == "Status" and document["code"] == status and document["message"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        ok = False
    return "" if ok else f"{status} without a Status: {body[:300]!r}"

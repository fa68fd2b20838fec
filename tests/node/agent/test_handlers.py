"""Probe and hook actions against real servers on loopback."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from node.agent.grpc_health import PREFACE
from node.agent.handlers import Handlers, Result, Target
from tests.node.agent.doubles import FakeRuntime, HostNetwork

Obj = dict[str, Any]


@asynccontextmanager
async def serving(answer: bytes, wait_for: bytes = b"\r\n\r\n") -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(wait_for)
            writer.write(answer)
            await writer.drain()
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def run(action: Obj, port: int = 0, timeout_s: float = 2.0) -> Result:
    container = {"name": "main", "ports": [{"name": "web", "containerPort": port}]}
    handlers = Handlers(FakeRuntime(), HostNetwork())  # type: ignore[arg-type]
    return await handlers.run(action, Target("c", container, "127.0.0.1"), timeout_s)


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (302, True), (404, False), (500, False)], ids=str
)
async def test_http_by_status(status: int, ok: bool) -> None:
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nLocation: http://elsewhere/\r\n\r\n".encode()
    async with serving(answer) as port:
        result = await run({"httpGet": {"port": "web", "path": "/x"}}, port)
    assert result.ok is ok
    if not ok:
        assert result.output == f"HTTP probe failed with statuscode: {status}"


async def test_http_follows_redirects_of_its_own_host() -> None:
    async with serving(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n") as bad:
        answer = f"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:{bad}/\r\n\r\n".encode()
        async with serving(answer) as port:
            result = await run({"httpGet": {"port": port}})
    assert result == Result(False, "HTTP probe failed with statuscode: 500")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("httpGet", 'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused'),
        ("tcpSocket", "dial tcp 127.0.0.1:1: connect: connection refused"),
    ],
)
async def test_nobody_listens(kind: str, message: str) -> None:
    assert await run({kind: {"port": 1}}) == Result(False, message)


async def test_a_slow_server_is_a_failure() -> None:
    async with serving(b"", wait_for=b"never") as port:
        result = await run({"httpGet": {"port": port}}, timeout_s=0.2)
    assert not result.ok
    assert "context deadline exceeded" in result.output


@pytest.mark.parametrize(
    "garbage", [b"", b"\x00\x01", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"], ids=repr
)
async def test_no_http_server(garbage: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        assert not (await run({"httpGet": {"port": server.sockets[0].getsockname()[1]}})).ok


async def test_a_tcp_port_that_accepts() -> None:
    async with serving(b"") as port:
        assert (await run({"tcpSocket": {"port": port}})).ok


@pytest.mark.parametrize(
    ("status", "ok"), [(1, True), (2, False), (None, False)], ids=["serving", "not serving", "an error"]
)
async def test_grpc(status: int | None, ok: bool) -> None:
    settings = struct.pack(">I", 0)[1:] + b"\x04\x00" + b"\x00" * 4
    message = b"\x08" + bytes([status or 0])
    body = b"\x00" + struct.pack(">I", len(message)) + message
    data = len(body).to_bytes(3, "big") + b"\x00\x00" + struct.pack(">I", 1) + body
    error = (0).to_bytes(3, "big") + b"\x01\x05" + struct.pack(">I", 1)
    async with serving(settings + (data if status else error), wait_for=PREFACE) as port:
        result = await run({"grpc": {"port": port}})
    assert result.ok is ok


async def test_a_port_without_that_name() -> None:
    result = await run({"tcpSocket": {"port": "other"}})
    assert result == Result(False, "couldn't find port: 'other' in container 'main'")

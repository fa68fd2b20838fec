"""Answers as messages of a WebSocket: frames, and which handshakes are none."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from multidict import CIMultiDict

from control_plane.api.errors import StatusError
from control_plane.apiserver import websocket
from control_plane.apiserver.messages import Connection, Request

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",  # of RFC 6455, as its answer below
}


class Client:
    """The far end of the connection: it sends nothing, and hangs up when it has been told to."""

    def __init__(self) -> None:
        self.got = bytearray()

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def write(self, data: bytes) -> None:
        self.got += data

    def close(self) -> None: ...


def request(**headers: str) -> Request:
    sent = {**HANDSHAKE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Request("GET", "/", "", CIMultiDict(sent), cast(Connection, None), no_body)


async def no_body(limit: int) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_frames(size: int, head: bytes) -> None:
    assert websocket.frame(b"x" * size, in_text=False) == head + b"x" * size


async def _produce(write: websocket.Write) -> None:
    await write(b"hello")


@pytest.mark.parametrize(
    ("protocol", "said", "message"),
    [
        ("", b"", b"\x82\x05hello"),
        ("binary.k8s.io", b"Sec-WebSocket-Protocol: binary.k8s.io\r\n", b"\x82\x05hello"),
        ("x, base64.binary.k8s.io", b"Sec-WebSocket-Protocol: base64.binary.k8s.io\r\n", b"\x81\x08aGVsbG8="),
        ("base64url.bearer.authorization.k8s.io.abc", b"", b"\x82\x05hello"),
    ],
)
async def test_an_answer(protocol: str, said: bytes, message: bytes) -> None:
    client = Client()
    response = websocket.answer(request(Sec_WebSocket_Protocol=protocol), _produce)
    assert response.upgrade is not None
    await response.upgrade(client)
    head, _, rest = bytes(client.got).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert said in head + b"\r\n"
    assert (b"Sec-WebSocket-Protocol" in head) == bool(said)
    assert rest == message + b"\x88\x02\x03\xe8"


@pytest.mark.parametrize(
    "headers",
    [{"Sec_WebSocket_Key": ""}, {"Sec_WebSocket_Version": "8"}, {"Sec_WebSocket_Protocol": "unknown"}],
)
def test_no_handshake(headers: dict[str, str]) -> None:
    with pytest.raises(StatusError) as refused:
        websocket.answer(request(**headers), _produce)
    assert refused.value.code == 400

"""The channel protocols: messages to and from what they mean, and the words of the upgrade."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.client.streams import handshake
from control_plane.client.streams.channels import CODECS, Close, Message
from control_plane.client.streams.duplex import splice
from control_plane.client.streams.errors import NotAnUpgrade, ProtocolError
from tests.control_plane.client.streams.pipes import joined


@given(st.sampled_from(sorted(CODECS)), st.integers(0, 9), st.binary(max_size=100))
def test_what_is_encoded_is_decoded(name: str, channel: int, data: bytes) -> None:
    codec = CODECS[name]
    assert codec.decode(codec.encode(channel, data)) == Message(channel, data)


@given(st.sampled_from(sorted(CODECS)), st.binary(max_size=50))
def test_any_message_is_understood_or_refused(name: str, message: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        CODECS[name].decode(message)


@pytest.mark.parametrize(
    ("name", "message", "meaning"),
    [
        ("v5.channel.k8s.io", b"\xff\x00", Close(0)),
        ("v4.channel.k8s.io", b"\xff\x00", Message(255, b"\x00")),
        ("v4.base64.channel.k8s.io", b"0aGk=", Message(0, b"hi")),
        ("", b"\x01", Message(1, b"")),
    ],
    ids=["v5 closes", "v4 does not", "base64", "no protocol"],
)
def test_meanings(name: str, message: bytes, meaning: Message | Close) -> None:
    assert CODECS[name].decode(message) == meaning


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v4.channel.k8s.io", b""),
        ("v5.channel.k8s.io", b"\xff"),
        ("v5.channel.k8s.io", b"\xff\x00\x00"),
        ("base64.channel.k8s.io", b"xaGk="),
        ("base64.channel.k8s.io", b"0!!!"),
    ],
    ids=["empty", "close without a channel", "close of two", "no digit", "no base64"],
)
def test_refused(name: str, message: bytes) -> None:
    with pytest.raises(ProtocolError):
        CODECS[name].decode(message)


@pytest.mark.parametrize(
    ("headers", "upgrade"),
    [
        ({"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}, "spdy/3.1"),
        ({"Connection": "keep-alive, upgrade", "Upgrade": "WebSocket"}, "websocket"),
        ({"Connection": "close", "Upgrade": "websocket"}, ""),
        ({}, ""),
    ],
    ids=["SPDY", "WebSocket", "not connected", "plain"],
)
def test_what_upgrade_is_asked_for(headers: dict[str, str], upgrade: str) -> None:
    assert handshake.upgrade_of(headers) == upgrade


def test_the_client_s_order_decides() -> None:
    offers = handshake.offered(["v9.channel.k8s.io, v4.channel.k8s.io", "v5.channel.k8s.io"])
    assert handshake.chosen(offers, CODECS) == "v4.channel.k8s.io"
    with pytest.raises(NotAnUpgrade, match=r"client supports \[a b\]"):
        handshake.chosen(["a", "b"], CODECS)


async def test_a_splice_copies_both_ways_and_ends_with_either() -> None:
    client, near = joined()
    far, backend = joined()
    task = asyncio.create_task(splice(near, far, idle_timeout_s=5))
    await client.write(b"question")
    assert await backend.read() == b"question"
    await backend.write(b"answer")
    assert await client.read() == b"answer"
    backend.close()
    await asyncio.wait_for(task, 5)


async def test_an_idle_splice_ends() -> None:
    _, near = joined()
    far, _ = joined()
    await asyncio.wait_for(splice(near, far, idle_timeout_s=0.05), 5)

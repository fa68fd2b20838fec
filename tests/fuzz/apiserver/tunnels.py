"""Upgrades that are refused, and frames that no peer would send once an upgrade is accepted."""

from __future__ import annotations

import random
import struct

from tests.fuzz.apiserver.requests import NAMESPACE, Mutant, request

POD = "tunnel"
EXEC = f"/api/v1/namespaces/{NAMESPACE}/pods/{POD}/exec?command=cat&stdin=true&stdout=true"
PORT_FORWARD = f"/api/v1/namespaces/{NAMESPACE}/pods/{POD}/portforward?ports=8080"
WEBSOCKET_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
EXEC_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io")


def _websocket(target: str, protocol: str, **changed: str) -> bytes:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": WEBSOCKET_KEY,
        "Sec_WebSocket_Protocol": protocol,
    }
    return request("GET", target, **{**headers, **changed})


def _spdy(target: str, protocol: str) -> bytes:
    upgrade = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X_Stream_Protocol_Version": protocol}
    return request("POST", target, b"", **upgrade)


def bad_upgrade(source: random.Random) -> Mutant:
    missing = EXEC.replace(POD, "nobody")
    data = source.choice(
        (
            _websocket(EXEC, "v9.channel.k8s.io"),
            _websocket(EXEC, EXEC_PROTOCOLS[0], Sec_WebSocket_Version="1"),
            _websocket(EXEC, EXEC_PROTOCOLS[0], Sec_WebSocket_Key="short"),
            _websocket(missing, EXEC_PROTOCOLS[0]),
            _websocket(EXEC.replace("command=cat", "x=y"), EXEC_PROTOCOLS[0]),
            _websocket(EXEC + "&container=other", EXEC_PROTOCOLS[0]),
            _spdy(EXEC, "v9.channel.k8s.io"),
            _spdy(missing, "v4.channel.k8s.io"),
            _spdy(PORT_FORWARD.replace(POD, "nobody"), "portforward.k8s.io"),
            request("GET", EXEC),
            request("POST", PORT_FORWARD, b""),
            request("GET", EXEC, Connection="Upgrade", Upgrade="h2c"),
        )
    )
    return Mutant("bad upgrade", data)


def bad_frames(source: random.Random) -> Mutant:
    frames = tuple(_frame(source) for _ in range(source.randint(1, 5)))
    if source.random() < 0.5:
        data = _websocket(EXEC, source.choice(EXEC_PROTOCOLS))
        return Mutant("WebSocket frames", data, must_fail=False, frames=frames)
    target, protocol = source.choice(((EXEC, "v4.channel.k8s.io"), (PORT_FORWARD, "portforward.k8s.io")))
    return Mutant("SPDY frames", _spdy(target, protocol), must_fail=False, frames=frames)


def _frame(source: random.Random) -> bytes:
    """Of either protocol: each also meets the other's."""
    noise = source.randbytes(source.randint(0, 60))
    return source.choice(
        (
            noise,
            b"\x82\xff" + b"\xff" * 8 + noise,  # a length of 2**64 - 1
            b"\x82\x05" + noise,  # not masked
            b"\x02\x80mask" + noise,  # a fragment that never ends
            b"\x80\x80mask",  # a continuation of nothing
            b"\x89\xfe\x0f\xff" + b"m" * 4 + noise,  # a ping that is too long
            b"\x88\x81mask" + noise[:1],  # a close of one byte
            b"\xf2\x80mask",  # reserved bits
            _spdy_frame(1, source.randbytes(10) + noise),  # SYN_STREAM, headers that do not inflate
            _spdy_frame(1, struct.pack(">II", 1, 0) + b"\0\0" + b"x\x9c" + b"\0" * 40),
            _spdy_frame(2, struct.pack(">I", 99)),  # a reply to nothing
            _spdy_frame(4, b"\xff\xff\xff\xff" + noise),  # SETTINGS of so many entries
            _spdy_frame(source.randint(0, 0x7FFF), noise),
            struct.pack(">IBBH", 7, 0, 0xFF, 0xFFFF) + noise,  # data of a stream that is not there
        )
    )


def _spdy_frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">HHI", 0x8003, kind & 0x7FFF, len(payload)) + payload

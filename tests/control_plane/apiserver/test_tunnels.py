"""Tunnels to a backend: what is passed on and what is not, refusals, limits, the drain. No sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from multidict import CIMultiDict

from control_plane.api.errors import StatusError
from control_plane.apiserver import tunnels
from control_plane.apiserver.messages import Connection, Request, Response
from control_plane.apiserver.proxy import Backend, Target, rewritten
from control_plane.apiserver.subresources.proxy import split_name
from control_plane.apiserver.tunnels import Tunnels, passed_on
from tests.control_plane.client.streams.pipes import MemoryDuplex, joined

DEADLINE_S = 5
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n"


def request(**headers: str) -> Request:
    async def read(limit: int) -> bytes:
        return b""

    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(
        "POST",
        "/x",
        "",
        CIMultiDict({"Upgrade": "SPDY/3.1", "Connection": "Upgrade"} | names),
        Connection(),
        read,
    )


class Opened:
    """One tunnel: the backend's side of it, and what came of it."""

    def __init__(self, answer: bytes, tunnels_: Tunnels | None = None, **headers: str) -> None:
        self.ours, self.backend = joined()
        self.stopping = asyncio.Event()
        self._answer = answer
        self._tunnels = tunnels_ or Tunnels()
        self._request = request(**headers)

    async def open(self) -> Response:
        if self._answer:
            await self.backend.write(self._answer)
        opened = self._tunnels.open(self._request, self.ours, "node:1", "/exec?a=b", self.stopping)
        return await asyncio.wait_for(opened, DEADLINE_S)


async def serve(response: Response, client: MemoryDuplex) -> None:
    assert response.upgrade is not None
    await response.upgrade(client)


async def test_two_connections_are_joined() -> None:
    tunnel = Opened(SWITCHING + b"early")
    response = await tunnel.open()
    head = await tunnel.backend.read()
    assert head.startswith(
        b"POST /exec?a=b HTTP/1.1\r\nHost: node:1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    )
    client, near = joined()
    task = asyncio.create_task(serve(response, near))
    assert await client.read() == SWITCHING + b"early"
    await client.write(b"\x00in")
    assert await tunnel.backend.read() == b"\x00in"
    await tunnel.backend.write(b"\x01out")
    assert await client.read() == b"\x01out"
    tunnel.backend.close()
    await asyncio.wait_for(task, DEADLINE_S)
    assert tunnel.ours.closed


async def test_a_refusal_is_handed_on_in_the_backend_s_words() -> None:
    said = b'container not found ("c")'
    answer = b"HTTP/1.1 500 X\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)
    tunnel = Opened(answer)
    response = await tunnel.open()
    assert (response.status, response.body, response.content_type) == (500, said, "text/plain")
    assert tunnel.ours.closed


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", id="no upgrade"),
        pytest.param(b"SSH-2.0-x\r\n\r\n", id="no HTTP"),
        pytest.param(b"x" * (tunnels.MAX_HEAD_BYTES + 1), id="no end of the head"),
    ],
)
async def test_odd_backends_are_internal_errors(answer: bytes) -> None:
    tunnel = Opened(answer)
    if len(answer) > tunnels.MAX_HEAD_BYTES:
        await tunnel.backend.write(b"more")
    with pytest.raises(StatusError) as error:
        await tunnel.open()
    assert error.value.code == 500
    assert tunnel.ours.closed


async def test_a_backend_that_hangs_up() -> None:
    tunnel = Opened(b"")
    tunnel.ours.inbox.put_nowait(b"")
    with pytest.raises(StatusError, match="hung up"):
        await tunnel.open()


async def test_too_many_are_told_to_come_again() -> None:
    crowded = Tunnels(max_tunnels=1)
    response = await Opened(SWITCHING, crowded).open()
    _, near = joined()
    task = asyncio.create_task(serve(response, near))
    await asyncio.sleep(0)
    with pytest.raises(StatusError) as error:
        await Opened(SWITCHING, crowded).open()
    assert error.value.code == 429
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await Opened(SWITCHING, crowded).open()


async def test_a_stop_ends_tunnels_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "DRAIN_S", 0.05)
    tunnel = Opened(SWITCHING)
    response = await tunnel.open()
    _, near = joined()
    task = asyncio.create_task(serve(response, near))
    tunnel.stopping.set()
    await asyncio.wait_for(task, DEADLINE_S)


def test_credentials_and_identities_stay_here() -> None:
    bearer = "base64url.bearer.authorization.k8s.io.c2VjcmV0"
    sent: dict[str, Any] = {
        "Authorization": "Bearer secret",
        "Impersonate-User": "eve",
        "X-Remote-User": "eve",
        "Content-Length": "0",
        "Sec-WebSocket-Protocol": f"{bearer}, v5.channel.k8s.io",
        "X-Stream-Protocol-Version": "v4.channel.k8s.io",
    }
    assert dict(passed_on(CIMultiDict(sent))) == {
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
        "X-Stream-Protocol-Version": "v4.channel.k8s.io",
    }
    assert list(passed_on(CIMultiDict({"Sec-WebSocket-Protocol": bearer}))) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web", ("", "web", "")),
        ("web:80", ("", "web", "80")),
        ("https:web:port", ("https", "web", "port")),
        ("https:web:", ("https", "web", "")),
    ],
)
def test_names_of_what_is_proxied(text: str, parts: tuple[str, str, str]) -> None:
    assert split_name(text, "pod") == parts


@pytest.mark.parametrize("text", ["ftp:web:80", "a:b:c:d", ":80", ""])
def test_names_that_are_refused(text: str) -> None:
    with pytest.raises(StatusError, match="invalid pod request"):
        split_name(text, "pod")


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/there?a=b", "/proxy/there?a=b"),
        ("http://10.0.0.1:8080/there", "/proxy/there"),
        ("http://elsewhere/there", "http://elsewhere/there"),
        ("there", "there"),
    ],
    ids=["a path", "the backend", "another host", "relative"],
)
def test_redirects(location: str, sent: str) -> None:
    assert rewritten(location, Target(Backend("http", "10.0.0.1", 8080), "/here", "/proxy")) == sent

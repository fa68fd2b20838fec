"""What is bounded is refused beyond its bound, with the error that clients know, and works again below it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store.api import json_gateway, json_streams
from store.api.auth import TokenKeeper
from store.api.calls import Calls
from store.api.errors import BadRequest, TooManyRequests
from store.api.grpc import frames as f
from store.api.grpc import watch as grpc_watch
from store.api.http1_parser import Request as HttpRequest
from store.api.json_gateway import JsonGateway
from store.api.json_streams import JsonStreams, Lines
from store.api.leases import LeaseKeeper
from store.api.machine import StoreMachine
from store.api.service import StoreService
from store.watch import hub as watch_hub
from store.watch.stream import Spec

from ..conftest import TlsFiles, balsa_cluster, eventually
from .doubles import InstantEngine


@pytest.fixture
def service() -> StoreService:
    leases = LeaseKeeper(lambda: 0.0)
    machine = StoreMachine(leases)
    return StoreService(InstantEngine(machine), machine, leases)


class Body:
    """The part of a stream that reads a request."""

    feed: Callable[[bytes], None]

    def attach(self, on_body: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self.feed = on_body


async def test_watch_streams_of_a_member(service: StoreService, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (grpc_watch, json_streams):
        monkeypatch.setattr(module, "MAX_WATCH_STREAMS", 1)
    open_stream = service.machine.hub.open_stream(lambda: None)
    unused: Any = None
    with pytest.raises(TooManyRequests):
        await grpc_watch.watch(service, unused)
    with pytest.raises(TooManyRequests):
        await JsonStreams(service, TokenKeeper(lambda: 0.0)).watch(unused, unused)
    service.machine.hub.close_stream(open_stream)
    assert service.machine.hub.streams == 0


def test_watches_of_a_stream(service: StoreService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_hub, "MAX_WATCHERS_PER_STREAM", 2)
    hub = service.machine.hub
    stream = hub.open_stream(lambda: None)
    assert [hub.create(stream, Spec(b"k"), 0, False) is not None for _ in range(3)] == [True, True, False]
    refused = stream.take()[-1]
    assert (refused.canceled, refused.cancel_reason) == (True, "etcdserver: too many watchers on one stream")
    hub.cancel(stream, 0)
    assert hub.create(stream, Spec(b"k"), 0, False) is not None


@pytest.mark.parametrize(
    "flood",
    [b"{}\n" * (json_streams.MAX_LINES_WAITING + 1), b'{"a":"' + b"x" * json_streams.MAX_LINE_BYTES],
    ids=["messages", "a message without end"],
)
def test_messages_of_a_json_stream(flood: bytes) -> None:
    body: Any = Body()
    lines = Lines(body)
    body.feed(b"{}\n")
    assert lines.pop() == b"{}"
    body.feed(flood)
    for _ in range(2):  # and stays refused
        with pytest.raises(BadRequest):
            lines.pop()
    body.feed(b"{}\n" * 10_000)  # nothing more is kept
    assert len(lines._lines) <= json_streams.MAX_LINES_WAITING + 1


async def test_requests_at_the_json_gateway(service: StoreService, monkeypatch: pytest.MonkeyPatch) -> None:
    probes: Any = None
    gateway = JsonGateway(service, TokenKeeper(lambda: 0.0), probes, {}, Calls())
    request = HttpRequest(b"POST", b"/v3/kv/range", {}, b'{"key":"YQ=="}')
    assert (await gateway.handle(request)).status == 200
    monkeypatch.setattr(json_gateway, "MAX_IN_FLIGHT", 0)
    refused = await gateway.handle(request)
    assert (refused.status, b"etcdserver: too many requests" in refused.body) == (429, True)


async def test_connections_through_both_doors(tls: TlsFiles, tmp_path: Path) -> None:
    """The bound is one for both; who is beyond it is closed, and has its turn when another has left."""
    async with balsa_cluster(tmp_path, tls, flags=["--max-concurrent-connections=3"]) as cluster:
        host, port = cluster.urls[0].removeprefix("https://").split(":")

        async def connect(protocol: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            context = tls.client_context()
            context.set_alpn_protocols([protocol])
            return await asyncio.open_connection(host, int(port), ssl=context)

        async def accepted() -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
            reader, writer = await connect("h2")
            writer.write(f.PREFACE + f.settings({}))
            try:
                if await reader.read(1):
                    return reader, writer
            except ConnectionError:
                pass
            writer.close()
            return None

        held = []

        async def three_are_held() -> bool:
            if (connection := await accepted()) is not None:
                held.append(connection)
            return len(held) == 2

        await eventually(three_are_held)  # the fixture's own may still be there
        plain = await connect("http/1.1")
        plain[1].write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await plain[0].readline()).startswith(b"HTTP/1.1 200")
        assert await accepted() is None
        held.pop()[1].close()

        async def one_more() -> bool:
            if (connection := await accepted()) is not None:
                held.append(connection)
            return connection is not None

        await eventually(one_more)
        for _, writer in (*held, plain):
            writer.close()

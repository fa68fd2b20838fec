"""The real transport: TLS on loopback, and how each way of failing is told apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from certs.ca import CertificateAuthority
from certs.kubeconfig import KubeConfig
from certs.tls import server_context
from control_plane.api.errors import StatusError
from control_plane.client import renewal
from control_plane.client.client import Client
from control_plane.client.errors import ConnectionFailed, NotSent
from control_plane.client.gvr import CONFIGMAPS
from control_plane.client.transport import HttpTransport, TokenSource

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    def __init__(self, tmp_path: Path) -> None:
        self.directory = tmp_path
        self.ca = CertificateAuthority.create("test")
        self.handler: Handler = self.echo
        self.seen: list[web.BaseRequest] = []
        self.port = 0
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        pair = self.ca.issue_server("apiserver", ["localhost", "127.0.0.1"])
        pair.write(self.directory / "s.crt", self.directory / "s.key")
        (self.directory / "ca.crt").write_bytes(self.ca.cert_pem)
        context = server_context(
            self.directory / "s.crt", self.directory / "s.key", self.directory / "ca.crt"
        )
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        return await self.handler(request)  # type: ignore[arg-type]

    async def echo(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"metadata": {"name": _subject(request)}})

    def config(self, user: str = "alice") -> KubeConfig:
        pair = self.ca.issue_client(user, [])
        server = f"https://127.0.0.1:{self.port}"
        return KubeConfig(server, self.ca.cert_pem, pair.cert_pem, pair.key_pem)


def _subject(request: web.BaseRequest) -> str:
    assert request.transport is not None
    certificate = request.transport.get_extra_info("peercert")
    return next(value for ((key, value),) in certificate["subject"] if key == "commonName")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path)
    await server.start()
    yield server
    await server.stop()


async def test_a_client_certificate_is_presented(server: Server) -> None:
    async with Client(server.config("alice")) as client:
        assert (await client.get(CONFIGMAPS, "x", "default"))["metadata"]["name"] == "alice"


async def test_a_renewed_certificate_is_used_by_new_connections(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    server.config("old").write(path)
    async with Client(KubeConfig.load(path)) as client:
        assert (await client.get(CONFIGMAPS, "x", "default"))["metadata"]["name"] == "old"
        server.config("new").write(path)
        renewal.reload(client, str(path))
        await server.stop()
        await server.start()
        assert (await client.get(CONFIGMAPS, "x", "default"))["metadata"]["name"] == "new"


async def test_errors_carry_the_status(server: Server) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        status = {"kind": "Status", "code": 409, "reason": "AlreadyExists", "message": "it is there"}
        return web.json_response(status, status=409)

    server.handler = refuse
    async with Client(server.config()) as client:
        with pytest.raises(StatusError) as refused:
            await client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, "default")
    assert (refused.value.code, refused.value.reason, refused.value.message) == (
        409,
        "AlreadyExists",
        "it is there",
    )


async def test_an_answer_that_is_no_status_still_has_a_reason(server: Server) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        return web.Response(status=502, text="bad gateway")

    server.handler = broken
    async with Client(server.config()) as client:
        with pytest.raises(StatusError, match="bad gateway"):
            await client.get(CONFIGMAPS, "a", "default")


async def test_nobody_listens(server: Server) -> None:
    config = server.config()
    await server.stop()
    async with Client(config) as client:
        with pytest.raises(NotSent):
            await client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, "default")


async def test_a_stranger_is_not_trusted(server: Server) -> None:
    other = CertificateAuthority.create("other")
    config = KubeConfig(server.config().server, other.cert_pem)
    async with Client(config) as client:
        with pytest.raises(NotSent):
            await client.get(CONFIGMAPS, "a", "default")
    assert server.seen == []


async def test_a_write_whose_connection_breaks_is_not_sent_again(server: Server) -> None:
    async def vanish(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()  # type: ignore[attr-defined]
        return web.Response()

    server.handler = vanish
    async with Client(server.config()) as client:
        with pytest.raises(ConnectionFailed) as failed:
            await client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, "default")
    assert not isinstance(failed.value, NotSent)
    assert len(server.seen) == 1


async def test_requests_share_connections(server: Server) -> None:
    async with Client(server.config()) as client:
        for _ in range(3):
            await client.get(CONFIGMAPS, "x", "default")
        assert len({request.transport for request in server.seen}) == 1
        await asyncio.gather(*(client.get(CONFIGMAPS, "x", "default") for _ in range(20)))
        used = [request.transport for request in server.seen]
    assert len(used) == 23
    assert len(set(used)) < 20, "those given back serve the ones that wait"


async def test_silence_ends_a_request(server: Server) -> None:
    async def sleep(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    server.handler = sleep
    async with Client(server.config()) as client:
        with pytest.raises(ConnectionFailed):
            await client.request("POST", "/api/v1/pods", body=b"{}", timeout_s=0.2)


def stream_of(*chunks: bytes, hold: bool = False) -> Handler:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if hold:
            await asyncio.sleep(60)
        return response

    return stream


async def read_all(server: Server, idle_timeout_s: float = 5.0) -> bytes:
    config = server.config()
    transport = HttpTransport(config.server, config.ssl_context(), TokenSource())
    try:
        async with transport.stream("GET", "/watch", {}, idle_timeout_s) as stream:
            return b"".join([chunk async for chunk in stream.chunks()])
    finally:
        await transport.close()


async def test_a_stream_is_read_to_its_end(server: Server) -> None:
    large = b"x" * 300_000
    server.handler = stream_of(b"one\n", large, b"\ntwo\n")
    assert await read_all(server) == b"one\n" + large + b"\ntwo\n"


async def test_a_silent_stream_is_given_up(server: Server) -> None:
    server.handler = stream_of(b"one\n", hold=True)
    with pytest.raises(ConnectionFailed):
        await read_all(server, idle_timeout_s=0.2)


async def test_a_watch_event_larger_than_a_read(server: Server) -> None:
    """And one that is cut in the middle by the chunking."""
    event = (
        b'{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"},"data":"' + b"y" * 200_000
    )
    server.handler = stream_of(
        event, b'"}}\n{"type":"BOOKM', b'ARK","object":{"metadata":{"resourceVersion":"9"}}}\n'
    )
    async with Client(server.config()) as client:
        events = client.watch(CONFIGMAPS)
        first, second = await anext(events), await anext(events)
        await events.aclose()
    assert (first.type, first.object["metadata"]["name"]) == ("ADDED", "a")
    assert (second.type, second.object["metadata"]["resourceVersion"]) == ("BOOKMARK", "9")


async def test_the_token_file_is_read_again(tmp_path: Path) -> None:
    path, now_s = tmp_path / "token", 0.0
    path.write_text("first\n")
    source = TokenSource(path=str(path), now=lambda: now_s)
    assert source.get() == "first"
    path.write_text("second\n")
    assert source.get() == "first"
    now_s = 61.0
    assert source.get() == "second"
    path.unlink()
    now_s = 200.0
    assert source.get() == "second"

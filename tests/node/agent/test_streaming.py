"""The kubelet API's streams over real connections: both transports, their versions, refusals, garbage."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError, web

from control_plane.client.streams import handshake
from control_plane.client.streams.duplex import SocketDuplex
from control_plane.client.streams.spdy.session import Session, Stream
from node.agent.streaming import over_websocket
from node.agent.streaming.server import StreamingServer
from node.runtime.interface import ContainerState, RuntimeError_, SandboxState, Streams

pytestmark = pytest.mark.timeout(30)
POD = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"containers": []}}


class Runtime:
    """`exec` echoes its input, then its command's last word as exit code."""

    async def list_pod_sandboxes(self) -> list[Any]:
        config = SimpleNamespace(uid="u")
        return [SimpleNamespace(id="s", config=config, state=SandboxState.READY, created_at_ns=1)]

    async def list_containers(self, sandbox_id: str) -> list[Any]:
        return [SimpleNamespace(id="c1", config=SimpleNamespace(name="c"), state=ContainerState.RUNNING)]

    async def exec(self, container_id: str, command: list[str], streams: Streams) -> int:
        if command[0] == "broken":
            raise RuntimeError_("no such program")
        if streams.sizes is not None:
            size = await anext(streams.sizes)
            assert streams.stdout is not None
            await streams.stdout.write(f"{size.width}x{size.height}".encode())
        if streams.stdin is not None:
            while data := await streams.stdin.read():
                assert streams.stdout is not None
                await streams.stdout.write(data)
        if streams.stderr is not None:
            await streams.stderr.write(b"done")
        return int(command[-1])

    async def attach(self, container_id: str, streams: Streams) -> None:
        await self.exec(container_id, ["0"], streams)


class Network:
    def __init__(self, port: int) -> None:
        self.port = port

    async def connect_pod(self, sandbox_id: str, port: int, timeout_s: float = 5.0) -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self.port if port == 80 else 1))
        except OSError:
            made.close()
            raise
        return made


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers when the client has half-closed."""
    writer.write((await reader.read()).upper())
    await writer.drain()
    writer.close()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    backend = await asyncio.start_server(upper, "127.0.0.1", 0)
    manager = SimpleNamespace(
        worker=lambda namespace, name: SimpleNamespace(pod=POD, uid="u") if name == "p" else None
    )
    network = Network(backend.sockets[0].getsockname()[1])
    app = web.Application()
    StreamingServer(manager, Runtime(), network).add_to(app)  # type: ignore[arg-type]
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
        backend.close()


@pytest.fixture
async def http(port: int) -> AsyncIterator[ClientSession]:
    async with ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session


EXEC = "/exec/ns/p/c?command=x&command=3&output=1&error=1"


async def messages(websocket: Any) -> list[bytes]:
    found = []
    async for message in websocket:
        found.append(message.data if isinstance(message.data, bytes) else message.data.encode())
    return found


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_exec_over_a_websocket(http: ClientSession, protocol: str) -> None:
    async with http.ws_connect(EXEC, protocols=[protocol]) as websocket:
        said = await messages(websocket)
    assert said[:2] == [b"\x01", b"\x02done"]
    status = json.loads(said[2][1:])
    assert said[2][0] == 3
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert websocket.close_code == 1000


async def test_v5_ends_the_input(http: ClientSession) -> None:
    async with http.ws_connect(EXEC + "&input=1", protocols=["v5.channel.k8s.io"]) as websocket:
        await websocket.send_bytes(b"\x00hello")
        await websocket.send_bytes(b"\xff\x00")
        said = await messages(websocket)
    assert b"\x01hello" in said


async def test_v5_says_nothing_before_the_client_does(
    http: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_websocket, "CLIENT_READY_TIMEOUT_S", 3600)
    async with http.ws_connect(EXEC, protocols=["v5.channel.k8s.io"]) as websocket:
        with pytest.raises(TimeoutError):
            await websocket.receive(timeout=0.2)
    async with http.ws_connect(EXEC, protocols=["v5.channel.k8s.io"]) as websocket:
        await websocket.send_bytes(b"\xff\x00")
        said = await messages(websocket)
    assert said[:2] == [b"\x01", b"\x02done"]


async def test_base64_and_an_error(http: ClientSession) -> None:
    path = "/exec/ns/p/c?command=broken&output=1"
    async with http.ws_connect(path, protocols=["v4.base64.channel.k8s.io"]) as websocket:
        said = await messages(websocket)
    assert said[0] == b"1"
    assert said[1].startswith(b"3")


async def test_a_terminal_s_size_over_a_websocket(http: ClientSession) -> None:
    path = "/exec/ns/p/c?command=0&output=1&error=1&tty=1"
    async with http.ws_connect(path, protocols=["v5.channel.k8s.io"]) as websocket:
        await websocket.send_bytes(b'\x04{"Width":100,"Height":40}\n')
        said = await messages(websocket)
    assert b"\x01100x40" in said
    assert json.loads(said[-1][1:])["status"] == "Success"


async def test_garbage_in_a_websocket_closes_it(http: ClientSession) -> None:
    async with http.ws_connect(EXEC + "&input=1", protocols=["v5.channel.k8s.io"]) as websocket:
        await websocket.receive()
        await websocket.send_bytes(b"\xff\x00\x00\x00")
        while (message := await websocket.receive()).type is WSMsgType.BINARY:
            pass
    assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
    assert websocket.close_code == 1002


async def spdy(port: int, path: str, *protocols: str) -> tuple[Session, asyncio.Task[None], bytes]:
    """A client's session, and the head of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    offers = "".join(f"X-Stream-Protocol-Version: {each}\r\n" for each in protocols)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n{offers}\r\n"
    writer.write(head.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    session = Session(SocketDuplex(reader, writer), is_server=False)
    task = asyncio.create_task(session.run())
    task.add_done_callback(lambda _: writer.close())
    return session, task, answer


async def read_all(stream: Stream) -> bytes:
    data = b""
    while piece := await stream.read():
        data += piece
    return data


async def test_exec_over_spdy(port: int) -> None:
    session, task, head = await spdy(port, EXEC + "&input=1", "v9.channel.k8s.io", "v4.channel.k8s.io")
    assert b"101 Switching Protocols" in head
    assert b"X-Stream-Protocol-Version: v4.channel.k8s.io" in head
    kinds = ("error", "stdin", "stdout", "stderr")
    streams = {kind: await session.open({"streamtype": kind}) for kind in kinds}
    await streams["stdin"].write(b"x" * 100_000)
    await streams["stdin"].end()
    assert await read_all(streams["stdout"]) == b"x" * 100_000
    assert await read_all(streams["stderr"]) == b"done"
    assert json.loads(await read_all(streams["error"]))["reason"] == "NonZeroExitCode"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_garbage_over_spdy_ends_the_connection(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {EXEC} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    writer.write(f"{head}X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\xff" * 1000)
    assert len(await reader.read()) < 100  # a GOAWAY, and the end
    writer.close()


async def test_port_forward_over_spdy(port: int) -> None:
    session, task, head = await spdy(port, "/portForward/ns/p", handshake.PORT_FORWARD)
    assert b"101 " in head
    for number, target in enumerate(("80", "81", "0", "x")):
        headers = {"requestid": str(number), "port": target}
        error = await session.open({"streamtype": "error", **headers})
        data = await session.open({"streamtype": "data", **headers})
        await data.write(b"shout")
        await data.end()
        said, problem = await read_all(data), await read_all(error)
        if target == "80":
            assert (said, problem) == (b"SHOUT", b"")
        else:
            assert said == b""
            assert (b"error forwarding port 81 to pod p_ns" if target == "81" else b"invalid port") in problem
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_port_forward_over_channels(http: ClientSession) -> None:
    path = "/portForward/ns/p?port=81"
    async with http.ws_connect(path, protocols=["v5.channel.k8s.io", "v4.channel.k8s.io"]) as websocket:
        assert websocket.protocol == "v4.channel.k8s.io"
        said = await messages(websocket)
    assert said[:2] == [b"\x00\x51\x00", b"\x01\x51\x00"]
    assert said[2].startswith(b"\x01error forwarding port 81")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        pytest.param("/exec/ns/gone/c?command=x&output=1", 404, "pod does not exist", id="no pod"),
        pytest.param("/exec/ns/p/other/c?command=x&output=1", 404, "pod does not exist", id="another uid"),
        pytest.param("/exec/ns/p/z?command=x&output=1", 500, 'container not found ("z")', id="no container"),
        pytest.param("/attach/ns/p/z?output=1", 500, "container z not found in pod p_ns", id="attach"),
        pytest.param("/exec/ns/p/c?output=1", 400, "no command given", id="no command"),
        pytest.param("/exec/ns/p/c?command=x", 400, "you must specify at least 1 of stdin", id="no stream"),
        pytest.param("/exec/ns/p/c?command=x&output=1", 400, "Upgrade request required", id="no upgrade"),
        pytest.param("/portForward/ns/p", 400, "Upgrade request required", id="no upgrade of port-forward"),
    ],
)
async def test_refused_before_the_upgrade(http: ClientSession, path: str, status: int, text: str) -> None:
    async with http.post(path) as answer:
        assert answer.status == status
        assert text in await answer.text()


async def test_unknown_protocols_are_refused(http: ClientSession, port: int) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await http.ws_connect(EXEC, protocols=["v9.channel.k8s.io"])
    assert refused.value.status == 403
    _, task, head = await spdy(port, EXEC, "v9.channel.k8s.io")
    assert b" 403 " in head
    await task

"""What goes through the proxy comes out unchanged, in both directions, whoever closes first."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from node.network.namespaces import bound_socket
from node.network.netns import finish_connect
from node.proxy import userspace_udp
from node.proxy.balancer import Balancer
from node.proxy.rules import Backend, Rule
from node.proxy.userspace import TcpListener
from node.proxy.userspace_udp import UdpListener
from tests.node.runtime.pods import eventually

HERE = "127.0.0.1"
REFUSING = Backend("127.0.0.1", 1)


async def connect(backend: Backend, kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.setblocking(False)
    return await finish_connect(made, backend.address, backend.port, "", 5)


def backend_of(server: asyncio.Server) -> Backend:
    return Backend(*server.sockets[0].getsockname())


class Proxy:
    """A listener, and a client's way to it."""

    def __init__(self, *backends: Backend, affinity_timeout_s: int = 0) -> None:
        rule = Rule("default/test:80", backends, affinity_timeout_s)
        self.balancer = Balancer(rule, asyncio.get_running_loop().time)
        self.listener = TcpListener(self.balancer, connect)
        self.port = 0

    async def start(self) -> Proxy:
        listening = bound_socket(HERE, 0, socket.SOCK_STREAM)
        self.port = listening.getsockname()[1]
        await self.listener.start(listening)
        return self

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HERE, self.port)

    async def ask(self) -> bytes:
        """Everything a server says to a client that says nothing more."""
        reader, writer = await self.open()
        writer.write_eof()
        data = await reader.read()
        writer.close()
        await writer.wait_closed()
        return data


@pytest.fixture
async def cleanup() -> AsyncIterator[Callable[[Proxy | asyncio.Server], None]]:
    things: list[Proxy | asyncio.Server] = []
    yield things.append
    for thing in things:
        if isinstance(thing, Proxy):
            await thing.listener.close()
            thing.listener.abort()
        else:
            thing.close()
    await asyncio.sleep(0)


async def says(word: bytes) -> asyncio.Server:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(word)
        writer.close()

    return await asyncio.start_server(handle, HERE, 0)


async def test_each_backend_in_turn(cleanup: Callable[[object], None]) -> None:
    servers = [await says(word) for word in (b"a", b"b", b"c")]
    proxy = await Proxy(*map(backend_of, servers)).start()
    for each in (proxy, *servers):
        cleanup(each)
    assert Counter([await proxy.ask() for _ in range(30)]) == {b"a": 10, b"b": 10, b"c": 10}


async def test_affinity(cleanup: Callable[[object], None]) -> None:
    servers = [await says(word) for word in (b"a", b"b")]
    proxy = await Proxy(*map(backend_of, servers), affinity_timeout_s=60).start()
    for each in (proxy, *servers):
        cleanup(each)
    assert len({await proxy.ask() for _ in range(10)}) == 1


async def test_a_refusing_backend_is_passed_over(cleanup: Callable[[object], None]) -> None:
    server = await says(b"a")
    proxy = await Proxy(REFUSING, backend_of(server)).start()
    cleanup(proxy)
    cleanup(server)
    assert {await proxy.ask() for _ in range(4)} == {b"a"}


async def test_the_client_is_reset_when_all_refuse(cleanup: Callable[[object], None]) -> None:
    proxy = await Proxy(REFUSING).start()
    cleanup(proxy)
    reader, writer = await proxy.open()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_much_data_both_ways_and_a_half_close(cleanup: Callable[[object], None]) -> None:
    """The client sends all, closes its half, and still gets the whole answer."""
    size = 8 * 1024 * 1024

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.read(-1)
        writer.write(received[::-1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, HERE, 0)
    proxy = await Proxy(backend_of(server)).start()
    cleanup(proxy)
    cleanup(server)
    reader, writer = await proxy.open()
    data = bytes(range(256)) * (size // 256)
    writer.write(data)
    writer.write_eof()
    assert await reader.read(-1) == data[::-1]
    writer.close()
    await writer.wait_closed()

    async def over() -> bool:
        return not proxy.listener.connections

    await eventually(over)


async def test_the_server_closes_first(cleanup: Callable[[object], None]) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    server = await asyncio.start_server(handle, HERE, 0)
    proxy = await Proxy(backend_of(server)).start()
    cleanup(proxy)
    cleanup(server)
    reader, writer = await proxy.open()
    assert await reader.read() == b"bye"
    writer.close()


async def test_a_slow_reader_holds_its_writer_back(cleanup: Callable[[object], None]) -> None:
    sent = 0
    stop = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while not stop.is_set():
            writer.write(b"x" * 65536)
            sent += 65536
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except TimeoutError:
                stop.set()
        writer.transport.abort()

    server = await asyncio.start_server(handle, HERE, 0)
    proxy = await Proxy(backend_of(server)).start()
    cleanup(proxy)
    cleanup(server)
    client = socket.create_connection((HERE, proxy.port))
    await asyncio.wait_for(stop.wait(), 20)
    assert sent < 64 * 1024 * 1024  # what buffers of sockets and of the proxy hold
    client.close()


async def test_open_connections_outlive_their_listener(cleanup: Callable[[object], None]) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(4))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, HERE, 0)
    proxy = await Proxy(backend_of(server)).start()
    cleanup(proxy)
    cleanup(server)
    reader, writer = await proxy.open()

    async def spliced() -> bool:
        return len(proxy.listener.connections) == 1

    await eventually(spliced)
    await proxy.listener.close()
    writer.write(b"ping")
    assert await reader.read() == b"ping"
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await proxy.open()


class Echo(asyncio.DatagramProtocol):
    """Answers a datagram with its name and the datagram."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:  # type: ignore[override]
        self.transport.sendto(self.name + data, address)


async def echo(name: bytes) -> tuple[asyncio.DatagramTransport, Backend]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Echo(name), local_addr=(HERE, 0))
    return transport, Backend(*transport.get_extra_info("sockname"))


async def test_udp_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(userspace_udp, "MAX_FLOWS", 4)
    loop = asyncio.get_running_loop()
    (one, first), (two, second) = await echo(b"1"), await echo(b"2")
    balancer = Balancer(Rule("default/dns:53", (first, second)), loop.time)
    listener = UdpListener(balancer, connect)
    bound = bound_socket(HERE, 0, socket.SOCK_DGRAM)
    port = bound.getsockname()[1]
    await listener.start(bound)

    def client() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.connect((HERE, port))
        return made

    async def ask(made: socket.socket) -> bytes:
        made.send(b"?")
        return await asyncio.wait_for(loop.sock_recv(made, 100), 5)

    clients = [client() for _ in range(4)]
    answers = [await ask(each) for each in clients]
    assert Counter(answers) == {b"1?": 2, b"2?": 2}
    assert [await ask(each) for each in clients] == answers  # a flow keeps its backend

    balancer.update(Rule("default/dns:53", (second,)))
    assert {await ask(each) for each in clients} == {b"2?"}  # a removed backend gets nothing more
    late = client()
    assert await ask(late) == b"2?"
    assert len(listener._flows) == 4  # bounded: the one silent longest made room
    for each in (*clients, late):
        each.close()
    listener.abort()
    one.close()
    two.close()
    await asyncio.sleep(0.01)

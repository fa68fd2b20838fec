"""From objects to connections: the proxy follows Services and EndpointSlices, on the loopback network."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.client.gvr import ENDPOINT_SLICES, SERVICES
from control_plane.client.informer import InformerFactory
from node.network.loopback import LoopbackNetwork
from node.proxy.service_proxy import ServiceProxy
from tests.control_plane.fakeapi import FakeApi
from tests.node.runtime.pods import eventually

PORT = 18080
NETWORK = (
    f"127.{random.randrange(65, 240)}.{random.randrange(1, 250)}"  # suites beside this one have their own
)
CLUSTER_IP = f"{NETWORK}.5"
NODE_1, NODE_2 = f"{NETWORK}.11", f"{NETWORK}.12"
POD_1, POD_2 = f"{NETWORK}.102", f"{NETWORK}.103"


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"port": PORT, "protocol": "TCP"}]
    return {
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {"type": "ClusterIP", "clusterIP": CLUSTER_IP, "ports": ports, **spec},
    }


def slice_of(name: str, port: int, *addresses: str) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": "web"}
    return {
        "metadata": {"namespace": "default", "name": name, "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


class World:
    def __init__(self, tmp_path: Path) -> None:
        self.api = FakeApi()
        self.root = tmp_path
        self.proxies: list[ServiceProxy] = []
        self.factories: list[InformerFactory] = []
        self.servers: list[asyncio.Server] = []
        self.port = 0

    async def start_proxy(self, node: str, node_ip: str) -> ServiceProxy:
        network = LoopbackNetwork(self.root / node, node, node_ip, "10.244.1.0/24")
        await network.start()
        factory = InformerFactory(self.api.client())
        proxy = ServiceProxy(factory, network, node, "10.96.0.0/16", self.root / "host.lock")
        await proxy.start()
        await factory.start()
        self.proxies.append(proxy)
        self.factories.append(factory)
        return proxy

    async def backend(self, address: str) -> None:
        """Answers with its address; all backends use one port."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(address.encode())
            writer.close()

        server = await asyncio.start_server(handle, address, self.port)
        self.port = server.sockets[0].getsockname()[1]
        self.servers.append(server)

    async def close(self) -> None:
        for proxy in self.proxies:
            await proxy.stop()
        for factory in self.factories:
            await factory.stop()
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)


async def ask(address: str, port: int) -> str:
    """Empty when nobody listens."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return ""
    try:
        return (await reader.read()).decode()
    except ConnectionResetError:
        return ""
    finally:
        writer.close()


async def answers(address: str, port: int, expected: set[str]) -> None:
    async def seen() -> bool:
        return {await ask(address, port) for _ in range(6)} == expected

    await eventually(seen)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.backend(POD_1)
    await made.backend(POD_2)
    yield made
    await made.close()


async def test_a_service_from_birth_to_end(world: World) -> None:
    await world.start_proxy("node-1", NODE_1)
    world.api.create(SERVICES, service())
    assert await ask(CLUSTER_IP, PORT) == ""
    world.api.create(ENDPOINT_SLICES, slice_of("web-1", world.port, POD_1, POD_2))
    await answers(CLUSTER_IP, PORT, {POD_1, POD_2})
    seen = Counter([await ask(CLUSTER_IP, PORT) for _ in range(20)])
    assert seen == {POD_1: 10, POD_2: 10}

    client = world.api.client()
    reduced = slice_of("web-1", world.port, POD_2)
    current = await client.get(ENDPOINT_SLICES, "web-1", "default")
    await client.update(ENDPOINT_SLICES, current | {"endpoints": reduced["endpoints"]})
    await answers(CLUSTER_IP, PORT, {POD_2})
    await client.delete(ENDPOINT_SLICES, "web-1", "default")
    await answers(CLUSTER_IP, PORT, {""})
    await client.delete(SERVICES, "web", "default")


async def test_node_ports_on_the_host_change_hands(world: World) -> None:
    """Two agents share the machine; when the owner of the host's ports ends, the other serves them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        node_port = probe.getsockname()[1]
    first = await world.start_proxy("node-1", NODE_1)
    second = await world.start_proxy("node-2", NODE_2)
    world.api.create(SERVICES, service(type="NodePort", ports=[{"port": PORT, "nodePort": node_port}]))
    world.api.create(ENDPOINT_SLICES, slice_of("web-1", world.port, POD_1))
    for address in (NODE_1, NODE_2, "127.0.0.1"):
        await answers(address, node_port, {POD_1})
    owner = first if any(listener.on_host for listener in first.listeners()) else second
    await owner.stop()
    world.proxies.remove(owner)
    await answers("127.0.0.1", node_port, {POD_1})


async def test_a_taken_port_is_tried_again(world: World) -> None:
    taken = await asyncio.start_server(lambda _, writer: writer.close(), CLUSTER_IP, PORT, reuse_port=False)
    proxy = await world.start_proxy("node-1", NODE_1)
    world.api.create(SERVICES, service())
    world.api.create(ENDPOINT_SLICES, slice_of("web-1", world.port, POD_1))

    async def failed() -> bool:
        return bool(proxy.failures())

    await eventually(failed)
    taken.close()
    await answers(CLUSTER_IP, PORT, {POD_1})
    assert not proxy.failures()

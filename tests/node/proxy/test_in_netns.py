"""The whole of it: pods of two nodes reach a service by its cluster address and name server port, in namespaces."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from control_plane.client.gvr import ENDPOINT_SLICES, SERVICES
from control_plane.client.informer import InformerFactory
from node.network.fabric import Fabric
from node.network.namespaces import run_in, socket_in
from node.network.netns import NetnsNetwork
from node.proxy.service_proxy import ServiceProxy
from tests.control_plane.fakeapi import FakeApi
from tests.node.runtime.pods import eventually


class Node:
    def __init__(self, fabric: Fabric, api: FakeApi, number: int) -> None:
        self.network = NetnsNetwork(
            fabric.directory, f"node-{number}", fabric.node_address(number), f"10.244.{number}.0/24"
        )
        self.informers = InformerFactory(api.client())
        lock = fabric.directory / "host.lock"
        self.proxy = ServiceProxy(self.informers, self.network, f"node-{number}", "10.96.0.0/16", lock)

    async def start(self) -> None:
        await self.network.start()
        await self.proxy.start()
        await self.informers.start()

    async def stop(self) -> None:
        await self.proxy.stop()
        await self.informers.stop()


@pytest.fixture
async def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def nodes(fabric: Fabric, api: FakeApi) -> AsyncIterator[list[Node]]:
    made = [Node(fabric, api, number) for number in (1, 2)]
    for node in made:
        await node.start()
    yield made
    for node in made:
        await node.stop()


def publish(api: FakeApi, backend: str) -> None:
    ports: list[dict[str, Any]] = [
        {"name": "web", "port": 80, "nodePort": 30199, "protocol": "TCP"},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    ]
    spec = {"type": "NodePort", "clusterIP": "10.96.0.5", "ports": ports}
    api.create(SERVICES, {"metadata": {"namespace": "default", "name": "web"}, "spec": spec})
    slice_ports = [
        {"name": "web", "port": 8080, "protocol": "TCP"},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    ]
    metadata = {"namespace": "default", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}}
    endpoints = [{"addresses": [backend], "conditions": {"ready": True}}]
    api.create(
        ENDPOINT_SLICES,
        {"metadata": metadata, "addressType": "IPv4", "ports": slice_ports, "endpoints": endpoints},
    )


def ask_tcp(address: str, port: int) -> bytes:
    try:
        with socket.create_connection((address, port), timeout=5) as connection:
            return connection.recv(100)
    except OSError:
        return b""


def ask_udp(address: str, port: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect((address, port))
        try:
            client.send(b"?")
            return client.recv(100)
        except OSError:
            return b""


async def test_services_from_pods_nodes_and_the_host(fabric: Fabric, api: FakeApi, nodes: list[Node]) -> None:
    loop = asyncio.get_running_loop()
    target = await nodes[0].network.setup_pod("target")
    client = await nodes[1].network.setup_pod("client")

    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    web = await asyncio.start_server(
        hello, sock=socket_in(target.netns_path or "", "0.0.0.0", 8080, socket.SOCK_STREAM)
    )
    dns = socket_in(target.netns_path or "", "0.0.0.0", 53, socket.SOCK_DGRAM)
    loop.add_reader(dns, lambda: dns.sendto(b"answer", dns.recvfrom(100)[1]))
    publish(api, target.ips[0])

    async def answered(path: str | None, ask: Any, address: str, port: int, expected: bytes) -> None:
        async def right() -> bool:
            def work() -> bytes:
                return run_in(path, lambda: ask(address, port)) if path else ask(address, port)

            return await loop.run_in_executor(None, work) == expected

        await eventually(right)

    for path in (target.netns_path, client.netns_path, nodes[0].network.host_netns_path):
        await answered(path, ask_tcp, "10.96.0.5", 80, b"hello")
        await answered(path, ask_udp, "10.96.0.5", 53, b"answer")
        await answered(path, ask_tcp, nodes[1].network.node_ip, 30199, b"hello")
    await answered(None, ask_tcp, "127.0.0.1", 30199, b"hello")

    assert (
        await loop.run_in_executor(None, run_in, client.netns_path, lambda: ask_tcp("10.96.0.6", 80)) == b""
    )
    loop.remove_reader(dns)
    dns.close()
    web.close()

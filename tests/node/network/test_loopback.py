"""The fallback that needs nothing."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from node.network.loopback import LoopbackNetwork, to_loopback, to_loopback_range


@pytest.fixture
async def network(tmp_path: Path) -> LoopbackNetwork:
    made = LoopbackNetwork(tmp_path, "node-1", "", "10.244.7.0/24")
    await made.start()
    return made


async def test_each_pod_has_its_own_address(network: LoopbackNetwork, tmp_path: Path) -> None:
    pods = [await network.setup_pod(name) for name in "ab"]
    assert [pod.ips for pod in pods] == [("127.244.7.2",), ("127.244.7.3",)]
    again = LoopbackNetwork(tmp_path, "node-1", "", "10.244.7.0/24")
    await again.start()
    assert await again.allocated() == {"a": pods[0], "b": pods[1]}
    await again.teardown_pod("a")
    assert (await again.setup_pod("c")).ips == ("127.244.7.4",)


async def test_sockets(network: LoopbackNetwork) -> None:
    listening = await network.listen("10.244.7.9", 0, socket.SOCK_STREAM)
    address, port = listening.getsockname()
    assert address == "127.244.7.9"
    connected = await network.connect("10.244.7.9", port, socket.SOCK_STREAM, source="127.244.7.5")
    accepted, peer = await asyncio.get_running_loop().sock_accept(listening)
    assert peer[0] == "127.244.7.5"
    for each in (listening, connected, accepted):
        each.close()


async def test_nodes_share_what_both_listen_on(network: LoopbackNetwork) -> None:
    first = await network.listen("10.96.0.1", 0, socket.SOCK_STREAM)
    second = await network.listen("10.96.0.1", first.getsockname()[1], socket.SOCK_STREAM)
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("address", "mapped"),
    [("10.96.0.1", "127.96.0.1"), ("127.0.0.5", "127.0.0.5"), ("0.0.0.0", "0.0.0.0")],
)
def test_mapping(address: str, mapped: str) -> None:
    assert to_loopback(address) == mapped
    assert to_loopback_range("10.244.1.0/24") == "127.244.1.0/24"

"""Nodes and pods in namespaces: addresses and ports of their own, reachable from each other, gone at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from node.network import fabric as fabrics
from node.network.errors import HolderGone
from node.network.fabric import Fabric
from node.network.namespaces import HolderClient, run_in, socket_in
from node.network.netns import NetnsNetwork
from tests.node.runtime.pods import eventually, is_alive

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def nodes(fabric: Fabric) -> list[NetnsNetwork]:
    made = [
        NetnsNetwork(fabric.directory, f"node-{number}", fabric.node_address(number), f"10.244.{number}.0/24")
        for number in (1, 2)
    ]
    for node in made:
        await node.start()
    return made


def ask(namespace: str, address: str, port: int) -> tuple[str, str]:
    """(answer, our address) of a connection from inside a namespace."""

    def work() -> tuple[str, str]:
        with socket.create_connection((address, port), timeout=5) as connection:
            return connection.recv(100).decode(), connection.getsockname()[0]

    return run_in(namespace, work)


async def serve(namespace: str, port: int, answer: bytes) -> asyncio.Server:
    """Answers everyone who connects, in a pod that binds 0.0.0.0."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(handle, sock=socket_in(namespace, "0.0.0.0", port, socket.SOCK_STREAM))


async def test_pods_of_two_nodes_reach_each_other_on_the_same_low_port(nodes: list[NetnsNetwork]) -> None:
    pods = [await node.setup_pod(f"pod-{number}") for number, node in enumerate(nodes)]
    assert [pod.ips for pod in pods] == [("10.244.1.2",), ("10.244.2.2",)]
    paths = [pod.netns_path or "" for pod in pods]
    servers = [await serve(path, 80, f"pod {number}".encode()) for number, path in enumerate(paths)]
    loop = asyncio.get_running_loop()
    for client in (0, 1):
        for target in (0, 1):
            reply = loop.run_in_executor(None, ask, paths[client], pods[target].ips[0], 80)
            answer, source = await reply
            assert answer == f"pod {target}"
            assert source == pods[client].ips[0]
    for server in servers:
        server.close()


async def test_pods_of_one_node_reach_each_other_and_themselves(nodes: list[NetnsNetwork]) -> None:
    one, two = [await nodes[0].setup_pod(name) for name in ("one", "two")]
    server = await serve(one.netns_path or "", 53, b"dns")
    loop = asyncio.get_running_loop()
    for path, address in ((two, one.ips[0]), (one, one.ips[0]), (one, "127.0.0.1")):
        assert (await loop.run_in_executor(None, ask, path.netns_path or "", address, 53))[0] == "dns"
    server.close()


async def test_the_nodes_sockets(fabric: Fabric, nodes: list[NetnsNetwork]) -> None:
    """What the agent listens on is reached from every side, and it reaches every pod."""
    await nodes[0].accept_local("10.96.0.0/16")
    listening = await nodes[0].listen("10.96.0.10", 443, socket.SOCK_STREAM)
    pod = await nodes[0].setup_pod("pod")
    connected = await nodes[0].connect("10.96.0.10", 443, socket.SOCK_STREAM)
    connected.close()
    server = await serve(pod.netns_path or "", 80, b"pod")
    connected = await nodes[1].connect(pod.ips[0], 80, socket.SOCK_STREAM)
    assert await asyncio.get_running_loop().sock_recv(connected, 10) == b"pod"
    with pytest.raises(ConnectionRefusedError):
        await nodes[0].connect(pod.ips[0], 81, socket.SOCK_STREAM)
    for each in (listening, connected, server):
        each.close()


async def test_a_door_on_the_fabric(fabric: Fabric, nodes: list[NetnsNetwork]) -> None:
    pod = await nodes[1].setup_pod("pod")
    with fabric.listen(fabric.address, 6443) as door:
        loop = asyncio.get_running_loop()

        def knock() -> str:
            with socket.create_connection((fabric.address, 6443), timeout=5) as connection:
                return str(connection.getsockname()[0])

        source = loop.run_in_executor(None, run_in, pod.netns_path or "", knock)
        connection, peer = await loop.sock_accept(door)
        connection.close()
        assert await source == peer[0] == pod.ips[0]


async def test_a_new_agent_finds_its_pods(fabric: Fabric, nodes: list[NetnsNetwork]) -> None:
    before = {name: await nodes[0].setup_pod(name) for name in ("a", "b")}
    again = NetnsNetwork(fabric.directory, "node-1", nodes[0].node_ip, nodes[0].pod_cidr)
    await again.start()
    assert await again.allocated() == before
    assert await again.setup_pod("a") == before["a"]
    assert (await again.setup_pod("c")).ips == ("10.244.1.4",)
    await again.teardown_pod("a")
    await again.teardown_pod("a")
    assert set(await again.allocated()) == {"b", "c"}


async def test_a_torn_down_pod_is_gone(fabric: Fabric, nodes: list[NetnsNetwork]) -> None:
    pod = await nodes[0].setup_pod("pod")
    await nodes[0].teardown_pod("pod")
    assert not Path(pod.netns_path or "").exists()
    assert HolderClient(fabric.directory).list("pod/") == {}


async def test_two_clusters_do_not_meet(fabric: Fabric, nodes: list[NetnsNetwork], tmp_path: Path) -> None:
    other = Fabric.create(tmp_path / "other")
    try:
        assert other.address == fabric.address
        node = NetnsNetwork(other.directory, "node-1", other.node_address(1), "10.244.1.0/24")
        await node.start()
        pod, twin = await nodes[0].setup_pod("pod"), await node.setup_pod("pod")
        assert pod.ips == twin.ips
        server = await serve(pod.netns_path or "", 80, b"first")
        with pytest.raises(ConnectionRefusedError):
            await node.connect(twin.ips[0], 80, socket.SOCK_STREAM)
        server.close()
    finally:
        other.destroy()
    assert is_alive(HolderClient(fabric.directory).pid)


async def test_everything_ends_with_the_holder(fabric: Fabric, nodes: list[NetnsNetwork]) -> None:
    pid = HolderClient(fabric.directory).pid
    os.kill(pid, signal.SIGKILL)

    async def gone() -> bool:
        return not is_alive(pid)

    await eventually(gone)
    with pytest.raises(HolderGone):
        Fabric.attach(fabric.directory)
    assert Fabric.create(fabric.directory).address == fabric.address


def test_attach_finds_what_create_made(fabric: Fabric) -> None:
    assert Fabric.attach(fabric.directory).path == fabric.path
    assert Fabric.create(fabric.directory).path == fabric.path


def test_the_holder_dies_with_its_parent(fabric: Fabric, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from node.network.fabric import Fabric\n"
        f"fabric = Fabric.create(Path({str(tmp_path / 'lost')!r}))\n"
        "from node.network.namespaces import HolderClient\n"
        "print(HolderClient(fabric.directory).pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    for _ in range(500):
        if not is_alive(pid):
            return
        run_in(fabric.path, lambda: None)
    raise AssertionError("the holder lives on")


def test_nothing_of_the_host_changes(tmp_path: Path, fabric: Fabric) -> None:
    def look() -> tuple[str, ...]:
        files = ("/proc/self/mountinfo", "/proc/net/dev", "/proc/net/route", "/proc/sys/net/ipv4/ip_forward")
        names = [line.split(":")[0] for line in Path("/proc/net/dev").read_text().splitlines()]
        return (*names, *(Path(file).read_text() for file in files if not file.endswith("dev")))

    before = look()
    other = Fabric.create(tmp_path / "other")
    assert look() == before
    other.destroy()
    assert look() == before


def test_another_event_loop_policy_does_no_harm(tmp_path: Path, fabric: Fabric) -> None:
    """uvloop's loop cannot open netlink sockets."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        Fabric.create(tmp_path / "other").destroy()
    finally:
        asyncio.set_event_loop_policy(before)


def test_capabilities_say_why() -> None:
    found = fabrics.capabilities()
    assert found.netns or found.reasons
    if os.geteuid() == 0:
        assert found.mode in (fabrics.Mode.ROOT, fabrics.Mode.NONE)

"""Runtime and network together: pods with addresses of their own, and an end that leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.network.fabric import Fabric
from node.network.namespaces import HolderClient
from node.network.netns import NetnsNetwork
from node.runtime.interface import CreateError
from node.runtime.process.runtime import ProcessRuntime
from tests.node.runtime.pods import Pods, eventually, is_alive


@pytest.fixture
async def netns_pods(fabric: Fabric, tmp_path: Path) -> AsyncIterator[Pods]:
    network = NetnsNetwork(fabric.directory, "node-1", fabric.node_address(1), "10.244.1.0/24")
    await network.start()
    runtime = ProcessRuntime(tmp_path / "runtime", network)
    await runtime.start()
    yield Pods(runtime, tmp_path / "logs")
    for sandbox in await runtime.list_pod_sandboxes():
        await runtime.remove_pod_sandbox(sandbox.id)
    await runtime.close()


async def test_a_pod_has_its_address_and_all_ports(netns_pods: Pods) -> None:
    python = "/usr/bin/python3"
    if not Path(python).exists():
        pytest.skip(f"there is no {python} here")
    runtime = netns_pods.runtime
    servers = []
    for _ in range(2):
        sandbox = await netns_pods.sandbox()
        servers.append((await runtime.pod_sandbox_status(sandbox)).ips[0])
        await netns_pods.start("", sandbox, command=[python, "-m", "http.server", "80"])
    client = await netns_pods.start("sleep 60")
    for address in servers:
        fetch = f"import urllib.request as r; print(r.urlopen('http://{address}/').status)"

        async def served(fetch: str = fetch) -> bool:
            return (await runtime.exec_sync(client, [python, "-c", fetch], 10)).stdout == b"200\n"

        await eventually(served)


async def test_a_host_network_pod_is_in_the_nodes_network(netns_pods: Pods) -> None:
    sandbox = await netns_pods.sandbox(host_network=True)
    assert (await netns_pods.runtime.pod_sandbox_status(sandbox)).ips == ()
    text = await netns_pods.output("cat /proc/net/dev /proc/net/route", sandbox)
    assert "cni0" in text


async def test_pods_end_with_the_network(netns_pods: Pods, fabric: Fabric) -> None:
    runtime = netns_pods.runtime
    sandbox = await netns_pods.sandbox()
    container = await netns_pods.start("sleep 60", sandbox)
    pid = (await runtime.container_status(container)).pid
    os.kill(HolderClient(fabric.directory).pid, signal.SIGKILL)

    async def ended() -> bool:
        return not is_alive(pid) and (await runtime.pod_sandbox_status(sandbox)).state == "notready"

    await eventually(ended)
    assert (await runtime.container_status(container)).exit_code == 137


async def test_what_an_agent_left_half_made_is_removed(
    netns_pods: Pods, fabric: Fabric, tmp_path: Path
) -> None:
    network = NetnsNetwork(fabric.directory, "node-1", fabric.node_address(1), "10.244.1.0/24")
    await network.start()
    await network.setup_pod("orphan")
    runtime = ProcessRuntime(tmp_path / "runtime", network)
    await runtime.start()
    assert await network.allocated() == {}
    await runtime.close()


async def test_a_sandbox_without_an_address_is_a_create_error(fabric: Fabric, tmp_path: Path) -> None:
    network = NetnsNetwork(fabric.directory, "small", fabric.node_address(2), "10.244.2.0/30")
    await network.start()
    runtime = ProcessRuntime(tmp_path / "small", network)
    await runtime.start()
    pods = Pods(runtime, tmp_path / "logs")
    first = await pods.sandbox()
    with pytest.raises(CreateError, match="no address is left"):
        await pods.sandbox()
    assert [each.id for each in await runtime.list_pod_sandboxes()] == [first]
    await runtime.remove_pod_sandbox(first)
    await pods.sandbox()
    await runtime.remove_pod_sandbox(pods.sandboxes[-1])
    await runtime.close()

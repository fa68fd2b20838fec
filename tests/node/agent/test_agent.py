"""The whole agent against an API and a runtime in memory, and its kubelet API over TLS."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from certs import tls
from certs.ca import CertificateAuthority, KeyPair
from control_plane.client import gvr
from node.agent.agent import Agent, Options
from node.agent.node_object import Settings
from node.runtime.interface import ContainerState
from tests.control_plane.fakeapi import FakeApi
from tests.node.agent.conftest import eventually, make_pod
from tests.node.agent.doubles import FakeRuntime, HostNetwork

Obj = dict[str, Any]


@dataclass
class Certificates:
    ca: CertificateAuthority
    directory: Path

    def server(self) -> ssl.SSLContext:
        certificate, key = self._write("server", self.ca.issue_server("node-1", ["127.0.0.1"]))
        return tls.server_context(certificate, key, self._ca_file())

    def client(self, name: str, *groups: str) -> ssl.SSLContext:
        certificate, key = self._write("client", self.ca.issue_client(name, groups))
        return tls.client_context(self._ca_file(), certificate, key)

    def _ca_file(self) -> Path:
        self.ca.write(self.directory / "ca.crt", self.directory / "ca.key")
        return self.directory / "ca.crt"

    def _write(self, stem: str, pair: KeyPair) -> tuple[Path, Path]:
        paths = self.directory / f"{stem}.crt", self.directory / f"{stem}.key"
        pair.write(*paths)
        return paths


class Node:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.api = FakeApi()
        self.runtime = FakeRuntime()
        self.certificates = Certificates(CertificateAuthority.create("ca"), root)
        self.port = 0
        self.agent: Agent | None = None
        self._client: Any = None

    async def start(self) -> None:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        settings = Settings("node-1", "172.30.0.11", "10.244.1.0/24", self.port, runtime_version="fake://1")
        self._client = self.api.client("agent")
        options = Options(settings, self.root, proxy=False)
        self.agent = Agent(options, self._client, self.runtime, HostNetwork())  # type: ignore[arg-type]
        await self.agent.start(sock, self.certificates.server())

    async def stop(self) -> None:
        if self.agent is not None:
            await self.agent.stop()
            await self._client.close()
            self.agent = None

    def pod(self, name: str) -> Obj:
        return self.api.get(gvr.PODS, name, "default") or {}

    def phase(self, name: str) -> str:
        return str((self.pod(name).get("status") or {}).get("phase"))

    async def get(self, path: str, who: ssl.SSLContext) -> tuple[int, str]:
        connector = aiohttp.TCPConnector(ssl=who)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"https://127.0.0.1:{self.port}{path}") as answer,
        ):
            return answer.status, await answer.text()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(tmp_path)
    await made.start()
    yield made
    await made.stop()


def wanted(name: str = "web", **spec: Any) -> Obj:
    pod = make_pod(name, **spec)
    del pod["metadata"]["uid"]
    return pod


async def test_the_node_is_registered_ready_with_a_lease(node: Node) -> None:
    found = node.api.get(gvr.NODES, "node-1") or {}
    conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert conditions == {
        "Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False",
    }  # fmt: skip
    assert found["spec"]["podCIDR"] == "10.244.1.0/24"
    assert found["metadata"]["labels"]["kubernetes.io/hostname"] == "node-1"
    assert {"type": "InternalIP", "address": "172.30.0.11"} in found["status"]["addresses"]
    lease = await eventually(lambda: node.api.get(gvr.LEASES, "node-1", "kube-node-lease"))
    assert lease["spec"]["holderIdentity"] == "node-1"
    assert lease["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]


async def test_a_pod_runs_and_is_deleted(node: Node) -> None:
    node.api.create(gvr.PODS, wanted())
    await eventually(lambda: node.phase("web") == "Running")
    client = node.api.client("user")
    await client.delete(gvr.PODS, "web", "default")
    await eventually(lambda: not node.pod("web"))
    await eventually(lambda: not node.runtime.sandboxes)
    assert not list((node.root / "pods").iterdir())
    await client.close()


async def test_a_pod_that_disappears_is_stopped(node: Node) -> None:
    node.api.create(gvr.PODS, wanted())
    await eventually(lambda: node.phase("web") == "Running")
    node.api.delete(gvr.PODS, "web", "default")
    await eventually(lambda: not node.runtime.sandboxes)


async def test_a_pod_the_node_cannot_take_fails(node: Node) -> None:
    resources = {"requests": {"cpu": "1000"}}
    node.api.create(gvr.PODS, wanted(containers=[{"name": "main", "resources": resources}]))
    await eventually(lambda: node.phase("web") == "Failed")
    assert node.pod("web")["status"]["reason"] == "OutOfcpu"


async def test_an_agent_that_starts_again_takes_over_and_removes_what_is_gone(node: Node) -> None:
    node.api.create(gvr.PODS, wanted("stays"))
    node.api.create(gvr.PODS, wanted("goes"))
    await eventually(lambda: node.phase("stays") == node.phase("goes") == "Running")
    before = {each.id for each in node.runtime.containers.values() if each.config.labels[POD_NAME] == "stays"}
    await node.stop()
    assert all(each.state is ContainerState.RUNNING for each in node.runtime.containers.values())
    node.api.delete(gvr.PODS, "goes", "default")
    await node.start()
    await eventually(lambda: len(node.runtime.sandboxes) == 1)
    assert set(node.runtime.containers) == before
    assert node.pod("stays")["status"]["containerStatuses"][0]["restartCount"] == 0


POD_NAME = "io.kubernetes.pod.name"


async def test_a_secret_that_comes_later_lets_the_pod_start(node: Node) -> None:
    volume = {"name": "v", "secret": {"secretName": "keys"}}
    container = {"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    node.api.create(gvr.PODS, wanted(containers=[container], volumes=[volume]))
    await eventually(lambda: [each for each in node.api.list(gvr.EVENTS) if each["reason"] == "FailedMount"])
    data = {"password": base64.b64encode(b"x").decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "default"}}
    node.api.create(gvr.SECRETS, {**secret, "data": data})
    await eventually(lambda: node.phase("web") == "Running", timeout_s=10)


@pytest.mark.parametrize(
    ("name", "groups", "path", "status"),
    [
        pytest.param("kube-apiserver-kubelet-client", (), "/pods", 200, id="the apiserver"),
        pytest.param("admin", ("system:masters",), "/pods", 200, id="an administrator"),
        pytest.param("somebody", ("system:nodes",), "/pods", 403, id="somebody else"),
        pytest.param("somebody", (), "/healthz", 200, id="health is for everybody"),
        pytest.param("somebody", ("system:nodes",), "/exec/default/web/main", 403, id="exec is for few"),
        pytest.param(
            "admin",
            ("system:masters",),
            "/exec/default/none/main?command=ls&output=1",
            404,
            id="exec of no pod",
        ),
        pytest.param("admin", ("system:masters",), "/metrics", 200, id="metrics"),
        pytest.param("admin", ("system:masters",), "/stats/summary", 200, id="summary"),
        pytest.param("admin", ("system:masters",), "/containerLogs/default/none/main", 404, id="no such pod"),
    ],
)
async def test_who_may_ask_what(
    node: Node, name: str, groups: tuple[str, ...], path: str, status: int
) -> None:
    assert (await node.get(path, node.certificates.client(name, *groups)))[0] == status


async def test_nobody_comes_in_without_a_certificate(node: Node) -> None:
    anonymous = tls.client_context(node.root / "ca.crt")
    with pytest.raises((aiohttp.ClientError, ssl.SSLError, OSError)):
        await node.get("/healthz", anonymous)

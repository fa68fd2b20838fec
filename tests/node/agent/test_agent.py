"""The whole agent against an API and a runtime in memory, and its kubelet API over TLS."""

from __future__ import annotations

import base64
import ssl
from typing import Any

import aiohttp
import pytest

from certs import tls
from control_plane.client import gvr
from node.runtime.interface import ContainerState
from tests.node.agent.conftest import eventually
from tests.node.agent.whole_agent import Node, wanted

Obj = dict[str, Any]


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

"""Static pods: they run by their files, and the API shows their mirrors."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.client import gvr
from node.agent import static_pods
from node.agent.agent import Agent, Options
from node.agent.node_object import Settings
from node.agent.static_pods import decode
from tests.node.agent.conftest import eventually
from tests.node.agent.doubles import HostNetwork
from tests.node.agent.test_agent import Node

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: proxy, namespace: kube-system}
spec:
  containers: [{name: main, image: busybox, command: [run]}]
"""


class StaticNode(Node):
    async def start(self) -> None:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        manifests = self.root / "manifests"
        manifests.mkdir(exist_ok=True)
        self._client = self.api.client("agent")
        options = Options(Settings("node-1", "172.30.0.11"), self.root, proxy=False, manifests=manifests)
        self.agent = Agent(options, self._client, self.runtime, HostNetwork())  # type: ignore[arg-type]
        await self.agent.start(sock, self.certificates.server())


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StaticNode]:
    monkeypatch.setattr(static_pods, "CHECK_S", 0.02)
    made = StaticNode(tmp_path)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "proxy.yaml").write_text(MANIFEST)
    (tmp_path / "manifests" / "broken.yaml").write_text("{")
    await made.start()
    yield made
    await made.stop()


async def test_a_manifest_runs_and_its_mirror_shows_it(node: StaticNode) -> None:
    def mirror() -> dict[str, object]:
        return node.api.get(gvr.PODS, "proxy-node-1", "kube-system") or {}

    await eventually(lambda: (mirror().get("status") or {}).get("phase") == "Running")  # type: ignore[attr-defined]
    before = mirror()["metadata"]["uid"]  # type: ignore[index]
    node.api.delete(gvr.PODS, "proxy-node-1", "kube-system")
    await eventually(lambda: mirror() and mirror()["metadata"]["uid"] != before)  # type: ignore[index]
    await eventually(lambda: (mirror().get("status") or {}).get("phase") == "Running")  # type: ignore[attr-defined]
    assert [what for what, _ in node.runtime.calls] == ["start"], "deleting a mirror does not touch its pod"


async def test_a_restarted_agent_finds_its_static_pods(node: StaticNode) -> None:
    await eventually(lambda: node.runtime.running("main"))
    await node.stop()
    await node.start()
    await eventually(lambda: node.api.get(gvr.PODS, "proxy-node-1", "kube-system"))
    assert [what for what, _ in node.runtime.calls] == ["start"]


async def test_a_removed_manifest_ends_its_pod(node: StaticNode) -> None:
    await eventually(lambda: node.api.get(gvr.PODS, "proxy-node-1", "kube-system"))
    (node.root / "manifests" / "proxy.yaml").unlink()
    await eventually(lambda: not node.runtime.sandboxes)
    await eventually(lambda: node.api.get(gvr.PODS, "proxy-node-1", "kube-system") is None)


def test_an_edited_manifest_is_another_pod() -> None:
    document = {
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    }
    one = decode(document, "node-1", "/a.yaml")
    assert decode(document, "node-1", "/a.yaml")["metadata"]["uid"] == one["metadata"]["uid"]
    document["spec"]["containers"][0]["image"] = "y"  # type: ignore[index]
    assert decode(document, "node-1", "/a.yaml")["metadata"]["uid"] != one["metadata"]["uid"]
    assert one["spec"]["restartPolicy"] == "Always"

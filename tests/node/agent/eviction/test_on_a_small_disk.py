"""A whole agent with real processes, whose disk is a small tmpfs: what is written there is what it is short of."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from control_plane.client import gvr
from node import linux
from node.agent.eviction.manager import EvictionSettings
from node.agent.eviction.thresholds import parse_thresholds
from node.runtime.process.runtime import ProcessRuntime, kill_all
from tests.node.agent.conftest import eventually, make_pod
from tests.node.agent.whole_agent import Node
from tests.node.runtime.pods import NoNetwork

Obj = dict[str, Any]
DISK = "96m"
DEADLINE_S = 20.0


@pytest.fixture
def disk(tmp_path: Path) -> AsyncIterator[Path]:
    root = tmp_path / "disk"
    root.mkdir()
    try:
        linux.mount("tmpfs", str(root), "tmpfs", 0, f"size={DISK}")
    except OSError as error:
        pytest.skip(f"no tmpfs can be mounted: {error}")
    try:
        yield root
    finally:
        linux.umount(str(root), linux.MNT_DETACH)


@pytest.fixture
async def start(disk: Path) -> AsyncIterator[Callable[..., Any]]:
    nodes: list[Node] = []

    async def make(hard: str, transition_s: float = 0.2) -> Node:
        runtime = ProcessRuntime(disk / "runtime", NoNetwork(), [disk / "runtime"])  # type: ignore[arg-type]
        node = Node(disk, runtime, EvictionSettings(parse_thresholds(hard), transition_s, interval_s=0.1))
        await node.start()
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        await node.stop()
    kill_all(disk / "runtime")


def writes(name: str, script: str, volume: Obj | None = None, limits: Obj | None = None) -> Obj:
    container = {
        "name": "main",
        "command": ["sh", "-c", f"{script}; exec sleep 1000"],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "resources": {"limits": limits} if limits else {},
    }
    pod = make_pod(name, containers=[container], volumes=[{"name": "cache", "emptyDir": volume or {}}])
    del pod["metadata"]["uid"]
    return pod


def mebibytes(count: int, path: str) -> str:
    return f"head -c {count * 2**20} /dev/zero > {path}"


def status(node: Node, name: str) -> Obj:
    found: Obj = node.pod(name).get("status") or {}
    return found


async def ended(node: Node, name: str) -> Obj:
    return await eventually(
        lambda: status(node, name).get("phase") == "Failed" and status(node, name), DEADLINE_S
    )


def is_running(node: Node, name: str) -> bool:
    return node.phase(name) == "Running"


def condition(node: Node, kind: str) -> str:
    conditions = (node.api.get(gvr.NODES, "node-1") or {})["status"]["conditions"]
    return str(next(each["status"] for each in conditions if each["type"] == kind))


async def test_the_one_that_fills_the_disk_is_evicted(start: Callable[..., Any]) -> None:
    node = await start("nodefs.available<40Mi", transition_s=1.0)
    for name in ("modest", "moderate"):
        node.api.create(gvr.PODS, writes(name, mebibytes(1, "/cache/a")))
        await eventually(partial(is_running, node, name), DEADLINE_S)
    node.api.create(gvr.PODS, writes("greedy", mebibytes(70, "/cache/a")))
    found = await ended(node, "greedy")
    assert found["reason"] == "Evicted"
    assert found["message"].startswith(
        "The node was low on resource: ephemeral-storage. Threshold quantity: 40Mi, "
    )
    target = next(each for each in found["conditions"] if each["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"], target["message"]) == (
        "True", "TerminationByKubelet", found["message"],
    )  # fmt: skip
    await eventually(lambda: condition(node, "DiskPressure") == "False", DEADLINE_S)
    assert is_running(node, "modest")
    assert is_running(node, "moderate")
    own = re.search(r"Container main was using (\d+)Ki", found["message"])
    assert own is None or int(own[1]) < 1024  # what it wrote, it wrote into its volume
    reasons = {each["reason"] for each in node.api.list(gvr.EVENTS)}
    assert {"EvictionThresholdMet", "Evicted"} <= reasons


async def test_under_pressure_no_more_pods_are_taken(start: Callable[..., Any]) -> None:
    node = await start("nodefs.available<1Gi")
    assert condition(node, "DiskPressure") == "True"
    node.api.create(gvr.PODS, writes("late", "true"))
    found = await ended(node, "late")
    assert (found["reason"], found["message"]) == (
        "Evicted", "Pod was rejected: The node had condition: [DiskPressure]. ",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("script", "volume", "limits", "message"),
    [
        pytest.param(
            mebibytes(3, "/cache/a"), {"sizeLimit": "2Mi"}, None,
            'Usage of EmptyDir volume "cache" exceeds the limit "2Mi". ', id="volume",
        ),
        pytest.param(
            mebibytes(3, "/tmp/a"), {}, {"ephemeral-storage": "2Mi"},
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ", id="writable-layer",
        ),
        pytest.param(
            "head -c 6000000 /dev/zero | tr '\\0' 'x'", {}, {"ephemeral-storage": "2Mi"},
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ", id="log",
        ),
    ],
)  # fmt: skip
async def test_a_pod_beyond_its_own_limit_is_evicted(
    start: Callable[..., Any], script: str, volume: Obj, limits: Obj | None, message: str
) -> None:
    node = await start("")
    if "/tmp/" in script and not node.runtime.isolated:
        pytest.skip(node.runtime.isolation())
    node.api.create(gvr.PODS, writes("web", script, volume, limits))
    found = await ended(node, "web")
    assert (found["reason"], found["message"]) == ("Evicted", message)
    assert found["containerStatuses"][0]["state"]["terminated"]


async def test_a_volume_in_memory_ends_where_its_limit_is(start: Callable[..., Any]) -> None:
    node = await start("")
    if not node.runtime.isolated:
        pytest.skip(node.runtime.isolation())
    script = f"{mebibytes(3, '/cache/a')} || echo full; grep ' /cache ' /proc/mounts"
    node.api.create(gvr.PODS, writes("web", script, {"medium": "Memory", "sizeLimit": "2Mi"}))
    await eventually(lambda: node.phase("web") == "Running", DEADLINE_S)

    def log() -> str:
        return "".join(path.read_text() for path in node.root.glob("logs/pods/default_web_*/main/0.log"))

    await eventually(lambda: "tmpfs" in log(), DEADLINE_S)
    assert "full" in log()
    assert "size=2048k" in log()
    assert node.phase("web") == "Running"

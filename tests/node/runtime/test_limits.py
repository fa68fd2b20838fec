"""Limits of real processes: out of memory, throttled, and changed while they run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from node.runtime.interface import (
    BelowUsage,
    MemoryVolume,
    Mount,
    NotRunning,
    PodResources,
    Resources,
    UpdateError,
)
from node.runtime.process.limits import sweep
from node.runtime.process.runtime import ProcessRuntime
from node.runtime.process.shim import cgroups
from node.runtime.process.shim import processes as processes_of_shim
from node.runtime.process.shim.container import Container
from tests.node.runtime.pods import Pods, eventually

MIB = 2**20
PYTHON = "/usr/bin/python3"
HOLDS = f"import sys; x = bytearray(int(sys.argv[1]) * {MIB}); print('held', flush=True); sys.stdin.read()"

pytestmark = pytest.mark.skipif(not Path(PYTHON).exists(), reason="there is no /usr/bin/python3")


@pytest.fixture
def version(runtime: ProcessRuntime) -> int:
    found = runtime._host.limiter.version
    if not found:
        pytest.skip(runtime.isolation())
    return found


def setting(runtime: ProcessRuntime, container: str, v1: str, v2: str) -> str:
    limiter = runtime._host.limiter
    if limiter.version == 2:
        return (limiter.memory / container / v2).read_text().strip()
    controller = limiter.memory if v1.startswith("memory") else limiter.cpu
    return (controller / container / v1).read_text().strip()


def memory_limit(runtime: ProcessRuntime, container: str) -> int:
    return int(setting(runtime, container, "memory.limit_in_bytes", "memory.max"))


def quota_us(runtime: ProcessRuntime, container: str) -> str:
    return setting(runtime, container, "cpu.cfs_quota_us", "cpu.max").split()[0]


async def holder(pods: Pods, mebibytes: int, resources: Resources) -> str:
    command = [PYTHON, "-c", HOLDS, str(mebibytes)]
    container = await pods.start(command=command, stdin=True, resources=resources)
    await pods.logged(container, "held")
    return container


async def test_the_child_that_is_killed_tells_on_its_container(pods: Pods, version: int) -> None:
    """A shell that survives its child's end says 137; the reason is still the memory."""
    script = f"{PYTHON} -c 'x = bytearray(200 * {MIB})'; exit $?"
    status = await pods.run(script, resources=Resources(memory_limit_bytes=32 * MIB))
    assert (status.exit_code, status.reason) == (137, "OOMKilled")


async def test_a_quota_throttles(pods: Pods, runtime: ProcessRuntime, version: int) -> None:
    limited = Resources(cpu_shares=100, cpu_quota_us=10_000)
    container = await pods.start("while :; do :; done", resources=limited)

    async def throttled() -> bool:
        lines = setting(runtime, container, "cpu.stat", "cpu.stat").splitlines()
        return int(dict(line.split() for line in lines)["nr_throttled"]) > 3

    await eventually(throttled)


async def test_limits_change_in_place(pods: Pods, runtime: ProcessRuntime, version: int) -> None:
    container = await holder(pods, 8, Resources(memory_limit_bytes=64 * MIB))
    pid = (await runtime.container_status(container)).pid
    wanted = Resources(cpu_shares=512, cpu_quota_us=50_000, memory_limit_bytes=96 * MIB)
    await runtime.update_container(container, wanted, {"note": "grown"})
    assert (memory_limit(runtime, container), quota_us(runtime, container)) == (96 * MIB, "50000")
    status = await runtime.container_status(container)
    assert (status.pid, status.config.resources, status.config.annotations) == (
        pid,
        wanted,
        {"note": "grown"},
    )
    inside = await runtime.exec_sync(container, ["cat", "/proc/self/cgroup"], 10)
    assert container.encode() in inside.stdout


async def test_a_limit_below_what_is_used_is_refused(
    pods: Pods, runtime: ProcessRuntime, version: int
) -> None:
    before = Resources(memory_limit_bytes=128 * MIB)
    container = await holder(pods, 64, before)
    with pytest.raises(BelowUsage, match=rf"^{32 * MIB} \d+$"):
        await runtime.update_container(container, Resources(memory_limit_bytes=32 * MIB), {})
    assert memory_limit(runtime, container) == 128 * MIB
    assert (await runtime.container_status(container)).config.resources == before


async def test_one_without_limits_gets_them(pods: Pods, runtime: ProcessRuntime, version: int) -> None:
    """Its processes, all of them, move into a group of their own."""
    container = await pods.start("sleep 100 & sleep 100")
    await runtime.update_container(container, Resources(memory_limit_bytes=64 * MIB), {})
    assert memory_limit(runtime, container) == 64 * MIB

    async def all_are_in_it() -> bool:  # the shell may only now make its second child
        return len(processes(runtime, container)) == 3

    await eventually(all_are_in_it)
    await runtime.remove_container(container)
    assert not (runtime._host.limiter.memory / container).exists()


def test_a_child_made_while_its_parent_is_moved_is_moved_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = {2}
    entered: list[int] = []

    def enter(plan: dict[str, Any], pid: int) -> None:
        entered.append(pid)
        tree.update({2: {3}, 3: {4}}.get(pid, set()))

    monkeypatch.setattr(cgroups, "enter", enter)
    monkeypatch.setattr(processes_of_shim, "descendants", lambda root: sorted(tree))
    container = Container.__new__(Container)
    nowhere: dict[str, Any] = {"directories": [], "settings": [], "procs": [], "bounds": []}
    container.spec, container.pid = {"cgroups": nowhere}, 1
    plan = nowhere | {"directories": [str(tmp_path / "group")]}
    processes_of_shim.change_limits(container, plan)
    assert sorted(entered) == [1, 2, 3, 4]
    assert container.spec["cgroups"] == plan


def processes(runtime: ProcessRuntime, container: str) -> list[str]:
    return processes_of(runtime._host.limiter.memory / container)


async def test_a_killed_shims_groups_are_swept(pods: Pods, runtime: ProcessRuntime, version: int) -> None:
    sandbox = await pods.sandbox()
    container = await pods.start("sleep 100", sandbox, resources=Resources(memory_limit_bytes=64 * MIB))
    group = runtime._host.limiter.memory / container
    other = await pods.start("sleep 100", resources=Resources(memory_limit_bytes=64 * MIB))
    runtime._sandboxes[sandbox].kill_shim()

    async def lost() -> bool:
        return not processes_of(group)

    await eventually(lost)
    assert group.exists()
    sweep(runtime._root)
    assert not group.exists()
    assert processes(runtime, other)


def of_pod(runtime: ProcessRuntime, sandbox: str, name: str) -> str:
    uid = runtime._sandboxes[sandbox].record.config.uid
    return f"pod{uid}/{name}".rstrip("/")


async def test_the_containers_of_a_pod_share_its_limits(
    pods: Pods, runtime: ProcessRuntime, version: int
) -> None:
    """Each has room of its own; together they have less."""
    shared = Resources(memory_limit_bytes=96 * MIB, pod=PodResources(512, 50_000, 100_000, 96 * MIB))
    sandbox = await pods.sandbox()
    commands: dict[str, Any] = {"command": [PYTHON, "-c", HOLDS, "48"], "stdin": True}
    first = await pods.start(sandbox=sandbox, resources=shared, **commands)
    await pods.logged(first, "held")
    assert memory_limit(runtime, of_pod(runtime, sandbox, "")) == 96 * MIB
    assert quota_us(runtime, of_pod(runtime, sandbox, "")) == "50000"
    assert memory_limit(runtime, of_pod(runtime, sandbox, first)) == 96 * MIB
    commands["command"] = [PYTHON, "-c", HOLDS, "80"]
    second = await pods.start(sandbox=sandbox, resources=shared, **commands)

    async def one_is_killed() -> bool:
        return "OOMKilled" in {(await runtime.container_status(each)).reason for each in (first, second)}

    await eventually(one_is_killed)


async def test_a_pods_limits_change_in_place(pods: Pods, runtime: ProcessRuntime, version: int) -> None:
    before = Resources(pod=PodResources(memory_limit_bytes=128 * MIB))
    sandbox = await pods.sandbox()
    container = await pods.start(
        sandbox=sandbox, resources=before, command=[PYTHON, "-c", HOLDS, "64"], stdin=True
    )
    await pods.logged(container, "held")
    grown = Resources(pod=PodResources(512, 50_000, 100_000, 192 * MIB))
    await runtime.update_container(container, grown, {})
    group = of_pod(runtime, sandbox, "")
    assert (memory_limit(runtime, group), quota_us(runtime, group)) == (192 * MIB, "50000")
    with pytest.raises(BelowUsage, match=rf"^pod {32 * MIB} \d+$"):
        await runtime.update_container(
            container, Resources(pod=PodResources(memory_limit_bytes=32 * MIB)), {}
        )
    assert memory_limit(runtime, group) == 192 * MIB
    assert (await runtime.container_status(container)).config.resources == grown
    await runtime.remove_container(container)
    assert not (runtime._host.limiter.memory / group).exists()


async def test_an_adopted_container_remembers_its_pods_limits(
    pods: Pods, runtime: ProcessRuntime, version: int
) -> None:
    limits = Resources(pod=PodResources(memory_limit_bytes=128 * MIB))
    container = await pods.start("sleep 100", resources=limits)
    again = ProcessRuntime(runtime._root, runtime._network, runtime._hidden)
    await again.start()
    found = (await again.container_status(container)).config
    await again.close()
    assert found.resources == limits


def processes_of(group: Path) -> list[str]:
    return (group / "cgroup.procs").read_text().split()


async def test_what_has_ended_cannot_be_changed(pods: Pods, runtime: ProcessRuntime, version: int) -> None:
    status = await pods.run("true")
    with pytest.raises(NotRunning):
        await runtime.update_container(status.id, Resources(memory_limit_bytes=64 * MIB), {})


async def test_an_adopted_container_remembers_its_change(
    pods: Pods, runtime: ProcessRuntime, version: int
) -> None:
    container = await pods.start("sleep 100", resources=Resources(memory_limit_bytes=64 * MIB))
    wanted = Resources(memory_limit_bytes=96 * MIB)
    await runtime.update_container(container, wanted, {"note": "grown"})
    again = ProcessRuntime(runtime._root, runtime._network, runtime._hidden)
    await again.start()
    found = (await again.container_status(container)).config
    await again.close()
    assert (found.resources, found.annotations) == (wanted, {"note": "grown"})


async def test_rlimits_change_with_a_restart_only(pods: Pods, runtime: ProcessRuntime) -> None:
    runtime._host = dataclasses.replace(
        runtime._host, limiter=dataclasses.replace(runtime._host.limiter, version=0)
    )
    container = await pods.start("sleep 100", resources=Resources(memory_limit_bytes=64 * MIB))
    with pytest.raises(UpdateError, match="only a restart"):
        await runtime.update_container(container, Resources(memory_limit_bytes=96 * MIB), {})
    shares = Resources(cpu_shares=512, memory_limit_bytes=64 * MIB)
    await runtime.update_container(container, shares, {})
    assert (await runtime.container_status(container)).config.resources == shares


@pytest.mark.usefixtures("isolated")
async def test_a_volume_in_memory_is_shared_and_bounded(pods: Pods, tmp_path: Path) -> None:
    directory = tmp_path / "volume"
    directory.mkdir()
    sandbox = await pods.sandbox(memory_volumes=[MemoryVolume(str(directory), MIB)])
    mounts = [Mount("/cache", str(directory))]
    script = "head -c 2000000 /dev/zero > /cache/big; echo left > /cache/small 2>/dev/null; rm /cache/big"
    await pods.run(script, sandbox, mounts=mounts)
    text = await pods.output("echo shared > /cache/a; grep ' /cache ' /proc/mounts", sandbox, mounts=mounts)
    assert "tmpfs" in text
    assert "size=1024k" in text
    assert await pods.output("cat /cache/a", sandbox, mounts=mounts) == "shared\n"
    assert list(directory.iterdir()) == []  # the host has seen nothing of it

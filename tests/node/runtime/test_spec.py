"""From a container's configuration to what the shim is told; and from resources to control groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.runtime.interface import (
    ContainerConfig,
    CreateError,
    PodResources,
    Resources,
    SandboxConfig,
    SecurityContext,
)
from node.runtime.process import spec
from node.runtime.process.images import Image
from node.runtime.process.limits import NO_PLAN, Limiter, weight_of
from node.runtime.process.shim import capabilities

HOST = Image("docker.io/library/x:latest", "", {})
OCI = {"Entrypoint": ["/entry"], "Cmd": ["default"], "Env": ["A=image", "B=image"]}
MIB = 1024 * 1024


def config(**options: Any) -> ContainerConfig:
    settings = {"image": "x", "command": [], "args": [], "env": [], "log_path": "c/0.log"}
    return ContainerConfig("c", 0, **settings | options)


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        pytest.param([], [], ["/entry", "default"], id="the-images"),
        pytest.param([], ["a"], ["/entry", "a"], id="other-arguments"),
        pytest.param(["c"], [], ["c"], id="a-command-drops-the-images-arguments"),
        pytest.param(["c"], ["a"], ["c", "a"], id="both"),
    ],
)
def test_what_is_run(command: list[str], args: list[str], expected: list[str]) -> None:
    assert spec.argv_of(config(command=command, args=args), Image("x", "/rootfs", OCI)) == expected


def test_nothing_to_run() -> None:
    with pytest.raises(CreateError, match="no command specified"):
        spec.argv_of(config(), HOST)


def test_the_pods_variables_win_over_the_images() -> None:
    sandbox = SandboxConfig("default", "pod", "uid", 0, "pod", "/logs")
    identity = spec.Identity(0, 0, (), "/root")
    env = spec.environment(sandbox, config(env=[("A", "pod")]), Image("x", "/rootfs", OCI), identity)
    assert (env["A"], env["B"], env["HOSTNAME"], env["HOME"]) == ("pod", "image", "pod", "/root")
    assert env["PATH"] == spec.DEFAULT_PATH


@pytest.mark.parametrize(
    ("privileged", "add", "drop", "expected"),
    [
        pytest.param(False, [], [], capabilities.mask_of(capabilities.DEFAULT), id="default"),
        pytest.param(True, [], ["ALL"], capabilities.ALL, id="privileged"),
        pytest.param(False, ["CAP_SYS_TIME"], ["all"], 1 << 25, id="one"),
        pytest.param(False, ["ALL"], [], capabilities.ALL, id="all"),
        pytest.param(False, ["ALL"], ["CHOWN"], capabilities.ALL & ~1, id="all-but-one"),
    ],
)
def test_capabilities(privileged: bool, add: list[str], drop: list[str], expected: int) -> None:
    assert capabilities.container_mask(privileged, add, drop) == expected


def test_an_unknown_capability_is_a_create_error() -> None:
    with pytest.raises(CreateError, match="unknown capability 'FLY'"):
        spec._capabilities(config(security=SecurityContext(add_capabilities=["FLY"])))


SIGNALS = {"": 15, "SIGUSR1": 10, "9": 9, "SIGCLD": 17, "SIGRTMIN": 34, "SIGRTMIN+3": 37, "SIGRTMAX-14": 50}


@pytest.mark.parametrize(("name", "number"), SIGNALS.items(), ids=SIGNALS)
def test_stop_signals(name: str, number: int) -> None:
    assert spec.stop_signal(config(stop_signal=name), {}) == number


@pytest.mark.parametrize(
    "name", ["SIGODD", "0", "65", "SIGRTMAX+1", "SIGTERM+", "SIGTERM+x", "+3", "SIGRTMIN+3-1"]
)
def test_what_is_no_stop_signal(name: str) -> None:
    with pytest.raises(CreateError, match="unknown signal"):
        spec.stop_signal(config(stop_signal=name), {})


LIMITED = Resources(cpu_shares=512, cpu_quota_us=50_000, memory_limit_bytes=64 * MIB)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param(
            1,
            {
                "memory/c/memory.limit_in_bytes": "67108864",
                "cpu/c/cpu.shares": "512",
                "cpu/c/cpu.cfs_period_us": "100000",
                "cpu/c/cpu.cfs_quota_us": "50000",
            },
            id="v1",
        ),
        pytest.param(
            2,
            {
                "all/cgroup.subtree_control": "+memory +cpu",
                "all/c/memory.max": "67108864",
                "all/c/memory.swap.max": "0",
                "all/c/memory.oom.group": "1",
                "all/c/cpu.weight": "20",
                "all/c/cpu.max": "50000 100000",
            },
            id="v2",
        ),
    ],
)
def test_control_groups(version: int, expected: dict[str, str]) -> None:
    names = ("memory", "cpu") if version == 1 else ("all", "all")
    limiter = Limiter(version, *map(Path, names))
    assert dict(limiter.plan("c", LIMITED)["settings"]) == expected
    assert "RLIMIT_DATA" not in limiter.rlimits(LIMITED)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param(
            1,
            {
                "memory/c/memory.limit_in_bytes": "-1",
                "cpu/c/cpu.shares": "2",
                "cpu/c/cpu.cfs_period_us": "100000",
                "cpu/c/cpu.cfs_quota_us": "-1",
            },
            id="v1",
        ),
        pytest.param(
            2,
            {
                "all/cgroup.subtree_control": "+memory +cpu",
                "all/c/memory.max": "max",
                "all/c/memory.swap.max": "0",
                "all/c/memory.oom.group": "1",
                "all/c/cpu.weight": "1",
                "all/c/cpu.max": "max 100000",
            },
            id="v2",
        ),
    ],
)
def test_a_change_sets_what_is_not_limited_any_more(version: int, expected: dict[str, str]) -> None:
    names = ("memory", "cpu") if version == 1 else ("all", "all")
    change = Limiter(version, *map(Path, names)).change("c", Resources())
    assert change is not None
    assert dict(change["settings"]) == expected
    assert Limiter(0).change("c", Resources()) is None


@pytest.mark.parametrize(
    ("version", "expected", "parents"),
    [
        pytest.param(
            1,
            [
                ("memory/podu/memory.limit_in_bytes", "134217728"),
                ("cpu/podu/cpu.shares", "1024"),
                ("cpu/podu/cpu.cfs_period_us", "100000"),
                ("cpu/podu/cpu.cfs_quota_us", "-1"),
                ("memory/podu/c/memory.limit_in_bytes", "67108864"),
            ],
            ["memory/podu", "cpu/podu", "memory", "cpu"],
            id="v1",
        ),
        pytest.param(
            2,
            [
                ("all/cgroup.subtree_control", "+memory +cpu"),
                ("all/podu/memory.max", "134217728"),
                ("all/podu/memory.swap.max", "0"),
                ("all/podu/cpu.weight", "39"),
                ("all/podu/cpu.max", "max 100000"),
                ("all/podu/cgroup.subtree_control", "+memory +cpu"),
                ("all/podu/c/memory.max", "67108864"),
                ("all/podu/c/memory.swap.max", "0"),
                ("all/podu/c/memory.oom.group", "1"),
            ],
            ["all/podu", "all"],
            id="v2",
        ),
    ],
)
def test_the_groups_of_a_pod_that_has_limits(
    version: int, expected: list[tuple[str, str]], parents: list[str]
) -> None:
    names = ("memory", "cpu") if version == 1 else ("all", "all")
    pod = PodResources(cpu_shares=1024, memory_limit_bytes=128 * MIB)
    plan = Limiter(version, *map(Path, names)).plan("c", Resources(memory_limit_bytes=64 * MIB, pod=pod), "u")
    assert [tuple(each) for each in plan["settings"]] == expected
    assert plan["parents"] == parents
    assert [each[:2] for each in plan["bounds"]] == [["pod", 128 * MIB], ["", 64 * MIB]]
    alone = Limiter(version, *map(Path, names)).plan("c", Resources(pod=PodResources()), "u")
    assert alone["directories"], "a container without limits of its own has those of its pod"


def test_without_control_groups_or_limits() -> None:
    assert Limiter(0).plan("c", LIMITED) == NO_PLAN
    assert Limiter(0).rlimits(LIMITED)["RLIMIT_DATA"] == 64 * MIB
    assert Limiter(2).plan("c", Resources(cpu_shares=2)) == NO_PLAN


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000)])
def test_weights(shares: int, weight: int) -> None:
    assert weight_of(shares) == weight

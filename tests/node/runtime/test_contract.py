"""What every runtime promises (node/runtime/interface.py); CRI's semantics where CRI has any."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from node.runtime.interface import (
    ContainerState,
    ExecTimeout,
    ImageError,
    Mount,
    NotFound,
    Runtime,
    SandboxState,
    StartError,
)
from tests.node.runtime.pods import Pods, eventually, is_alive, log_records, log_text

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


@pytest.mark.parametrize(
    ("script", "exit_code", "reason"),
    [
        pytest.param("exit 0", 0, "Completed", id="success"),
        pytest.param("exit 3", 3, "Error", id="failure"),
        pytest.param("kill -9 $(sh -c 'echo $PPID')", 137, "Error", id="killed"),
    ],
)
async def test_an_exit_is_recorded(pods: Pods, script: str, exit_code: int, reason: str) -> None:
    if "kill" in script:  # the first process of a PID namespace cannot be killed from inside
        script = "sh -c 'kill -9 $$'; exit $?"
    status = await pods.run(script)
    assert (status.exit_code, status.reason) == (exit_code, reason)
    assert 0 < status.created_at_ns <= status.started_at_ns <= status.finished_at_ns
    assert status.pid == 0


async def test_logs_are_in_cri_format(pods: Pods) -> None:
    status = await pods.run("echo out; echo err >&2; printf 'no newline'")
    records = log_records(status)
    assert {record[1:] for record in records} == {
        ("stdout", "F", "out"),
        ("stderr", "F", "err"),
        ("stdout", "P", "no newline"),
    }
    assert all(TIME.fullmatch(record[0]) for record in records)


async def test_long_lines_are_split_and_nothing_is_lost(pods: Pods) -> None:
    status = await pods.run("head -c 100000 /dev/zero | tr '\\0' x; echo; seq 1 20000")
    text = log_text(status)
    assert text.startswith("x" * 100000 + "\n1\n2\n")
    assert text.endswith("\n20000\n")


async def test_command_arguments_environment_and_directory(pods: Pods) -> None:
    text = await pods.output(
        "",
        command=["sh", "-c", 'echo "$0 $1 $A"; pwd; hostname'],
        args=["zero", "one two"],
        env=[("A", "b=c")],
        working_dir="/made/for/it",
    )
    assert text == "zero one two b=c\n/made/for/it\npod-2\n"


async def test_a_missing_program_is_a_start_error(pods: Pods, runtime: Runtime) -> None:
    container = await pods.create(command=["no-such-program"])
    with pytest.raises(StartError, match=r'exec: "no-such-program": executable file not found in \$PATH'):
        await runtime.start_container(container)
    status = await runtime.container_status(container)
    assert (status.state, status.exit_code, status.reason) == ("exited", 128, "StartError")


async def test_states_of_a_container(pods: Pods, runtime: Runtime) -> None:
    container = await pods.create("sleep 60")
    assert (await runtime.container_status(container)).state == ContainerState.CREATED
    await runtime.start_container(container)
    status = await runtime.container_status(container)
    assert status.state == ContainerState.RUNNING
    assert is_alive(status.pid)
    await runtime.stop_container(container, 5)
    assert not is_alive(status.pid)


@pytest.mark.parametrize(
    ("script", "timeout_s", "exit_code", "at_least_s", "at_most_s"),
    [
        pytest.param("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done", 10, 7, 0, 5, id="handler"),
        pytest.param("echo up; sleep 60", 10, 143, 0, 5, id="default-action"),
        pytest.param("trap '' TERM; echo up; while :; do sleep 1; done", 0.5, 137, 0.5, 6, id="ignored"),
        pytest.param("trap '' TERM; echo up; while :; do sleep 1; done", 0, 137, 0, 5, id="at-once"),
    ],
)
async def test_stop(
    pods: Pods,
    runtime: Runtime,
    script: str,
    timeout_s: float,
    exit_code: int,
    at_least_s: float,
    at_most_s: float,
) -> None:
    container = await pods.start(script)
    await pods.logged(container, "up")
    began = time.monotonic()
    await runtime.stop_container(container, timeout_s)
    assert at_least_s <= time.monotonic() - began < at_most_s
    status = await runtime.container_status(container)
    assert (status.state, status.exit_code) == ("exited", exit_code)
    await runtime.stop_container(container, timeout_s)


async def test_a_stop_signal_of_ones_own(pods: Pods, runtime: Runtime) -> None:
    container = await pods.start(
        "trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done", stop_signal="SIGUSR1"
    )
    await pods.logged(container, "up")
    await runtime.stop_container(container, 10)
    assert (await runtime.container_status(container)).exit_code == 9


async def test_what_a_container_left_running_ends_with_it(pods: Pods, runtime: Runtime) -> None:
    sandbox = await pods.sandbox()
    container = await pods.start("(sleep 77771 & sleep 77771 & echo $!); exit 0", sandbox)
    await pods.ended(container)
    await runtime.stop_pod_sandbox(sandbox)
    assert not _processes_with("77771")


def _processes_with(argument: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if argument.encode() in path.read_bytes().split(b"\0"):
                found.append(str(path))
        except OSError:
            continue
    return found


async def test_exec_runs_inside_the_container(pods: Pods, runtime: Runtime) -> None:
    container = await pods.start("echo here > /tmp/file; echo up; sleep 60", env=[("A", "b")])
    await pods.logged(container, "up")
    result = await runtime.exec_sync(
        container, ["sh", "-c", "cat /tmp/file; echo $A >&2; hostname; exit 5"], 10
    )
    assert result.stdout == b"here\npod-2\n"
    assert (result.stderr, result.exit_code) == (b"b\n", 5)


async def test_exec_of_much_output(pods: Pods, runtime: Runtime) -> None:
    container = await pods.start("sleep 60")
    result = await runtime.exec_sync(container, ["head", "-c", "3000000", "/dev/zero"], 10)
    assert len(result.stdout) == 3_000_000


async def test_exec_errors(pods: Pods, runtime: Runtime) -> None:
    container = await pods.start("sleep 60")
    with pytest.raises(StartError, match="executable file not found"):
        await runtime.exec_sync(container, ["no-such-program"], 10)
    with pytest.raises(ExecTimeout):
        await runtime.exec_sync(container, ["sleep", "77772"], 0.2)

    async def killed() -> bool:
        return not _processes_with("77772")

    await eventually(killed)


async def test_unknown_ids(runtime: Runtime) -> None:
    with pytest.raises(NotFound):
        await runtime.pod_sandbox_status("nope")
    with pytest.raises(NotFound):
        await runtime.container_status("nope")
    with pytest.raises(NotFound):
        await runtime.start_container("nope")
    await runtime.stop_container("nope", 1)
    await runtime.remove_container("nope")
    await runtime.stop_pod_sandbox("nope")
    await runtime.remove_pod_sandbox("nope")


async def test_life_of_a_sandbox(pods: Pods, runtime: Runtime) -> None:
    sandbox = await pods.sandbox(labels={"a": "b"})
    container = await pods.start("sleep 60", sandbox)
    status = await runtime.pod_sandbox_status(sandbox)
    assert (status.state, status.config.labels) == (SandboxState.READY, {"a": "b"})
    assert [each.id for each in await runtime.list_containers(sandbox)] == [container]
    await runtime.stop_pod_sandbox(sandbox)
    await runtime.stop_pod_sandbox(sandbox)
    assert (await runtime.pod_sandbox_status(sandbox)).state == SandboxState.NOT_READY
    assert (await runtime.container_status(container)).exit_code == 137
    await runtime.remove_pod_sandbox(sandbox)
    assert await runtime.list_pod_sandboxes() == []
    assert await runtime.list_containers() == []


async def test_containers_of_a_pod_share_the_host_name_and_memory(pods: Pods, runtime: Runtime) -> None:
    sandbox = await pods.sandbox()
    await pods.run("echo shared > /dev/shm/file", sandbox)
    assert await pods.output("cat /dev/shm/file; hostname", sandbox) == "shared\npod-1\n"


async def test_many_short_containers_of_one_pod(pods: Pods) -> None:
    """Their output, their ends and new ones meet in the same moments."""
    sandbox = await pods.sandbox()

    async def one(number: int) -> None:
        status = await pods.run(f"echo {number}; echo {number} >&2; exit {number}", sandbox)
        assert (status.exit_code, log_text(status)) == (number, f"{number}\n" * 2)

    for start in (0, 20, 40):
        await asyncio.gather(*(one(number) for number in range(start, start + 20)))


async def test_a_removed_container_is_forgotten(pods: Pods, runtime: Runtime) -> None:
    sandbox = await pods.sandbox()
    container = await pods.start("sleep 60", sandbox)
    await runtime.remove_container(container)
    assert await runtime.list_containers() == []
    assert (await runtime.pod_sandbox_status(sandbox)).state == SandboxState.READY


async def test_events_tell_of_exits(pods: Pods, runtime: Runtime) -> None:
    events = runtime.events()
    sandbox = await pods.sandbox()
    container = await pods.start("read line < /dev/null; sleep 0.2", sandbox)

    async def until_exit() -> None:
        async for event in events:
            assert event.sandbox_id == sandbox
            if (await runtime.container_status(container)).state == ContainerState.EXITED:
                return

    await asyncio.wait_for(until_exit(), 10)
    await events.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("image", "has_command", "reason"),
    [
        pytest.param("example/none", False, "ErrImagePull", id="nothing-to-run"),
        pytest.param("UPPER/case", True, "InvalidImageName", id="upper-case"),
        pytest.param("a b", True, "InvalidImageName", id="space"),
        pytest.param("busybox:", True, "InvalidImageName", id="empty-tag"),
    ],
)
async def test_images_that_cannot_be_had(
    runtime: Runtime, image: str, has_command: bool, reason: str
) -> None:
    with pytest.raises(ImageError) as caught:
        await runtime.pull_image(image, has_command)
    assert caught.value.reason == reason


async def test_an_image_is_only_a_name_for_a_container_with_a_command(runtime: Runtime) -> None:
    assert await runtime.pull_image("python:3", True) == "docker.io/library/python:3"


async def test_volumes(pods: Pods, tmp_path: Path, isolated: None) -> None:
    volume, fixed, single = tmp_path / "volume", tmp_path / "fixed", tmp_path / "single"
    volume.mkdir()
    fixed.mkdir()
    (fixed / "key").write_text("value")
    single.write_text("one file")
    text = await pods.output(
        "echo written > /data/inner/file; cat /etc/fixed/key /opt/single; echo x > /etc/fixed/key || echo refused",
        mounts=[
            Mount("/data/inner", str(volume)),
            Mount("/etc/fixed", str(fixed), read_only=True),
            Mount("/opt/single", str(single)),
        ],
    )
    assert "valueone file" in text
    assert "refused" in text
    assert (volume / "file").read_text() == "written\n"
    assert (fixed / "key").read_text() == "value"


async def test_hosts_resolver_and_host_name_are_the_pods_own(pods: Pods, isolated: None) -> None:
    sandbox = await pods.sandbox(
        dns_servers=["10.96.0.10"],
        dns_searches=["default.svc.cluster.local"],
        dns_options=["ndots:5"],
        host_aliases=[("1.2.3.4", ["alias"])],
    )
    text = await pods.output("cat /etc/resolv.conf /etc/hosts /etc/hostname", sandbox)
    assert text.startswith("search default.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n")
    assert "127.1.0.2\tpod-1\n" in text
    assert "1.2.3.4\talias\n" in text
    assert text.endswith("pod-1\n")

"""An agent that is killed loses nothing: the next one finds its pods, their logs and their exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.runtime.interface import ContainerState, SandboxState
from node.runtime.process.runtime import ProcessRuntime, kill_all
from tests.node.runtime.pods import NoNetwork, Pods, eventually, is_alive, log_text

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The ids of what an agent made that has been killed."""
    command = [sys.executable, "-m", "tests.node.runtime.agent_to_kill"]
    arguments = [str(tmp_path / "runtime"), str(tmp_path / "logs")]
    with subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        line = agent.stdout.readline()
        os.kill(agent.pid, signal.SIGKILL)
    try:
        yield json.loads(line)
    finally:
        kill_all(tmp_path / "runtime")


async def test_a_new_agent_finds_everything(killed: dict[str, str], tmp_path: Path) -> None:
    runtime = ProcessRuntime(tmp_path / "runtime", NoNetwork())  # type: ignore[arg-type]
    await runtime.start()
    pods = Pods(runtime, tmp_path / "logs")
    try:
        assert (await runtime.pod_sandbox_status(killed["sandbox"])).state == SandboxState.READY
        ended = await runtime.container_status(killed["ended"])
        assert (ended.state, ended.exit_code, log_text(ended)) == ("exited", 7, "over\n")
        running = await runtime.container_status(killed["running"])
        assert running.state == ContainerState.RUNNING
        assert is_alive(running.pid)
        before = log_text(running)
        await pods.logged(killed["running"], before + "tick\n")

        await runtime.exec_sync(killed["ends-later"], ["touch", "/dev/shm/go"], 10)
        assert (await pods.ended(killed["ends-later"])).exit_code == 42
        await runtime.start_container(killed["created"])
        assert log_text(await pods.ended(killed["created"])) == "late\n"
        await runtime.stop_container(killed["running"], 5)
        await runtime.remove_pod_sandbox(killed["sandbox"])
        assert not is_alive(running.pid)
        assert list((tmp_path / "runtime/sandboxes").iterdir()) == []
    finally:
        await runtime.close()


async def test_an_exit_while_nobody_looks_is_found_later(killed: dict[str, str], tmp_path: Path) -> None:
    status_file = (
        tmp_path / f"runtime/sandboxes/{killed['sandbox']}/containers/{killed['ends-later']}/status.json"
    )
    pid = json.loads(status_file.read_text())["pid"]
    os.kill(pid, signal.SIGKILL)

    async def recorded() -> bool:
        return bool(json.loads(status_file.read_text())["state"] == "exited")

    await eventually(recorded)
    runtime = ProcessRuntime(tmp_path / "runtime", NoNetwork())  # type: ignore[arg-type]
    await runtime.start()
    try:
        status = await runtime.container_status(killed["ends-later"])
        assert (status.state, status.exit_code) == ("exited", 137)
        await runtime.remove_pod_sandbox(killed["sandbox"])
    finally:
        await runtime.close()


async def test_a_pod_whose_shim_is_gone_is_not_ready(killed: dict[str, str], tmp_path: Path) -> None:
    kill_all(tmp_path / "runtime")
    runtime = ProcessRuntime(tmp_path / "runtime", NoNetwork())  # type: ignore[arg-type]
    await runtime.start()
    try:

        async def gone() -> bool:
            return (await runtime.pod_sandbox_status(killed["sandbox"])).state == SandboxState.NOT_READY

        await eventually(gone)
        status = await runtime.container_status(killed["running"])
        assert (status.state, status.exit_code) == ("exited", 137)
        await runtime.remove_pod_sandbox(killed["sandbox"])
        assert await runtime.list_pod_sandboxes() == []
    finally:
        await runtime.close()

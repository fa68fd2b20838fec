"""Where the kernel allows no namespaces: plain processes, and a runtime that says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.runtime.interface import Mount
from node.runtime.process.runtime import ProcessRuntime
from node.runtime.process.shim_client import Spawner
from tests.node.runtime.pods import NoNetwork, Pods, eventually, is_alive, log_text


@pytest.fixture
async def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pods]:
    async def forbidden(self: Spawner, directory: Path) -> dict[str, Any]:
        return {"isolated": False, "reason": "unshare: Operation not permitted"}

    monkeypatch.setattr(Spawner, "probe", forbidden)
    runtime = ProcessRuntime(tmp_path / "runtime", NoNetwork())  # type: ignore[arg-type]
    await runtime.start()
    yield Pods(runtime, tmp_path / "logs")
    for sandbox in await runtime.list_pod_sandboxes():
        await runtime.remove_pod_sandbox(sandbox.id)
    await runtime.close()


async def test_it_says_so(plain: Pods) -> None:
    expected = "pods are not isolated from the host: unshare: Operation not permitted"
    assert plain.runtime.isolation().startswith(expected)


async def test_exit_codes_logs_and_exec(plain: Pods) -> None:
    status = await plain.run("echo out; exit 3")
    assert (status.exit_code, log_text(status)) == (3, "out\n")
    container = await plain.start("sleep 60", env=[("A", "b")])
    assert (await plain.runtime.exec_sync(container, ["sh", "-c", "echo $A; exit 4"], 10)).exit_code == 4


@pytest.mark.parametrize(
    ("script", "timeout_s", "exit_code"),
    [
        pytest.param("echo up; sleep 60", 10, 143, id="default-action"),
        pytest.param("trap '' TERM; echo up; while :; do sleep 1; done", 0.2, 137, id="ignored"),
    ],
)
async def test_stop(plain: Pods, script: str, timeout_s: float, exit_code: int) -> None:
    container = await plain.start(script)
    await plain.logged(container, "up")
    await plain.runtime.stop_container(container, timeout_s)
    assert (await plain.runtime.container_status(container)).exit_code == exit_code


async def test_what_daemonises_ends_with_its_pod(plain: Pods) -> None:
    sandbox = await plain.sandbox()
    status = await plain.run("setsid sh -c 'echo $$; exec sleep 60' & sleep 0.3", sandbox)
    pid = int(log_text(status))
    await plain.runtime.stop_pod_sandbox(sandbox)

    async def gone() -> bool:
        return not is_alive(pid)

    await eventually(gone)


async def test_volumes_are_linked(plain: Pods, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    mounts = [Mount("/etc/data", str(tmp_path / "volume"))]
    await plain.output("echo written > $BALSA_VOLUMES/etc/data/file", mounts=mounts)
    assert (tmp_path / "volume/file").read_text() == "written\n"


async def test_nothing_is_made_on_the_host(plain: Pods, tmp_path: Path) -> None:
    container = await plain.create("true", working_dir=str(tmp_path / "missing"))
    with pytest.raises(Exception, match="cannot enter the working directory"):
        await plain.runtime.start_container(container)
    assert not (tmp_path / "missing").exists()

"""A short way to say what a test runs in a runtime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.network.interface import PodNetwork
from node.runtime.interface import ContainerConfig, ContainerState, ContainerStatus, SandboxConfig
from node.runtime.process.runtime import ProcessRuntime

DEADLINE_S = 20.0


class NoNetwork:
    """Pods stay in the namespace of the test."""

    name = "none"
    node_ip = "127.0.0.1"
    pod_cidr = "127.1.0.0/16"
    host_netns_path: str | None = None
    lifeline_pid = 0

    def __init__(self) -> None:
        self.pods: dict[str, PodNetwork] = {}

    async def setup_pod(self, sandbox_id: str) -> PodNetwork:
        return self.pods.setdefault(sandbox_id, PodNetwork(("127.1.0.2",), None))

    async def teardown_pod(self, sandbox_id: str) -> None:
        self.pods.pop(sandbox_id, None)

    async def allocated(self) -> dict[str, PodNetwork]:
        return dict(self.pods)


@dataclass
class Pods:
    """Makes pods in a runtime and waits for what becomes of them."""

    runtime: ProcessRuntime
    logs: Path
    count: int = 0
    sandboxes: list[str] = field(default_factory=list)

    async def sandbox(self, **options: Any) -> str:
        self.count += 1
        name = f"pod-{self.count}"
        config = SandboxConfig(
            "default", name, f"uid-{self.count}", 0, name, str(self.logs / name), **options
        )
        self.sandboxes.append(await self.runtime.run_pod_sandbox(config))
        return self.sandboxes[-1]

    async def create(self, script: str = "", sandbox: str = "", **options: Any) -> str:
        """A container that runs a shell script."""
        self.count += 1
        settings: dict[str, Any] = {
            "image": "example/none",
            "command": ["sh", "-c", script],
            "args": [],
            "env": [],
            "log_path": f"c{self.count}/0.log",
        }
        config = ContainerConfig(f"c{self.count}", 0, **settings | options)
        return await self.runtime.create_container(sandbox or await self.sandbox(), config)

    async def start(self, script: str = "", sandbox: str = "", **options: Any) -> str:
        container = await self.create(script, sandbox, **options)
        await self.runtime.start_container(container)
        return container

    async def run(self, script: str, sandbox: str = "", **options: Any) -> ContainerStatus:
        return await self.ended(await self.start(script, sandbox, **options))

    async def output(self, script: str, sandbox: str = "", **options: Any) -> str:
        """What the script wrote to both streams; it must succeed."""
        status = await self.run(script, sandbox, **options)
        text = log_text(status)
        assert status.exit_code == 0, text + status.message
        return text

    async def ended(self, container: str) -> ContainerStatus:
        async def over() -> bool:
            return (await self.runtime.container_status(container)).state == ContainerState.EXITED

        await eventually(over)
        return await self.runtime.container_status(container)

    async def logged(self, container: str, text: str) -> None:
        status = await self.runtime.container_status(container)

        async def there() -> bool:
            return text in log_text(status)

        await eventually(there)


def log_records(status: ContainerStatus) -> list[tuple[str, str, str, str]]:
    """(time, stream, tag, line)"""
    path = Path(status.log_path)
    lines = path.read_text().splitlines() if path.exists() else []
    return [(*line.split(" ", 3),) for line in lines]  # type: ignore[misc]


def log_text(status: ContainerStatus) -> str:
    return "".join(line + ("\n" if tag == "F" else "") for _, _, tag, line in log_records(status))


async def eventually(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not await condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

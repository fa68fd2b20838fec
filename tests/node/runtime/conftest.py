"""A `process` runtime without a network of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from node.runtime.process.runtime import ProcessRuntime
from tests.node.runtime.pods import NoNetwork, Pods


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[ProcessRuntime]:
    made = ProcessRuntime(tmp_path / "state/runtime", NoNetwork(), [tmp_path / "state"])  # type: ignore[arg-type]
    await made.start()
    try:
        yield made
    finally:
        for sandbox in await made.list_pod_sandboxes():
            await made.remove_pod_sandbox(sandbox.id)
        await made.close()


@pytest.fixture
def pods(runtime: ProcessRuntime, tmp_path: Path) -> Pods:
    return Pods(runtime, tmp_path / "logs")


@pytest.fixture
def isolated(runtime: ProcessRuntime) -> None:
    if not runtime.isolated:
        pytest.skip(runtime.isolation())


def pytest_report_header() -> str:
    return f"user: {os.getuid()}, user namespace: {Path('/proc/self/ns/user').readlink()}"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], Any]]:
    """The loop of the agent."""
    return {"uvloop": uvloop.new_event_loop}

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

Obj = dict[str, Any]


async def eventually(condition: Callable[[], Any], timeout_s: float = 5.0) -> Any:
    """Wait until `condition()` is true, or fail with what it last was."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not (value := condition()):
        assert asyncio.get_running_loop().time() < deadline, f"never came true: {condition}, last {value!r}"
        await asyncio.sleep(0.005)
    return value


def make_pod(name: str = "web", **spec: Any) -> Obj:
    """A pod as the apiserver would have defaulted it; containers by name, or as dicts."""
    containers = spec.pop("containers", ["main"])
    init = spec.pop("init", [])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1},
        "spec": {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "nodeName": "node-1",
            "containers": [_container(each) for each in containers],
            **({"initContainers": [_container(each) for each in init]} if init else {}),
            **spec,
        },
        "status": {"phase": "Pending"},
    }


def _container(each: str | Obj) -> Obj:
    given = {"name": each} if isinstance(each, str) else each
    return {"image": "busybox", "command": ["run"], **given}


def sidecar(name: str, **more: Any) -> Obj:
    return {"name": name, "restartPolicy": "Always", **more}


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Any]:
    from tests.node.agent.whole_agent import Node  # which needs this module

    made = Node(tmp_path)
    await made.start()
    yield made
    await made.stop()

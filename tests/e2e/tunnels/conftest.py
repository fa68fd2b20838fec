from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import kubectl as kubectls
from tests.e2e.conftest import Cluster, namespace_for, until
from tests.e2e.tunnels.box import BOX
from tests.kubectl import Kubectl

GENERATIONS = ("kubectl.1.27", "kubectl.1.29", "kubectl.1.30")  # and the newest: each speaks differently


def generations() -> list[Path]:
    every = kubectls.found()
    return [path for path in every if path.name in GENERATIONS or path == every[-1]]


@pytest.fixture(scope="module", params=generations(), ids=lambda path: path.name)
def box(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubectl]:
    """A kubectl, and in its namespace the pod `box`."""
    with contextlib.contextmanager(namespace_for)(
        cluster, tmp_path_factory.mktemp("box"), request.param
    ) as made:
        made("run", "box", "--image=python:3", "--port=8080", "--command", "--", "python3", "-c", BOX)
        made("wait", "--for=condition=Ready", "pod/box", "--timeout=30s")
        script = "import socket; socket.create_connection(('127.0.0.1', 8080))"
        until("it serves", lambda: made.run("exec", "box", "--", "python3", "-c", script).returncode == 0)
        yield made

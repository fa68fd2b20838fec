"""A whole cluster for the tests of this folder, started by `balsa up` as a user starts it, and gone afterwards."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests import kubectl as kubectls
from tests import leftovers
from tests.kubectl import Kubectl

UP_TIMEOUT_S = 120
POLL_S = 0.05
T = TypeVar("T")


class Cluster:
    """One state directory and the `balsa` command for it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.kubeconfig = home / "kubeconfig"

    def balsa(self, *words: str, check: bool = True, timeout_s: float = UP_TIMEOUT_S) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "cluster.cli", *words],
            env={**os.environ, "BALSA_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"balsa {' '.join(words)}: {done.stdout}{done.stderr}{self.logs()}"
        return done.stdout + done.stderr

    def logs(self) -> str:
        """The end of every log, for a failure's report."""
        texts = (f"\n--- {path.name}\n{_tail(path)}" for path in sorted((self.home / "logs").glob("*.log")))
        return "".join(texts)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.balsa("status", "-o", "json"))
        return found

    def process(self, name: str) -> dict[str, Any]:
        return next(row for row in self.status()["processes"] if row["name"] == name)

    def leader(self, component: str) -> str:
        return next(
            row["name"]
            for row in self.status()["processes"]
            if row["component"] == component and row["leader"]
        )


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def until(what: str, check: Callable[[], T], timeout_s: float = 30.0) -> T:
    """The first true answer of `check`; the last false one is in the failure."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}; last answer {answer!r}"
        time.sleep(POLL_S)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not kubectls.found():
        pytest.skip("kubectl is not installed")
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.balsa("up")
    try:
        yield made
    finally:
        made.balsa("down", check=False)
    assert leftovers.of_cluster(made.home) == []


_numbers = itertools.count(1)


@pytest.fixture(params=kubectls.oldest_and_newest(), ids=lambda path: path.name)
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Iterator[Kubectl]:
    """The oldest and the newest kubectl at hand, each in a namespace of its own."""
    yield from namespace_for(cluster, tmp_path, request.param)


@pytest.fixture
def newest(cluster: Cluster, tmp_path: Path) -> Iterator[Kubectl]:
    yield from namespace_for(cluster, tmp_path, kubectls.found()[-1])


def namespace_for(cluster: Cluster, tmp_path: Path, binary: Path) -> Iterator[Kubectl]:
    """A kubectl with a namespace of its own, which is deleted afterwards."""
    namespace = f"test-{next(_numbers)}"
    made = Kubectl(binary, cluster.kubeconfig, tmp_path / "cache", namespace)
    made("create", "namespace", namespace)
    until("default service account", lambda: made.run("get", "serviceaccount", "default").returncode == 0)
    try:
        yield made
    finally:
        made.run("delete", "namespace", namespace, "--wait=false")


def skip_without_control_groups(cluster: Cluster) -> None:
    if "rlimits" in cluster.balsa("doctor"):
        pytest.skip("control groups are not writable")

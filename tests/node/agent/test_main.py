"""The process of a node: a signal to stop ends it soon, however far its start has come."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from certs.ca import CertificateAuthority
from certs.kubeconfig import KubeConfig
from node.agent import main as node
from store.component.process import Lifecycle

SOON_S = 3.0


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def flags(tmp_path: Path, silent: int) -> list[str]:
    authority = CertificateAuthority.create("ca")
    authority.write(tmp_path / "ca.crt", tmp_path / "ca.key")
    pair = authority.issue_peer("system:node:n1", ["127.0.0.1"], ["system:nodes"])
    pair.write(tmp_path / "n.crt", tmp_path / "n.key")
    config = KubeConfig(f"https://127.0.0.1:{silent}", authority.cert_pem, pair.cert_pem, pair.key_pem)
    config.write(tmp_path / "kubeconfig")
    return [
        "--node-name=n1",
        f"--kubeconfig={tmp_path / 'kubeconfig'}",
        f"--root-dir={tmp_path / 'n1'}",
        "--port=0",
        f"--tls-cert-file={tmp_path / 'n.crt'}",
        f"--tls-private-key-file={tmp_path / 'n.key'}",
        f"--client-ca-file={tmp_path / 'ca.crt'}",
        "--node-ip=127.0.0.1",
        "--pod-cidr=127.9.0.0/24",
    ]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.2, 0.6])
def test_a_signal_while_it_starts_ends_it(flags: list[str], tmp_path: Path, after_s: float) -> None:
    log = tmp_path / "log"
    log.touch()  # the child may be gone before it opens it
    pid = os.fork()
    if pid == 0:
        out = os.open(log, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os._exit(node.main(flags))
    time.sleep(after_s)
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    status = _ended(pid)
    assert time.monotonic() - began < SOON_S
    assert status in (0, signal.SIGTERM), log.read_text()  # the latter before it has handlers
    assert "Traceback" not in log.read_text()


def _ended(pid: int) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("it did not end")


class Slow:
    """An agent whose start needs a moment to be interrupted."""

    def __init__(self, *parts: Any) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.heard: list[str] = []
        SLOW.append(self)

    async def start(self, sock: socket.socket, context: object) -> None:
        sock.close()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            self.heard.append("interrupted")
            raise

    async def stop(self) -> None:
        self.heard.append("stopped")


SLOW: list[Slow] = []


async def test_it_is_stopped_when_its_start_has_ended(
    flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "Agent", Slow)
    lifecycle = Lifecycle()
    arguments: Callable[[list[str]], argparse.Namespace] = node.parser().parse_args
    running = asyncio.ensure_future(node._run(arguments(flags), lifecycle))
    await asyncio.sleep(0.05)
    lifecycle.stopping.set()
    await running
    assert SLOW.pop().heard == ["interrupted", "stopped"]

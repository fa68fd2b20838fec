"""`balsa up` when something is in its way: one clear line on what to do, and no process left."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster import up
from cluster.home import Home
from cluster.progress import Progress, error_line
from node import linux
from tests import leftovers

SMALL = ("--stores", "1", "--apiservers", "1", "--schedulers", "0", "--nodes", "0", "--network", "loopback")
TIMEOUT_S = 90.0

pytestmark = pytest.mark.cluster


def _heed_interruptions() -> None:
    """Whoever runs the tests in the background may have had them ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Balsa:
    """The command, with a state directory of its own."""

    home: Path

    def start(
        self, *words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "cluster.cli", *words],
            env={**os.environ, "BALSA_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            preexec_fn=_heed_interruptions,
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        out, error = process.communicate(timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(words, process.returncode, out, error)

    def refused(self, *words: str) -> str:
        """The one line that it ends with, nothing being left."""
        done = self.run("up", *words)
        assert done.returncode == 1, done.stdout + done.stderr
        assert self.processes() == []
        (line,) = done.stderr.splitlines()
        assert line.startswith("balsa: ")
        return line

    def processes(self) -> list[str]:
        return leftovers.of_cluster(self.home)


@pytest.fixture
def balsa(tmp_path: Path) -> Iterator[Balsa]:
    made = Balsa(tmp_path / "b")
    yield made
    made.run("down")
    assert made.processes() == []


def test_interrupted(balsa: Balsa) -> None:
    process = balsa.start("up", *SMALL)
    until_supervised(balsa, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=TIMEOUT_S)
    assert balsa.processes() == []
    assert error == "balsa: interrupted; everything that was started has been stopped\n"
    assert process.returncode == 130


def test_the_terminal_is_closed(balsa: Balsa) -> None:
    """Then there is nobody to tell, and nothing to write to."""
    master, slave = pty.openpty()
    process = balsa.start("up", *SMALL, stdout=slave, stderr=slave)
    os.close(slave)
    until_supervised(balsa, process)
    os.close(master)
    process.send_signal(signal.SIGHUP)
    process.wait(timeout=TIMEOUT_S)
    assert balsa.processes() == []


def until_supervised(balsa: Balsa, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not (balsa.home / "control.sock").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)


def test_a_taken_port(balsa: Balsa) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = balsa.refused(*SMALL, "--port", str(port))
    assert f"port {port} of the apiserver is taken by another program" in line
    assert f"`ss -ltnp 'sport = :{port}'` names it" in line


@pytest.mark.parametrize("size", ["200k", "9m"], ids=["before-the-start", "during-the-start"])
def test_a_full_disk(balsa: Balsa, size: str) -> None:
    balsa.home.mkdir()
    try:
        linux.mount("tmpfs", str(balsa.home), "tmpfs", 0, f"size={size}")
    except OSError as error:
        pytest.skip(f"no tmpfs can be mounted: {error}")
    try:
        assert balsa.refused(*SMALL) == (f"balsa: no space is left for {balsa.home}; free some and try again")
    finally:
        linux.umount(str(balsa.home), linux.MNT_DETACH)


def test_a_damaged_state_directory(balsa: Balsa) -> None:
    assert balsa.run("up", *SMALL).returncode == 0
    balsa.run("down")
    for name, says in (("cluster.json", "is damaged"), ("pki/ca.crt", "restore it, or remove")):
        path = balsa.home / name
        good = path.read_bytes()
        path.write_text("{")
        line = balsa.refused()
        assert str(path) in line
        assert says in line
        path.write_bytes(good)
    (log,) = (balsa.home / "store" / "store-1" / "member" / "wal").iterdir()
    data = bytearray(log.read_bytes())
    data[len(data.rstrip(b"\0")) // 2] ^= 1  # room is reserved behind the last record
    log.write_bytes(data)
    assert balsa.refused().startswith(f"balsa: store-1 cannot start: {log} is corrupt at offset ")


def test_without_kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = up.advice(Home(tmp_path))
    assert lines[1] == "# kubectl is not installed: https://kubernetes.io/docs/tasks/tools/ says how"


# ---- the look of it


class Terminal:
    def __init__(self, is_terminal: bool) -> None:
        self.is_terminal = is_terminal
        self.text = ""

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...


@pytest.mark.parametrize(
    ("is_terminal", "no_colour", "moves", "coloured"),
    [(False, "", False, False), (True, "", True, True), (True, "1", True, False)],
    ids=["file", "terminal", "no-color"],
)
def test_progress(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, no_colour: str, moves: bool, coloured: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_colour)
    out = Terminal(is_terminal)
    progress = Progress(out, time.monotonic())  # type: ignore[arg-type]
    progress.waiting("apiserver ready")
    assert bool(out.text) is moves
    progress.reached("apiserver ready", 2.0)
    assert ("✓ apiserver ready" in out.text) is not coloured
    assert ("\x1b[32m✓" in out.text) is coloured
    assert out.text.endswith("apiserver ready              2.0 s\n")
    assert error_line(out, "no").replace("\x1b[31m", "").replace("\x1b[0m", "") == "balsa: no"  # type: ignore[arg-type]

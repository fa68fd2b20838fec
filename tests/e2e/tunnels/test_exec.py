"""exec and cp, as kubectl's generations speak them (SPDY/3.1, WebSocket, SPDY in WebSocket)."""

from __future__ import annotations

import hashlib
import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import until
from tests.e2e.tunnels.box import DEADLINE_S, PAYLOAD
from tests.kubectl import COPY, Kubectl

pytestmark = pytest.mark.cluster


def run_bytes(kubectl: Kubectl, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(kubectl.binary), f"--namespace={kubectl.namespace}", *words],
        env={**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)},
        input=input,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_exec_keeps_output_and_exit_code(box: Kubectl) -> None:
    done = box.run("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (done.returncode, done.stdout) == (42, "out\n")
    assert done.stderr.splitlines() == ["err", "command terminated with exit code 42"]


def test_exec_carries_a_mebibyte_in_and_out(box: Kubectl) -> None:
    done = run_bytes(box, "exec", "-i", "box", "--", "cat", input=PAYLOAD)
    assert done.returncode == 0, done.stderr
    assert done.stdout == PAYLOAD


def test_exec_ends_input_before_output(box: Kubectl) -> None:
    done = run_bytes(box, "exec", "-i", "box", "--", "sha256sum", input=PAYLOAD)
    assert done.stdout.split()[0].decode() == hashlib.sha256(PAYLOAD).hexdigest()


def test_exec_without_stdin_reads_nothing(box: Kubectl) -> None:
    assert box("exec", "box", "--", "sh", "-c", "cat | wc -c").strip() == "0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(
            ("box", "--", "nonesuch"), 'exec: "nonesuch": executable file not found', id="no program"
        ),
        pytest.param(("box", "-c", "nope", "--", "ls"), "container nope", id="no container"),
        pytest.param(("gone", "--", "ls"), 'pods "gone" not found', id="no pod"),
    ],
)
def test_exec_says_what_is_wrong(box: Kubectl, words: tuple[str, ...], said: str) -> None:
    done = box.run("exec", *words)
    assert done.returncode != 0
    assert said in done.stderr


def on_terminal(
    kubectl: Kubectl, *words: str, typed: list[tuple[bytes, bytes]], size: tuple[int, int]
) -> bytes:
    """Run kubectl on a terminal; `typed` is (what to wait for, what to type then)."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ["KUBECONFIG"] = str(kubectl.kubeconfig)
        os.execv(kubectl.binary, ["kubectl", f"--namespace={kubectl.namespace}", *words])
    resize(master, size)
    output, deadline = b"", time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < deadline:
            if typed and typed[0][0] in output:
                os.write(master, typed.pop(0)[1])
            if select.select([master], [], [], 0.1)[0]:
                try:
                    piece = os.read(master, 4096)
                except OSError:
                    return output
                if not piece:
                    return output
                output += piece
        raise AssertionError(f"still running: {output!r}")
    finally:
        os.close(master)
        os.waitpid(pid, 0)


def resize(master: int, size: tuple[int, int]) -> None:
    import termios

    termios.tcsetwinsize(master, size)


def test_a_terminal_is_one_and_follows_its_size(box: Kubectl) -> None:
    script = "test -t 0 && test -t 1 && tty; echo ready; read a; stty size; exit 0"
    output = on_terminal(
        box, "exec", "-it", "box", "--", "sh", "-c", script, typed=[(b"ready", b"go\n")], size=(33, 101)
    )
    assert b"/dev/pts/" in output
    assert b"33 101" in output


def test_an_interrupt_typed_is_a_signal(box: Kubectl) -> None:
    script = "trap 'echo caught; exit 0' INT; echo ready; while :; do sleep 0.1; done"
    output = on_terminal(
        box, "exec", "-it", "box", "--", "sh", "-c", script, typed=[(b"ready", b"\x03")], size=(24, 80)
    )
    assert b"caught" in output


def test_a_killed_kubectl_takes_its_command_along(box: Kubectl) -> None:
    running = subprocess.Popen(
        [
            str(box.binary),
            f"--namespace={box.namespace}",
            "exec",
            "-i",
            "box",
            "--",
            "sh",
            "-c",
            "exec sleep 4711",
        ],
        env={**os.environ, "KUBECONFIG": str(box.kubeconfig)},
        stdin=subprocess.PIPE,
    )
    find = ("exec", "box", "--", "sh", "-c", "grep -l 471[1] /proc/[0-9]*/cmdline 2>/dev/null | wc -l")
    try:
        until("the command runs", lambda: box(*find).strip() == "1")
    finally:
        running.kill()
        running.communicate()
    until("the command is gone", lambda: box(*find).strip() == "0")


def test_cp_both_ways(box: Kubectl, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "payload").write_bytes(PAYLOAD)
    (tree / "small").write_text("small\n")
    box(*COPY, str(tree), "box:/tmp/copied")
    assert box("exec", "box", "--", "cat", "/tmp/copied/small") == "small\n"
    box("cp", "box:/tmp/copied", str(tmp_path / "back"))
    assert (tmp_path / "back" / "sub" / "payload").read_bytes() == PAYLOAD
    assert (tmp_path / "back" / "small").read_text() == "small\n"

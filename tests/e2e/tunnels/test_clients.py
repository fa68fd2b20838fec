"""Who may open a tunnel, and the official Python client's tunnels."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.e2e.tunnels.box import DEADLINE_S
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


def test_a_reader_of_pods_may_not_exec(box: Kubectl) -> None:
    box("create", "role", "reader", "--verb=get", "--resource=pods,pods/exec")
    box("create", "rolebinding", "reader", "--role=reader", "--user=eve")
    done = box.run("--as=eve", "exec", "box", "--", "id")
    assert done.returncode != 0
    assert 'User "eve" cannot create resource "pods/exec"' in done.stderr


PYTHON_EXEC = """
words = {"stderr": True, "stdout": True, "tty": False, "_preload_content": False}
shell = stream(core.connect_get_namespaced_pod_exec, "box", namespace, command=["sh"], stdin=True, **words)
shell.write_stdin("echo one; echo two >&2\\n")
print(shell.readline_stdout(timeout=30), shell.readline_stderr(timeout=30))
shell.write_stdin("exit 3\\n")
shell.run_forever(timeout=30)
print(shell.returncode)
"""

PYTHON_PORT_FORWARD = """
forward = portforward(core.connect_get_namespaced_pod_portforward, "box", namespace, ports="8080")
connection = forward.socket(8080)
connection.setblocking(True)
connection.sendall(b"GET /py HTTP/1.0\\r\\n\\r\\n")
answer = b""
while piece := connection.recv(4096):
    answer += piece
print(answer.decode().splitlines()[-1], forward.error(8080))
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param(PYTHON_EXEC, "one two\n3\n", id="exec"),
        pytest.param(PYTHON_PORT_FORWARD, "page /py None\n", id="port-forward"),
    ],
)
def test_the_python_client(box: Kubectl, script: str, said: str) -> None:
    """In a process of its own: it leaves sockets and threads behind."""
    head = (
        "import sys; from kubernetes import client, config; from kubernetes.stream import portforward, stream\n"
        "config.load_kube_config(); core = client.CoreV1Api(); namespace = sys.argv[1]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + script, box.namespace],
        env={**os.environ, "KUBECONFIG": str(box.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.stdout == said, done.stderr

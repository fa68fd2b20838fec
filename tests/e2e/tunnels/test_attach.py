"""attach, run and debug, as kubectl's generations speak them."""

from __future__ import annotations

import json
import re

import pytest

from tests.e2e.conftest import until
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


def test_run_is_attached_and_removed(box: Kubectl) -> None:
    words = ("run", "-i", "--rm", "--restart=Never", "cat", "--image=x", "--command", "--", "cat")
    done = box.run(*words, input="hello\n")
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout
    assert "cat" not in box("get", "pods", "-o", "name").split()


def test_run_returns_the_exit_code(box: Kubectl) -> None:
    words = (
        "run",
        "-i",
        "--rm",
        "--restart=Never",
        "code",
        "--image=x",
        "--command",
        "--",
        "sh",
        "-c",
        "exit 7",
    )
    assert box.run(*words).returncode == 7


def test_attach_joins_a_running_container(box: Kubectl) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "listener"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "c",
                    "image": "x",
                    "command": ["sh", "-c", "read line; echo heard $line; read more; exit 3"],
                    "stdin": True,
                    "stdinOnce": True,
                }
            ],
        },
    }
    box("apply", "-f", "-", input=json.dumps(manifest))
    box("wait", "--for=condition=Ready", "pod/listener", "--timeout=30s")
    done = box.run("attach", "-i", "listener", input="a line\n")
    assert "heard a line" in done.stdout
    until("it has ended", lambda: "Failed" in box("get", "pod", "listener", "-o", "jsonpath={.status.phase}"))
    box("delete", "pod", "listener", "--now")


def test_debug_adds_a_container_to_a_running_pod(box: Kubectl) -> None:
    script = "hostname; read line; echo you said $line"
    words = ("debug", "box", "--image=x", "-i", "--container=dbg", "--", "sh", "-c", script)
    done = box.run(*words, input="hi\n")
    assert "you said hi" in done.stdout, done.stderr
    statuses = box.json("get", "pod", "box")["status"]["ephemeralContainerStatuses"]
    assert [each["name"] for each in statuses] == ["dbg"]
    until(
        "it has ended",
        lambda: (
            "terminated" in box.json("get", "pod", "box")["status"]["ephemeralContainerStatuses"][0]["state"]
        ),
    )


def test_debug_of_a_node(box: Kubectl) -> None:
    node = box("get", "pod", "box", "-o", "jsonpath={.spec.nodeName}")
    done = box.run(
        "debug", f"node/{node}", "--image=x", "-i", "--", "sh", "-c", "read a; ls -d /host$a", input="/etc\n"
    )
    assert "/host/etc" in done.stdout, done.stderr
    name = re.search(r"node-debugger-\S+", done.stdout + done.stderr)
    assert name is not None
    box("delete", "pod", name[0], "--now")

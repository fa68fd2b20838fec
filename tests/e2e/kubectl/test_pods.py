"""logs, attach, exec, port-forward, proxy, cp, debug, events. (Terminals and faults of streams: tests/e2e/tunnels.)"""

from __future__ import annotations

import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import until
from tests.e2e.kubectl.transcript import check
from tests.kubectl import COPY, Kubectl

pytestmark = pytest.mark.cluster

SERVER = (
    "import http.server, threading, time\n"
    "print('first', flush=True); print('second', flush=True)\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.end_headers(); self.wfile.write(b'hello')\n"
    "    def log_message(self, *_): pass\n"
    "http.server.HTTPServer(('0.0.0.0', 8080), Handler).serve_forever()\n"
)


@pytest.fixture
def pod(kubectl: Kubectl) -> str:
    return make_pod(kubectl)


def make_pod(kubectl: Kubectl) -> str:
    kubectl("run", "web", "--image=python:3", "--port=8080", "--command", "--", "python3", "-c", SERVER)
    kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=30s")
    until("its log", lambda: kubectl.run("logs", "web").stdout == "first\nsecond\n")
    return "web"


@contextmanager
def in_background(kubectl: Kubectl, *words: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)}
    command = [str(kubectl.binary), f"--namespace={kubectl.namespace}", *words]
    with subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_logs(kubectl: Kubectl, pod: str) -> None:
    check(
        kubectl,
        """
$ logs web
first
second
$ logs web --tail=1
second
$ logs web --timestamps --tail=1
<*>Z second
$ logs -l run=web --prefix
[pod/web/web] first
[pod/web/web] second
$ logs web -c other
error: container other is not valid for pod web
$ logs web --previous
Error from server (BadRequest): previous terminated container "web" in pod "web" not found
$ logs nobody
{error: error from server (NotFound): pods|Error from server (NotFound): pods} "nobody" not found{ in namespace "NAMESPACE"|}
""".replace("NAMESPACE", kubectl.namespace),
    )


def test_exec_and_cp(kubectl: Kubectl, pod: str, tmp_path: Path) -> None:
    source, back = tmp_path / "there", tmp_path / "back"
    source.write_text("carried\n")
    check(
        kubectl,
        f"""
$ exec web -- echo hello
hello
$ exec web -- sh -c 'echo to >&2; exit 3'
to
command terminated with exit code 3
$ exec web -- nothing-of-that-name
{{error: Internal error occurred: |error: }}<*>nothing-of-that-name<*>
$ exec nobody -- true
Error from server (NotFound): pods "nobody" not found
$ {" ".join(COPY)} {source} web:/tmp/there
$ exec web -- cat /tmp/there
carried
$ cp web:/tmp/there {back}
? tar:<*>
""",
    )
    assert back.read_text() == "carried\n"


def test_attach(kubectl: Kubectl) -> None:
    overrides = "sh -c 'while read line; do echo got $line; done'"
    check(kubectl, f"$ run echo --image=busybox -i --attach=false --command -- {overrides}\npod/echo created")
    kubectl("wait", "--for=condition=Ready", "pod/echo", "--timeout=30s")
    with in_background(kubectl, "attach", "-i", "echo") as process:
        assert process.stdin is not None
        lines = []
        process.stdin.write("this\n")
        process.stdin.flush()
        while "got this\n" not in lines:
            lines.append(read_line(process))
            assert lines[-1], lines


def test_port_forward(kubectl: Kubectl, pod: str) -> None:
    with in_background(kubectl, "port-forward", "pod/web", ":8080") as process:
        line = read_line(process)
        assert line.startswith("Forwarding from 127.0.0.1:")
        port = line.split("127.0.0.1:")[1].split()[0]
        assert line == f"Forwarding from 127.0.0.1:{port} -> 8080\n"
        assert fetch(f"http://127.0.0.1:{port}/") == "hello"
        while (line := read_line(process)).startswith("Forwarding from"):
            pass
        assert line == f"Handling connection for {port}\n"


def test_proxy(kubectl: Kubectl, pod: str) -> None:
    with in_background(kubectl, "proxy", "--port=0") as process:
        line = read_line(process)
        assert line.startswith("Starting to serve on 127.0.0.1:")
        base = f"http://{line.split()[-1]}"
        assert '"kind": "PodList"' in fetch(
            f"{base}/api/v1/namespaces/{kubectl.namespace}/pods?pretty=true"
        ) or ('"kind":"PodList"' in fetch(f"{base}/api/v1/namespaces/{kubectl.namespace}/pods"))
        assert fetch(f"{base}/api/v1/namespaces/{kubectl.namespace}/pods/web:8080/proxy/") == "hello"


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_debug(kubectl: Kubectl, pod: str) -> None:
    shown = kubectl.run("debug", "web", "--image=busybox", "--container=look", "--", "sh", "-c", "echo seen")
    assert shown.returncode == 0, shown.stderr
    until("the debugger's log", lambda: kubectl.run("logs", "web", "-c", "look").stdout == "seen\n")
    check(
        kubectl,
        """
$ get pod web -o jsonpath={.spec.ephemeralContainers[0].name}
look
$ debug web --copy-to=copy --image=busybox --container=look -- true
...
$ get pod copy -o jsonpath={.spec.containers[*].name}
web look
$ debug nobody --image=busybox -- true
? --profile=legacy is deprecated <*>
Error from server (NotFound): pods "nobody" not found
""",
    )


def test_events(kubectl: Kubectl, pod: str) -> None:
    check(
        kubectl,
        """
$? events --for pod/web
LAST SEEN   TYPE     REASON      OBJECT    MESSAGE
<age>       Normal   Scheduled   Pod/web   Successfully assigned {namespace}/web to node-<number>
<age>       Normal   Pulled      Pod/web   Container image "python:3" already present on machine<*>
<age>       Normal   Created     Pod/web   {Created container: web|Created container web|Container created}
<age>       Normal   Started     Pod/web   {Started container web|Container started}
$ events --types=Warning
No events found in {namespace} namespace.
$ get events --field-selector reason=Scheduled
LAST SEEN   TYPE     REASON      OBJECT    MESSAGE
<age>       Normal   Scheduled   pod/web   Successfully assigned {namespace}/web to node-<number>
""",
    )

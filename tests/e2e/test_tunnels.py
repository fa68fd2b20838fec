"""exec, attach, cp, port-forward, debug and proxy, as kubectl's generations speak them (SPDY/3.1, WebSocket, SPDY
in WebSocket), and as the official Python client does."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import kubectl as kubectls
from tests.e2e.conftest import Cluster, namespace_for, until
from tests.kubectl import COPY, Kubectl

pytestmark = pytest.mark.cluster

GENERATIONS = ("kubectl.1.27", "kubectl.1.29", "kubectl.1.30")  # and the newest: each speaks differently
DEADLINE_S = 30
PAYLOAD = os.urandom(1024 * 1024)

BOX = """
import hashlib, http.server, os, socketserver, sys, threading
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/away":
            self.send_response(302); self.send_header("Location", "/there"); self.end_headers(); return
        self.send_response(200); self.end_headers(); self.wfile.write(("page " + self.path).encode())
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201); self.end_headers(); self.wfile.write(hashlib.sha256(body).hexdigest().encode())
class Digest(socketserver.BaseRequestHandler):
    def handle(self):
        digest = hashlib.sha256()
        while data := self.request.recv(65536): digest.update(data)
        self.request.sendall(digest.hexdigest().encode())
class Server(socketserver.ThreadingTCPServer): daemon_threads = True; request_queue_size = 128
local = Server(("127.0.0.1", 9000), Digest)
threading.Thread(target=local.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Page).serve_forever()
"""


def generations() -> list[Path]:
    every = kubectls.found()
    return [path for path in every if path.name in GENERATIONS or path == every[-1]]


@pytest.fixture(scope="module", params=generations(), ids=lambda path: path.name)
def box(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubectl]:
    """A kubectl, and in its namespace the pod `box`: HTTP on 8080, and on its localhost's 9000 a digest of all that
    is sent until the sender half-closes."""
    with contextlib.contextmanager(namespace_for)(
        cluster, tmp_path_factory.mktemp("box"), request.param
    ) as made:
        made("run", "box", "--image=python:3", "--port=8080", "--command", "--", "python3", "-c", BOX)
        made("wait", "--for=condition=Ready", "pod/box", "--timeout=30s")
        script = "import socket; socket.create_connection(('127.0.0.1', 8080))"
        until("it serves", lambda: made.run("exec", "box", "--", "python3", "-c", script).returncode == 0)
        yield made


def run_bytes(kubectl: Kubectl, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(kubectl.binary), f"--namespace={kubectl.namespace}", *words],
        env={**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)},
        input=input,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


# ---- exec


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


# ---- cp


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


# ---- attach, run, debug


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


# ---- port-forward


@contextlib.contextmanager
def forwarded(kubectl: Kubectl, target: str, port: int) -> Iterator[int]:
    """The local port."""
    process = subprocess.Popen(
        [str(kubectl.binary), f"--namespace={kubectl.namespace}", "port-forward", target, f":{port}"],
        env={**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found is not None, line
        yield int(found[1])
    finally:
        process.kill()
        process.communicate()


def fetch(url: str, data: bytes | None = None) -> str:
    with urllib.request.urlopen(url, data, timeout=DEADLINE_S) as answer:
        text: str = answer.read().decode()
        return text


@pytest.mark.parametrize("target", ["pod/box", "deployment/web", "service/web"])
def test_port_forward_to(box: Kubectl, target: str) -> None:
    if target != "pod/box":
        command = ("python3", "-c", BOX)
        box("create", "deployment", "web", "--image=python:3", "--", *command)
        box("rollout", "status", "deployment/web", "--timeout=30s")
        box("expose", "deployment", "web", "--port=80", "--target-port=8080")
    try:
        with forwarded(box, target, 80 if target == "service/web" else 8080) as port:
            until("the page is there", lambda: answers(f"http://127.0.0.1:{port}/x"))
            assert fetch(f"http://127.0.0.1:{port}/hello") == "page /hello"
    finally:
        if target != "pod/box":
            box("delete", "deployment,service", "web", "--now")
            until("its pods are gone", lambda: not box("get", "pods", "--selector=app=web", "--output=name"))


def answers(url: str) -> bool:
    try:
        return bool(fetch(url))
    except OSError:
        return False


def digest_through(port: int, payload: bytes) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
        connection.sendall(payload)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    return answer.decode()


def test_port_forward_half_closes_many_connections_at_once(box: Kubectl) -> None:
    payloads = [PAYLOAD[number * 1000 :] for number in range(20)]
    with forwarded(box, "pod/box", 9000) as port, concurrent.futures.ThreadPoolExecutor(20) as pool:
        digests = list(pool.map(lambda payload: digest_through(port, payload), payloads))
    assert digests == [hashlib.sha256(payload).hexdigest() for payload in payloads]


def test_port_forward_to_a_port_where_nobody_listens(box: Kubectl) -> None:
    with forwarded(box, "pod/box", 9999) as port:
        assert digest_through_refused(port) == ""


def digest_through_refused(port: int) -> str:
    try:
        return digest_through(port, b"x")
    except ConnectionError:
        return ""


# ---- proxy


def test_proxy_to_pod_service_and_node(box: Kubectl) -> None:
    box("expose", "pod", "box", "--port=80", "--target-port=8080")
    base = f"/api/v1/namespaces/{box.namespace}"
    try:
        assert box("get", "--raw", f"{base}/pods/box:8080/proxy/a//b?c=d") == "page /a//b?c=d"
        assert box("get", "--raw", f"{base}/pods/box/proxy/first-port") == "page /first-port"
        path = f"{base}/services/box:80/proxy/svc"
        until("the endpoint is there", lambda: box.run("get", "--raw", path).stdout == "page /svc")
        node = box("get", "pod", "box", "-o", "jsonpath={.spec.nodeName}")
        assert box("get", "--raw", f"/api/v1/nodes/{node}/proxy/healthz") == "ok"
        refused = box.run("get", "--raw", f"{base}/pods/box:81/proxy/")
        assert "error trying to reach service: dial tcp" in refused.stderr
        assert "connection refused" in refused.stderr
        assert "no service port 81 found" in box.run("get", "--raw", f"{base}/services/box:81/proxy/").stderr
    finally:
        box("delete", "service", "box")


def test_kubectl_proxy_posts_and_follows_redirects(box: Kubectl) -> None:
    process = subprocess.Popen(
        [str(box.binary), "proxy", "--port=0"],
        env={**os.environ, "KUBECONFIG": str(box.kubeconfig)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        root = f"http://{address}/api/v1/namespaces/{box.namespace}/pods/box:8080/proxy"
        assert fetch(root) == "page /"
        assert fetch(f"{root}/away") == "page /there"
        assert fetch(f"{root}/post", PAYLOAD) == hashlib.sha256(PAYLOAD).hexdigest()
    finally:
        process.kill()
        process.communicate()


# ---- who may, and other clients


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

"""port-forward and proxy, as kubectl's generations speak them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import until
from tests.e2e.tunnels.box import BOX, DEADLINE_S, PAYLOAD
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster


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

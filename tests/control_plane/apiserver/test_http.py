"""What is no proper request: a 4xx, a Status, and a server that goes on."""

from __future__ import annotations

import json
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.control_plane.apiserver.harness import Harness


def raw_exchange(api: Harness, sent: bytes, timeout_s: float = 5.0) -> bytes:
    with connected(api, timeout_s) as sock:
        sock.sendall(sent)
        received = b""
        with suppress(TimeoutError, ssl.SSLError):
            while piece := sock.recv(65536):
                received += piece
                if b"\r\n\r\n" in received and b'"code":' in received:
                    break
        return received


def connected(api: Harness, timeout_s: float = 5.0) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", api.port), timeout_s)
    return api.context().wrap_socket(plain, server_hostname="127.0.0.1")


HOST = b"Host: x\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"GET /api/v1/pods?limit=%zz&labelSelector=%00 HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
    ids=["no http", "version", "long path", "long header", "bad chunk", "bad length", "odd query"],
)
def test_malformed_requests(api: Harness, sent: bytes) -> None:
    received = raw_exchange(api, sent)
    assert received.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), received[:200]
    status = json.loads(received.partition(b"\r\n\r\n")[2])
    assert status["kind"] == "Status"
    assert 400 <= status["code"] < 500


BODY = b'{"metadata":{"generateName":"way-"}}'
COUNTED = b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKED += b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:])


@pytest.mark.parametrize("sent", [COUNTED, CHUNKED], ids=["counted", "chunked"])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_a_body_is_whole_however_it_comes(api: Harness, sent: bytes, pieces: int) -> None:
    head = b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nContent-Type: application/json\r\n"
    sent, length = head + HOST + sent, len(sent) // pieces + 1
    with connected(api) as sock:
        sock.sendall(sent[: -length * (pieces - 1)] if pieces > 1 else sent)
        for left in range(pieces - 1, 0, -1):
            time.sleep(0.02)
            sock.sendall(sent[-length * left : -length * (left - 1) or None])
        assert sock.recv(65536).startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/namespaces/%00/pods"),
        ("GET", "/api/v1/namespaces/default/pods/%2e%2e"),
        ("GET", "/api/v1/namespaces/default/configmaps/" + "a" * 5000),
        ("GET", "/api/v1/namespaces/%ff%fe/configmaps/x"),
        ("PATCH", "/api/v1/namespaces/default/configmaps/none"),
        ("TRACE", "/api/v1/pods"),
        ("OPTIONS", "/api/v1/pods"),
        ("BREW", "/api/v1/pods"),
    ],
)
def test_odd_paths_and_methods(api: Harness, method: str, path: str) -> None:
    answer = api.request(method, path, headers={"Content-Type": "application/merge-patch+json"})
    assert 400 <= answer.status < 500 or (answer.status == 200 and answer.body["items"] == [])


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"metadata":' * 5000),
        ("application/json", b'{"metadata":{"name":"\xff"}}'),
        ("application/json", b'{"metadata":{"name":5}}'),
        ("application/json", b'{"metadata":[]}'),
        ("application/json", b'{"metadata":{"name":"a","labels":{"a":{"b":"c"}}}}'),
        ("application/json", b'{"metadata":{"name":"a/b"}}'),
        ("application/json", b'{"metadata":{"name":"a"},"data":{"a":1e999}}'),
        ("application/yaml", b"a: &a [" + b"*a," * 1000 + b"]"),
        ("application/yaml", b"!!python/object:os.system {}"),
        ("application/vnd.kubernetes.protobuf", b"k8s\x00" + b"\xff" * 1000),
        ("application/vnd.kubernetes.protobuf", b""),
    ],
)
def test_malformed_bodies(api: Harness, content_type: str, body: bytes) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    answer = api.request("POST", path, body, {"Content-Type": content_type})
    assert 400 <= answer.status < 500, answer.raw
    assert answer.body["kind"] == "Status"


def test_a_client_that_hangs_up_leaves_nothing_behind(api: Harness) -> None:
    path = b"/api/v1/namespaces/default/configmaps?watch=true"
    for _ in range(20):
        with connected(api) as sock:
            sock.sendall(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    deadline = time.monotonic() + 5
    while open_connections(api) > 2:
        assert time.monotonic() < deadline, "the watches of clients that are gone are still served"
        time.sleep(0.05)
    assert "Traceback" not in (api.directory / "apiserver.log").read_text()


def open_connections(api: Harness) -> int:
    """Established connections to the apiserver's port, as the kernel lists them."""
    wanted = f":{api.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(1 for row in rows if row[1].endswith(wanted) and row[3] in ("01", "08"))

"""A small API server of somebody else, as one that an APIService brings in: the group wardle.example.com, whose
flunders are kept in memory. It believes what the front proxy says of the user in headers, because it demands the
front proxy certificate."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from certs.ca import CertificateAuthority

Object = dict[str, Any]
GROUP, VERSION = "wardle.example.com", "v1alpha1"
ROOT = f"/apis/{GROUP}/{VERSION}"
DEFINITION = "com.example.wardle.v1alpha1.Flunder"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: SampleServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not length and self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        else:
            body = self.rfile.read(length)
        owner = self.server.owner
        url = urlsplit(self.path)
        headers: dict[str, list[str]] = {}
        for name in self.headers:
            headers[name.lower()] = self.headers.get_all(name) or []
        owner.requests.append((self.command, self.path, headers))
        if url.path.endswith("/connect") and self.headers.get("Upgrade"):
            self._echo()
            return
        if url.path.startswith(ROOT) and parse_qs(url.query).get("watch"):
            self._watch()
            return
        status, answer = owner.answer(self.command, url.path, body)
        raw = json.dumps(answer).encode()
        self.send_response(status)
        kind = answer.get("kind", "")
        aggregated = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        more = aggregated if kind == "APIGroupDiscoveryList" else ""
        self.send_header("Content-Type", f"application/json{more}")
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Warning", '299 - "flunders are fragile"')
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

    def _echo(self) -> None:
        """Whatever it is upgraded to: what comes is sent back."""
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.end_headers()
        while data := self.connection.recv(1024):
            self.connection.sendall(data)
        self.close_connection = True

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _watch(self) -> None:
        """One event at once; the stream stays open until the server is told to go on."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for name in ("first", "second"):
            event = {"type": "ADDED", "object": {"kind": "Flunder", "metadata": {"name": name}}}
            raw = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%b\r\n" % (len(raw), raw))
            self.wfile.flush()
            self.server.owner.go_on.wait(10)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class SampleServer:
    def __init__(self, name: str, front_proxy_ca: Path) -> None:
        self.requests: list[tuple[str, str, dict[str, list[str]]]] = []
        self.flunders: dict[str, Object] = {}
        self.go_on = threading.Event()
        self.healthy = True
        authority = CertificateAuthority.create("wardle-ca")
        self.ca_bundle = base64.b64encode(authority.cert_pem).decode()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(front_proxy_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        with tempfile.TemporaryDirectory() as directory:
            certificate, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
            authority.issue_server("wardle", [name]).write(certificate, key)
            context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> SampleServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Object]:
        if not self.healthy:
            return 500, {"kind": "Status", "status": "Failure"}
        if path == "/apis":
            return 200, self.discovery()
        if path == ROOT:
            return 200, {"kind": "APIResourceList", "groupVersion": f"{GROUP}/{VERSION}", "resources": []}
        if path == f"/openapi/v3{ROOT}":
            return 200, {"openapi": "3.0.0", "components": {"schemas": {DEFINITION: {"type": "object"}}}}
        if path == "/openapi/v2":
            return 200, {
                "swagger": "2.0",
                "paths": {f"{ROOT}/flunders": {"get": {"responses": {"200": {"description": "OK"}}}}},
                "definitions": {DEFINITION: {"type": "object", "description": "a flunder"}},
            }
        if path.startswith(f"{ROOT}/"):
            return self._flunders(method, path, body)
        return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}

    def discovery(self) -> Object:
        kind = {"group": GROUP, "version": VERSION, "kind": "Flunder"}
        resource = {
            "resource": "flunders",
            "responseKind": kind,
            "scope": "Namespaced",
            "singularResource": "flunder",
            "verbs": ["create", "get", "list", "watch"],
        }
        versions = [{"version": VERSION, "resources": [resource], "freshness": "Current"}]
        items = [{"metadata": {"name": GROUP}, "versions": versions}]
        return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items}

    def _flunders(self, method: str, path: str, body: bytes) -> tuple[int, Object]:
        kind = {"apiVersion": f"{GROUP}/{VERSION}"}
        name = path.partition("/flunders/")[2]
        if method == "POST":
            made = json.loads(body)
            self.flunders[made["metadata"]["name"]] = made
            return 201, made
        if name:
            found = self.flunders.get(name)
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound"}
            return (200, found) if found else (404, {**missing, "message": f'flunder "{name}" not found'})
        return 200, {**kind, "kind": "FlunderList", "metadata": {}, "items": list(self.flunders.values())}

"""A webhook as its author would run it: an HTTPS server of its own, with a certificate of its own authority.

with WebhookServer(["hook.ns.svc"]) as server:
    server.answer = lambda request: {"allowed": True}
    configuration = {"url": server.url("/validate"), "caBundle": server.ca_bundle}
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from certs.ca import CertificateAuthority

Object = dict[str, Any]
Answer = Callable[[Object], Object]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: WebhookServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        owner = self.server.owner
        owner.reviews.append(sent)
        owner.paths.append(self.path)
        owner.headers.append(dict(self.headers))
        status, body = owner.respond(sent)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        owner = self.server.owner
        found = owner.documents.get(self.path)
        owner.headers.append(dict(self.headers))
        body = found.encode() if isinstance(found, str) else json.dumps(found).encode()
        self.send_response(200 if found is not None else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class WebhookServer:
    def __init__(self, names: Sequence[str] = ()) -> None:
        self.answer: Answer = lambda request: {"allowed": True}
        self.whole: Callable[[Object], tuple[int, bytes]] | None = (
            None  # instead of `answer`: status and body
        )
        self.documents: dict[str, Object | str] = {}  # what a GET of a path answers: an object, or text
        self.reviews: list[Object] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        authority = CertificateAuthority.create("webhooks")
        self.ca_pem = authority.cert_pem
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            pair = authority.issue_server("webhook", ["localhost", "127.0.0.1", *names])
            pair.write(Path(directory, "tls.crt"), Path(directory, "tls.key"))
            context.load_cert_chain(Path(directory, "tls.crt"), Path(directory, "tls.key"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> WebhookServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def ca_bundle(self) -> str:
        pem = self.ca_pem if isinstance(self.ca_pem, bytes) else self.ca_pem.encode()
        return base64.b64encode(pem).decode()

    def url(self, path: str = "/") -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def client(self, path: str = "/") -> Object:
        """A clientConfig."""
        return {"url": self.url(path), "caBundle": self.ca_bundle}

    def respond(self, review: Object) -> tuple[int, bytes]:
        if self.whole is not None:
            return self.whole(review)
        request = review["request"]
        response = {"uid": request["uid"], **self.answer(request)}
        body = {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}
        return 200, json.dumps(body).encode()


def patch(*operations: Object) -> Object:
    """The answer of a webhook that allows and changes."""
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}

"""A conversion webhook, and resources of which `v1` and `v2` have their fields in other places."""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from certs.ca import CertificateAuthority
from tests.control_plane.apiserver.crd.samples import spec_schema

Object = dict[str, Any]


def plain(name: str, storage: bool, properties: Object, served: bool = True) -> Object:
    schema = spec_schema(properties)
    return {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": schema}}


HOST_PORT = {"hostPort": {"type": "string"}}
HOST_AND_PORT = {"host": {"type": "string"}, "port": {"type": "string", "default": "80"}}


def obj(crd: Object, version: str, spec: Object, name: str = "a") -> Object:
    api_version = f"{crd['spec']['group']}/{version}"
    return {"apiVersion": api_version, "kind": "CronTab", "metadata": {"name": name}, "spec": spec}


class Converter:
    """A webhook on TLS of its own; `answer` makes the response of a request."""

    def __init__(self, directory: Path) -> None:
        authority = CertificateAuthority.create("webhook")
        authority.issue_server("localhost", ("localhost", "127.0.0.1")).write(
            directory / "hook.crt", directory / "hook.key"
        )
        self.ca_bundle = b64encode(authority.cert_pem)
        self.requests: list[Object] = []
        self.answer: Callable[[Object], Object] = self.convert
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(review)
                response = {**outer.answer(review["request"])}
                body = json.dumps({**review, "request": None, "response": response}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "hook.crt", directory / "hook.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.server_address[1]}/convert"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def convert(self, request: Object) -> Object:
        wanted = request["desiredAPIVersion"]
        made = []
        for each in request["objects"]:
            spec = dict(each["spec"])
            if wanted.endswith("/v2") and "hostPort" in spec:
                host, _, port = spec.pop("hostPort").partition(":")
                spec |= {"host": host, "port": port}
            elif wanted.endswith("/v1") and "host" in spec:
                spec = {"hostPort": f"{spec['host']}:{spec['port']}"}
            made.append({**each, "apiVersion": wanted, "spec": spec})
        return {"uid": request["uid"], "convertedObjects": made, "result": {"status": "Success"}}


def paths(crd: Object, namespace: str) -> tuple[str, str]:
    group = crd["spec"]["group"]
    v1, v2 = (f"/apis/{group}/{each}/namespaces/{namespace}/crontabs" for each in ("v1", "v2"))
    return v1, v2

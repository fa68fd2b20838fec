"""test/e2e/apimachinery/aggregator.go: the sample server is a deployment, its certificate a secret"""

from __future__ import annotations

import contextlib
from base64 import b64encode
from pathlib import Path
from typing import Any

from certs.ca import CertificateAuthority
from tests.conformance.client import ApiError, Client, Resource
from tests.conformance.workload import condition, settled, workload
from tests.e2e.conftest import until

Object = dict[str, Any]
GROUP, VERSION = "wardle.example.com", "v1alpha1"
NAME = f"{VERSION}.{GROUP}"
PORT = 7443
E2E = {"status": "True", "reason": "E2E", "message": "Set from e2e test"}
SERVER = """
import http.server, json, os, ssl
ROOT = "wardle.example.com/v1alpha1"
flunders = {}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)
    def answer(self):
        body = self.body()
        path = self.path.partition("?")[0]
        name = path.partition("/flunders/")[2]
        code, found = 200, {"kind": "FlunderList", "apiVersion": ROOT, "metadata": {},
                            "items": list(flunders.values())}
        if path == "/apis/" + ROOT:
            verbs = ["create", "delete", "get", "list"]
            flunder = {"name": "flunders", "kind": "Flunder", "namespaced": True, "verbs": verbs}
            found = {"kind": "APIResourceList", "groupVersion": ROOT, "resources": [flunder]}
        elif self.command == "POST":
            code, found = 201, json.loads(body)
            flunders[found["metadata"]["name"]] = found
        elif name in flunders:
            found = flunders.pop(name) if self.command == "DELETE" else flunders[name]
        elif not path.endswith("/flunders"):
            code, found = 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}
        raw = json.dumps(found).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
    do_GET = do_POST = do_DELETE = answer
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer((os.environ["POD_IP"], 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/apiserver.local.config/tls.crt", "/apiserver.local.config/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def deploy(client: Client, namespace: str, directory: Path) -> str:
    """Behind the service `sample-api`, whose certificate is signed by the bundle that is returned."""
    authority = CertificateAuthority.create("sample-ca")
    certificate, key = directory / "tls.crt", directory / "tls.key"
    authority.issue_server("sample", [f"sample-api.{namespace}.svc"]).write(certificate, key)
    data = {path.name: b64encode(path.read_bytes()).decode() for path in (certificate, key)}
    secrets = client.of("v1", "secrets", "Secret", namespace)
    secrets.create({"metadata": {"name": "sample-apiserver-secret"}, "data": data})
    made = workload("sample-apiserver-deployment", 1, {"apiserver": "true"})
    spec = made["spec"]["template"]["spec"]
    spec["volumes"] = [{"name": "certs", "secret": {"secretName": "sample-apiserver-secret"}}]
    spec["containers"][0] |= {
        "command": ["python3", "-c", SERVER],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "volumeMounts": [{"name": "certs", "mountPath": "/apiserver.local.config", "readOnly": True}],
    }
    client.of("apps/v1", "deployments", "Deployment", namespace).create(made)
    port = {"port": PORT, "protocol": "TCP", "targetPort": 443}
    service = {"selector": {"apiserver": "true"}, "ports": [port]}
    client.of("v1", "services", "Service", namespace).create(
        {"metadata": {"name": "sample-api"}, "spec": service}
    )
    return b64encode(authority.cert_pem).decode()


def test_sample_server(client: Client, dynamic: Client, namespace: str, tmp_path: Path) -> None:
    """[sig-api-machinery] Aggregator Should be able to support the 1.17 Sample API Server using the current
    Aggregator
    """
    of = dynamic.of("apiregistration.k8s.io/v1", "apiservices", "APIService")
    spec = {
        "service": {"namespace": namespace, "name": "sample-api", "port": PORT},
        "group": GROUP,
        "version": VERSION,
        "caBundle": deploy(client, namespace, tmp_path),
        "groupPriorityMinimum": 2000,
        "versionPriority": 200,
    }
    of.create({"metadata": {"name": NAME}, "spec": spec})
    flunders = dynamic.of(f"{GROUP}/{VERSION}", "flunders", "Flunder", "default")
    try:
        settled(of, NAME, lambda obj: condition(obj, "Available").get("message") == "all checks passed")
        by_clients(dynamic, flunders)
        by_administrators(of)
        of.delete_collection(labelSelector=f"{NAME}=updated")
        until("it is gone", lambda: of.list(labelSelector=f"{NAME}=updated") == [])
        until("its group is gone", lambda: GROUP not in groups(dynamic))
    finally:
        with contextlib.suppress(ApiError):
            of.delete(NAME)


def groups(dynamic: Client) -> list[str]:
    return [each["name"] for each in dynamic.get("/apis")["groups"]]


def by_clients(dynamic: Client, of: Resource) -> None:
    until("its group is there", lambda: GROUP in groups(dynamic))
    of.create({"metadata": {"name": "rest-flunder", "labels": {"sample-label": "true"}}})
    assert [each["metadata"]["name"] for each in of.list()] == ["rest-flunder"]
    of.delete("rest-flunder")
    assert of.list() == []


def by_administrators(of: Resource) -> None:
    """What they have written stays beside what the availability is."""
    assert of.get(NAME, "status")["status"]["conditions"][0]["message"] == "all checks passed"
    assert of.patch(NAME, {"spec": {"versionPriority": 400}})["spec"]["versionPriority"] == 400
    assert NAME in [each["metadata"]["name"] for each in of.list()]
    of.patch(NAME, {"metadata": {"labels": {"e2e-apiservice": "patched"}}}, "strategic")
    of.change(
        NAME, lambda obj: obj["status"]["conditions"].append({"type": "StatusUpdated", **E2E}), "status"
    )
    assert condition(of.get(NAME, "status"), "StatusUpdated")["message"] == E2E["message"]
    replaced = of.change(NAME, lambda obj: obj["metadata"].update(labels={NAME: "updated"}))
    assert replaced["metadata"]["labels"] == {NAME: "updated"}
    before = of.get(NAME, "status")["status"]["conditions"]
    of.patch(
        NAME, {"status": {"conditions": [*before, {"type": "StatusPatched", **E2E}]}}, subresource="status"
    )
    found = of.get(NAME, "status")["status"]["conditions"]
    assert [each["type"] for each in found] == ["Available", "StatusUpdated", "StatusPatched"]
    assert {each["status"] for each in found} == {"True"}

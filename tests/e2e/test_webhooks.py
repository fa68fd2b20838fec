"""A webhook that runs in the cluster: a pod behind a Service, which the apiserver reaches through the cluster's own
network."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from certs.ca import CertificateAuthority
from tests.e2e.conftest import until
from tests.kubectl import Kubectl

pytestmark = pytest.mark.cluster

SERVER = """
import http.server, json, os, ssl, tempfile
class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        response = {"uid": request["uid"], "allowed": False, "status": {"message": "said the pod"}}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), Webhook)
with tempfile.NamedTemporaryFile("w") as pem:
    pem.write(os.environ["PEM"])
    pem.flush()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem.name)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""

Object = dict[str, Any]


def test_a_webhook_in_a_pod(newest: Kubectl) -> None:
    namespace = newest.namespace
    authority = CertificateAuthority.create("webhooks-ca")
    pair = authority.issue_server("hook", [f"hook.{namespace}.svc"])
    pem = (pair.cert_pem + pair.key_pem).decode()
    newest("apply", "-f", "-", input="\n---\n".join(json.dumps(each) for each in (pod(pem), SERVICE)))
    newest("wait", "--for=condition=Ready", "pod/hook", "--timeout=60s")
    newest("apply", "-f", "-", input=json.dumps(configuration(namespace, authority.cert_pem)))
    try:
        answer = until(
            "the webhook is asked",
            lambda: newest.run("create", "configmap", "x", "--dry-run=server").stderr,
        )
        assert 'admission webhook "hook.test.dev" denied the request: said the pod' in answer
    finally:
        newest("delete", "validatingwebhookconfiguration", namespace)


def pod(pem: str) -> Object:
    container = {
        "name": "c",
        "image": "python:3",
        "command": ["python3", "-c", SERVER],
        "env": [{"name": "PEM", "value": pem}],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
    }
    metadata = {"name": "hook", "labels": {"app": "hook"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "hook"},
    "spec": {"selector": {"app": "hook"}, "ports": [{"port": 443, "targetPort": 8443}]},
}


def configuration(namespace: str, ca_pem: bytes) -> Object:
    service = {"namespace": namespace, "name": "hook"}
    webhook = {
        "name": "hook.test.dev",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": service, "caBundle": base64.b64encode(ca_pem).decode()},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
        ],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [webhook],
    }

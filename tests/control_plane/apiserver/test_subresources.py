"""Scale, binding, eviction, token, log, approval, ephemeral containers, and the review APIs."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from certs import tls
from tests.control_plane.apiserver.harness import Harness

Object = dict[str, Any]
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
CONTAINERS = [{"name": "c", "image": "busybox", "command": ["sleep", "1"]}]


@pytest.fixture
def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def make_pod(api: Harness, pods: str, name: str, labels: Object | None = None, **spec: Any) -> Object:
    metadata = {"name": name, "labels": labels or {}}
    return api.create(pods, {"metadata": metadata, "spec": {"containers": CONTAINERS, **spec}})


# --- scale


def test_scale(api: Harness, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": CONTAINERS}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    api.create(path, {"metadata": {"name": "d"}, "spec": spec})
    scale = api.get(path + "/d/scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"]["selector"] == "a=b"
    assert (
        api.request("PATCH", path + "/d/scale", {"spec": {"replicas": 5}}, MERGE).body["spec"]["replicas"]
        == 5
    )
    scale["spec"]["replicas"] = 7
    stale = api.request("PUT", path + "/d/scale", scale)
    assert stale.status == 409
    fresh = api.get(path + "/d/scale")
    fresh["spec"]["replicas"] = 0
    assert api.request("PUT", path + "/d/scale", fresh).body["spec"] == {}
    assert api.get(path + "/d")["spec"]["replicas"] == 0


# --- binding


@pytest.mark.parametrize("collection", [False, True], ids=["subresource", "collection"])
def test_a_pod_is_bound_once(api: Harness, pods: str, collection: bool) -> None:
    make_pod(api, pods, "p")
    path = pods.replace("/pods", "/bindings") if collection else pods + "/p/binding"
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    answer = api.request("POST", path, binding)
    assert (answer.status, answer.body["status"]) == (201, "Success")
    bound = api.get(pods + "/p")
    assert bound["spec"]["nodeName"] == "n1"
    condition = bound["status"]["conditions"][0]
    assert (condition["type"], condition["observedGeneration"]) == ("PodScheduled", 1)
    again = api.request("POST", path, binding)
    assert again.status == 409
    assert again.body["message"] == (
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"'
    )


def test_binding_keeps_the_promise_of_a_node(api: Harness, pods: str) -> None:
    make_pod(api, pods, "p")
    promise = {"status": {"nominatedNodeName": "n1"}}
    merge = {"Content-Type": "application/merge-patch+json"}
    patched = api.request("PATCH", pods + "/p/status", promise, headers=merge)
    assert patched.body["status"]["nominatedNodeName"] == "n1"
    api.request("POST", pods + "/p/binding", {"metadata": {"name": "p"}, "target": {"name": "n1"}})
    assert "nominatedNodeName" not in api.get(pods + "/p")["status"]


def test_a_binding_may_name_the_pods_uid(api: Harness, pods: str) -> None:
    make_pod(api, pods, "p")
    binding = {"metadata": {"name": "p", "uid": "other"}, "target": {"name": "n1"}}
    assert api.request("POST", pods + "/p/binding", binding).status == 409


# --- eviction


def test_eviction_deletes_a_pod(api: Harness, pods: str) -> None:
    make_pod(api, pods, "p")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    answer = api.request("POST", pods + "/p/eviction", eviction)
    assert (answer.status, answer.body["status"]) == (201, "Success")
    assert api.request("GET", pods + "/p").status == 404


def test_a_budget_refuses_evictions(api: Harness, pods: str, namespace: str) -> None:
    labels = {"app": "guarded"}
    for name in ("p1", "p2"):
        make_pod(api, pods, name, labels, nodeName="n1", terminationGracePeriodSeconds=0)
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        assert api.request("PATCH", f"{pods}/{name}/status", {"status": status}, STRATEGIC).status == 200
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": labels}}
    api.create(budgets, {"metadata": {"name": "b"}, "spec": spec})
    eviction = {"metadata": {"name": "p1"}}
    unseen = api.request("POST", pods + "/p1/eviction", eviction)
    assert unseen.status == 429, "the controller has not looked at the budget yet"
    counted = {
        "observedGeneration": 1,
        "disruptionsAllowed": 1,
        "currentHealthy": 2,
        "desiredHealthy": 1,
        "expectedPods": 2,
    }
    assert api.request("PATCH", budgets + "/b/status", {"status": counted}, MERGE).status == 200
    assert api.request("POST", pods + "/p1/eviction", eviction).status == 201
    after = api.get(budgets + "/b")["status"]
    assert after["disruptionsAllowed"] == 0
    assert list(after["disruptedPods"]) == ["p1"]
    refused = api.request("POST", pods + "/p2/eviction", {"metadata": {"name": "p2"}})
    assert refused.status == 429
    assert refused.body["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    cause = refused.body["details"]["causes"][0]
    assert cause["reason"] == "DisruptionBudget"
    assert cause["message"] == "The disruption budget b needs 1 healthy pods and has 2 currently"


# --- tokens


def test_a_token_authenticates_its_service_account(api: Harness, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    made = api.create(path, {"spec": {"expirationSeconds": 600}})
    token = made["status"]["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    me = api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, bearer, user="")
    assert me.status == 201
    assert me.body["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"
    review = {"spec": {"token": token}}
    seen = api.create("/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    assert seen["authenticated"] is True
    assert seen["user"] == me.body["status"]["userInfo"]
    assert "system:authenticated" in seen["user"]["groups"]
    bad = api.create("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "nonsense"}})
    assert not bad["status"].get("authenticated")
    refused = api.request("GET", "/api", headers={"Authorization": "Bearer nonsense"}, user="")
    assert (refused.status, refused.body["reason"]) == (401, "Unauthorized")
    keys = api.get("/openid/v1/jwks")["keys"]
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header["kid"] in [key["kid"] for key in keys]


# --- reviews


def test_reviews_of_access(api: Harness, namespace: str) -> None:
    attributes = {"namespace": namespace, "verb": "list", "resource": "pods"}
    mine = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    spec = {"spec": {"resourceAttributes": attributes}}
    assert api.create(mine, spec)["status"]["allowed"] is True
    assert api.create(mine, spec, user="jane")["status"]["allowed"] is False
    assert api.request("GET", f"/api/v1/namespaces/{namespace}/pods", user="jane").status == 403
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    api.create(rbac + "/roles", {"metadata": {"name": "r"}, "rules": rules})
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    }
    api.create(rbac + "/rolebindings", binding)
    assert api.request("GET", f"/api/v1/namespaces/{namespace}/pods", user="jane").status == 200
    other = {"spec": {"user": "jane", "resourceAttributes": attributes}}
    assert api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", other)["status"]["allowed"]
    local = f"/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews"
    assert api.create(local, other)["status"]["allowed"]
    listed = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    found = api.create(listed, {"spec": {"namespace": namespace}}, user="jane")["status"]
    assert {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]} in found["resourceRules"]


def test_a_review_is_no_table(api: Harness) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    spec = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    answer = api.request("POST", path, spec, table)
    assert (answer.status, answer.body["reason"]) == (406, "NotAcceptable")


def test_impersonation(api: Harness) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {"Impersonate-User": "jane", "Impersonate-Group": "developers"}
    user = api.request("POST", path, {}, headers).body["status"]["userInfo"]
    assert user["username"] == "jane"
    assert "developers" in user["groups"]
    assert api.request("POST", path, {}, {"Impersonate-User": "admin"}, user="jane").status == 403


def test_anonymous_may_only_look_at_health_and_version(api: Harness) -> None:
    assert api.request("GET", "/readyz", user="").status == 200
    assert api.request("GET", "/version", user="").status == 200
    refused = api.request("GET", "/api/v1/namespaces", user="")
    assert refused.status == 403
    assert refused.body["message"] == (
        'namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces" in API group "" '
        "at the cluster scope"
    )


# --- certificates


def test_approval_changes_only_the_decision(api: Harness, namespace: str) -> None:
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    spec = {
        "request": base64.b64encode(certificate_request()).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    made = api.create(path, {"metadata": {"generateName": "csr-"}, "spec": spec})
    assert made["spec"]["username"] == "admin"
    path += "/" + made["metadata"]["name"]
    made["status"]["conditions"] = [{"type": "Approved", "status": "True", "reason": "Test", "message": "ok"}]
    made["spec"]["usages"] = ["server auth"]
    approved = api.request("PUT", path + "/approval", made)
    assert approved.status == 200, approved.raw
    assert approved.body["status"]["conditions"][0]["type"] == "Approved"
    assert approved.body["spec"]["usages"] == ["client auth"]


def certificate_request() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def test_ephemeral_containers(api: Harness, pods: str) -> None:
    make_pod(api, pods, "p")
    patch = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}}
    answer = api.request("PATCH", pods + "/p/ephemeralcontainers", patch, STRATEGIC)
    assert answer.status == 200, answer.raw
    assert answer.body["spec"]["ephemeralContainers"][0]["name"] == "debug"


# --- logs


class FakeKubelet(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path.endswith("/gone"):
            self.send_error(404, "no such container")
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{path.path} {path.query}\n".encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def kubelet(api: Harness) -> Iterator[int]:
    """A node's HTTPS API that asks for the apiserver's certificate."""
    pki = api.directory / "pki"
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeKubelet)
    context: ssl.SSLContext = tls.server_context(pki / "node-1.crt", pki / "node-1.key", pki / "ca.crt")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_logs_come_from_the_pods_node(api: Harness, pods: str, namespace: str, kubelet: int) -> None:
    node = {
        "metadata": {"name": "node-logs"},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "172.30.0.9"},
                {"type": "ExternalIP", "address": "127.0.0.1"},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet}},
        },
    }
    api.create("/api/v1/nodes", node)
    make_pod(api, pods, "p", nodeName="node-logs", terminationGracePeriodSeconds=0)
    answer = api.request("GET", pods + "/p/log?follow=true&tailLines=5&timestamps=true")
    assert answer.status == 200, answer.raw
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.raw.decode() == (
        f"/containerLogs/{namespace}/p/c follow=true&timestamps=true&tailLines=5\n"
    )
    wrong = api.request("GET", pods + "/p/log?container=x")
    assert (wrong.status, wrong.body["message"]) == (400, "container x is not valid for pod p")
    bad = api.request("GET", pods + "/p/log?tailLines=-1")
    assert bad.status == 422


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        pytest.param("/p/exec?command=ls", 400, "pod p does not have a host assigned", id="not on a node"),
        pytest.param("/p/exec", 400, "at least one command", id="no command"),
        pytest.param("/p/exec?command=ls&container=x", 400, "container x is not valid", id="no container"),
        pytest.param("/p/attach?container=x", 400, "container x is not valid", id="attach"),
        pytest.param("/p/portforward?ports=80,x", 400, 'invalid port "x"', id="port-forward"),
        pytest.param("/gone/exec?command=ls", 404, 'pods "gone" not found', id="no pod"),
        pytest.param("/gone/proxy/x", 404, 'pods "gone" not found', id="proxy to no pod"),
        pytest.param("/ftp:p:80/proxy/x", 400, "invalid pod request", id="proxy by FTP"),
        pytest.param("/p:99999/proxy/x", 400, "invalid port", id="proxy to no port"),
        pytest.param("/p/proxy/x", 400, "address not allowed", id="proxy to a pod without address"),
    ],
)
def test_tunnels_say_what_is_wrong(api: Harness, pods: str, path: str, status: int, said: str) -> None:
    make_pod(api, pods, "p")
    answer = api.request("GET", pods + path)
    assert (answer.status, answer.body["kind"]) == (status, "Status")
    assert said in answer.body["message"]


def test_a_tunnel_is_asked_for_by_an_upgrade(api: Harness, pods: str) -> None:
    api.create("/api/v1/nodes", {"metadata": {"name": "node-tunnels"}, "status": {}})
    make_pod(api, pods, "p", nodeName="node-tunnels")
    answer = api.request("POST", pods + "/p/exec?command=ls")
    assert (answer.status, answer.body["message"]) == (400, "Upgrade request required")
    assert api.request("PUT", pods + "/p/exec?command=ls").status == 405


def test_the_root_of_a_proxy_has_a_slash(api: Harness, pods: str) -> None:
    answer = api.request("GET", pods + "/p:80/proxy?a=b")
    assert (answer.status, answer.headers["location"]) == (301, f"{pods}/p:80/proxy/?a=b")

"""Aggregation as its users see it: kubectl and plain requests, against an apiserver and a sample server."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Harness, kubectls
from tests.control_plane.apiserver.sample_server import DEFINITION, GROUP, ROOT, VERSION, SampleServer

Object = dict[str, Any]
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = f"{VERSION}.{GROUP}"
DEADLINE_S = 10.0
MAY_SEE = {
    "metadata": {"name": "devs-see-all"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "devs"}],
}


@pytest.fixture(scope="module")
def server(api: Harness) -> Iterator[SampleServer]:
    with SampleServer("api.wardle.svc", api.directory / "pki" / "front-proxy-ca.crt") as made:
        yield made


@pytest.fixture(scope="module")
def registered(api: Harness, server: SampleServer) -> Iterator[SampleServer]:
    """The sample server behind a Service, and its APIService available."""
    api.create("/api/v1/namespaces", {"metadata": {"name": "wardle"}})
    ports = [{"port": 443, "targetPort": 1}]
    api.create("/api/v1/namespaces/wardle/services", {"metadata": {"name": "api"}, "spec": {"ports": ports}})
    api.create("/apis/discovery.k8s.io/v1/namespaces/wardle/endpointslices", endpoints(server.port))
    spec = {
        "group": GROUP,
        "version": VERSION,
        "groupPriorityMinimum": 2000,
        "versionPriority": 200,
        "service": {"namespace": "wardle", "name": "api"},
        "caBundle": server.ca_bundle,
    }
    api.create(SERVICES, {"metadata": {"name": NAME}, "spec": spec})
    wait_for(lambda: available(api)["status"] == "True", lambda: available(api))
    yield server
    api.request("DELETE", f"{SERVICES}/{NAME}")


def endpoints(port: int) -> Object:
    return {
        "metadata": {"name": "api-1", "labels": {"kubernetes.io/service-name": "api"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"]}],
        "ports": [{"name": "", "port": port}],
    }


def available(api: Harness) -> Object:
    conditions = api.get(f"{SERVICES}/{NAME}").get("status", {}).get("conditions") or [{"status": ""}]
    found: Object = conditions[0]
    return found


def wait_for(check: Callable[[], bool], shown: Callable[[], Any] = lambda: "") -> None:
    until = time.monotonic() + DEADLINE_S
    while not check():
        assert time.monotonic() < until, json.dumps(shown())
        time.sleep(0.05)


def test_local_services(api: Harness) -> None:
    names = {each["metadata"]["name"]: each for each in api.get(SERVICES)["items"]}
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1.rbac.authorization.k8s.io"} <= set(names)
    local = names["v1.apps"]
    assert local["spec"] == {
        "group": "apps",
        "version": "v1",
        "groupPriorityMinimum": 17800,
        "versionPriority": 15,
    }
    assert local["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert local["status"]["conditions"][0]["reason"] == "Local"
    shown = api.kubectl("get", "apiservices", "v1.apps").stdout.split()
    assert shown[4:7] == ["v1.apps", "Local", "True"]


def test_requests_are_handed_on(api: Harness, registered: SampleServer) -> None:
    path = f"{ROOT}/namespaces/default/flunders"
    flunder = {"kind": "Flunder", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {"name": "f"}}
    made = api.request("POST", path, flunder)
    assert (made.status, made.body) == (201, flunder)
    assert made.warnings == ['299 - "flunders are fragile"']
    assert api.get(f"{path}/f") == flunder
    missing = api.request("GET", f"{path}/g?pretty=true")
    assert (missing.status, missing.body["message"]) == (404, 'flunder "g" not found')
    assert registered.requests[-1][1] == f"{path}/g?pretty=true"


def test_who_asks(api: Harness, registered: SampleServer) -> None:
    headers = {
        "X-Remote-User": "root",
        "X-Remote-Group": "system:masters",
        "Impersonate-User": "eve",
        "Impersonate-Extra-Some.Key": "v",
        "Impersonate-Group": "devs",
    }
    api.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", MAY_SEE)
    assert api.request("GET", f"{ROOT}/flunders", headers=headers).status == 200
    sent = registered.requests[-1][2]
    assert sent["x-remote-user"] == ["eve"]
    assert sent["x-remote-group"] == ["devs", "system:authenticated"]
    assert sent["x-remote-extra-some.key"] == ["v"]
    assert "impersonate-user" not in sent
    assert "authorization" not in sent


def test_only_who_may(api: Harness, registered: SampleServer) -> None:
    before = len(registered.requests)
    answer = api.request("GET", f"{ROOT}/flunders", user="jane")
    assert answer.status == 403
    assert 'cannot list resource "flunders" in API group "wardle.example.com"' in answer.body["message"]
    assert not any(path == f"{ROOT}/flunders" for _, path, _ in registered.requests[before:])


def test_a_watch_streams(api: Harness, registered: SampleServer) -> None:
    registered.go_on.clear()
    connection = api.connection()
    try:
        connection.request("GET", f"{ROOT}/flunders?watch=true")
        response = connection.getresponse()
        assert json.loads(response.readline())["object"]["metadata"]["name"] == "first"
        registered.go_on.set()
        assert json.loads(response.readline())["object"]["metadata"]["name"] == "second"
        assert response.readline() == b""
    finally:
        connection.close()


def upgrade(api: Harness, path: str, protocol: str, user: str = "admin") -> tuple[ssl.SSLSocket, bytes]:
    """The connection after the head of the answer, and the head."""
    plain = socket.create_connection(("127.0.0.1", api.port), timeout=DEADLINE_S)
    connection = api.context(user).wrap_socket(plain, server_hostname="127.0.0.1")
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: api",
        "Connection: Upgrade",
        f"Upgrade: {protocol}",
        "X-Remote-User: root",
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        assert piece, head
        head += piece
    return connection, head


@pytest.mark.parametrize("protocol", ["websocket", "SPDY/3.1", "anything"])
def test_upgrades_go_through(api: Harness, registered: SampleServer, protocol: str) -> None:
    path = f"{ROOT}/namespaces/default/flunders/a/connect?x=1"
    connection, head = upgrade(api, path, protocol)
    with connection:
        assert head.startswith(b"HTTP/1.1 101 ")
        for message in (b"hello", bytes(range(256)) * 3):
            connection.sendall(message)
            echoed = b""
            while len(echoed) < len(message):
                echoed += connection.recv(4096)
            assert echoed == message
    _, asked, headers = registered.requests[-1]
    assert asked == path
    assert headers["x-remote-user"] == ["admin"], "and not what the client claims"
    assert "system:masters" in headers["x-remote-group"]


def test_an_upgrade_that_is_refused(api: Harness, registered: SampleServer) -> None:
    registered.healthy = False
    try:
        connection, head = upgrade(api, f"{ROOT}/namespaces/default/flunders/a", "websocket")
        connection.close()
    finally:
        registered.healthy = True
    assert head.startswith(b"HTTP/1.1 500 ")
    connection, head = upgrade(api, f"{ROOT}/namespaces/default/flunders/a/connect", "websocket", user="jane")
    connection.close()
    assert head.startswith(b"HTTP/1.1 403 ")


def test_discovery(api: Harness, registered: SampleServer) -> None:
    def listed() -> list[str]:
        return [group["name"] for group in api.get("/apis")["groups"]]

    wait_for(lambda: GROUP in listed(), listed)
    group = api.get(f"/apis/{GROUP}")
    assert group["preferredVersion"] == {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    items = api.get("/apis", headers={"Accept": accept})["items"]
    found = next(item for item in items if item["metadata"]["name"] == GROUP)
    assert found["versions"][0]["freshness"] == "Current"
    assert found["versions"][0]["resources"][0]["resource"] == "flunders"


def test_openapi(api: Harness, registered: SampleServer) -> None:
    key = f"apis/{GROUP}/{VERSION}"
    wait_for(lambda: key in api.get("/openapi/v3")["paths"])
    url = api.get("/openapi/v3")["paths"][key]["serverRelativeURL"]
    assert DEFINITION in api.get(url)["components"]["schemas"]
    v2 = api.get("/openapi/v2")
    assert f"{ROOT}/flunders" in v2["paths"]
    assert v2["definitions"][DEFINITION]["description"] == "a flunder"
    assert "/api/v1/namespaces" in v2["paths"]


@pytest.mark.parametrize("kubectl", kubectls(), ids=lambda path: path.name)
def test_kubectl(api: Harness, registered: SampleServer, kubectl: Path) -> None:
    registered.flunders["k"] = {
        "kind": "Flunder",
        "apiVersion": f"{GROUP}/{VERSION}",
        "metadata": {"name": "k", "namespace": "default"},
    }
    wait_for(lambda: GROUP in [group["name"] for group in api.get("/apis")["groups"]])
    shown = api.kubectl("get", "flunders", "k", "-o", "name", binary=kubectl).stdout
    assert shown == "flunder.wardle.example.com/k\n"
    assert "wardle/api" in api.kubectl("get", "apiservices", NAME, binary=kubectl).stdout


def test_it_goes_away_and_comes_back(api: Harness, registered: SampleServer) -> None:
    path = "/apis/discovery.k8s.io/v1/namespaces/wardle/endpointslices"
    api.request("DELETE", f"{path}/api-1")
    wait_for(lambda: available(api)["status"] == "False", lambda: available(api))
    condition = available(api)
    assert condition["reason"] == "EndpointsNotFound"
    assert condition["message"] == 'cannot find endpointslices for service/api in "wardle"'

    def refused() -> bool:
        answer = api.request("GET", f"{ROOT}/flunders")
        return (answer.status, answer.raw) == (503, b"service unavailable\n")

    wait_for(refused)
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

    def freshness() -> str:
        items = api.get("/apis", headers={"Accept": accept})["items"]
        found = next(item for item in items if item["metadata"]["name"] == GROUP)
        return str(found["versions"][0]["freshness"])

    wait_for(lambda: freshness() == "Stale", freshness)
    api.create(path, endpoints(registered.port))
    wait_for(lambda: available(api)["status"] == "True", lambda: available(api))
    wait_for(lambda: api.request("GET", f"{ROOT}/flunders").status == 200)


def test_a_sick_server(api: Harness, registered: SampleServer) -> None:
    registered.healthy = False
    service = api.get(f"{SERVICES}/{NAME}")
    service["spec"]["insecureSkipTLSVerify"] = True
    del service["spec"]["caBundle"]
    assert api.request("PUT", f"{SERVICES}/{NAME}", service).status == 200
    wait_for(lambda: available(api)["status"] == "False", lambda: available(api))
    assert available(api)["reason"] == "FailedDiscoveryCheck"
    assert "bad status from https://api.wardle.svc:443" in available(api)["message"]
    registered.healthy = True
    wait_for(lambda: available(api)["status"] == "True", lambda: available(api))


def test_groups_of_custom_resources(api: Harness) -> None:
    crd = {
        "metadata": {"name": "things.aggregated.test.dev"},
        "spec": {
            "group": "aggregated.test.dev",
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
        },
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api.create(definitions, crd)
    path = f"{SERVICES}/v1.aggregated.test.dev"
    wait_for(lambda: api.request("GET", path).status == 200)
    made = api.get(path)
    assert made["spec"]["groupPriorityMinimum"] == 1000
    assert made["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
    api.request("DELETE", f"{definitions}/things.aggregated.test.dev")
    wait_for(lambda: api.request("GET", path).status == 404)

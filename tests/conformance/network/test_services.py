"""test/e2e/network/service.go, proxy.go, service_latency.go: what needs pods"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.client import Client, Resource
from tests.conformance.network.test_endpointslice_api import slices
from tests.conformance.workload import execute, is_ready, pod_spec, running, settled, workload
from tests.e2e.conftest import Cluster, until

Object = dict[str, Any]
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.send_response(200)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(f"{os.uname().nodename} {self.command} {self.path}".encode())
    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = answer
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""
SERVE = ["python3", "-c", SERVER]


def make_service(client: Client, namespace: str, name: str, **spec: Any) -> Object:
    of = client.of("v1", "services", "Service", namespace)
    return of.create({"metadata": {"name": name}, "spec": spec})


def make_pod(client: Client, namespace: str, name: str, labels: Object, ports: list[Object]) -> Resource:
    of = client.of("v1", "pods", "Pod", namespace)
    spec = pod_spec()
    spec["containers"][0]["ports"] = ports
    of.create({"metadata": {"name": name, "labels": labels}, "spec": spec})
    settled(of, name, is_ready)
    return of


def endpoints_of(client: Client, namespace: str, name: str) -> dict[str, set[int]]:
    """Address → ports, by the Endpoints; the slices must say the same."""

    endpoints = client.of("v1", "endpoints", "Endpoints", namespace)
    until("they are there", lambda: endpoints.exists(name))

    def by_endpoints() -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for subset in endpoints.get(name).get("subsets") or ():
            for address in subset.get("addresses") or ():
                found.setdefault(address["ip"], set()).update(each["port"] for each in subset["ports"])
        return found

    def by_slices() -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for each in slices(client, namespace).list(labelSelector=f"kubernetes.io/service-name={name}"):
            for one in each.get("endpoints") or ():
                if one["conditions"].get("ready"):
                    for address in one["addresses"]:
                        found.setdefault(address, set()).update(port["port"] for port in each["ports"])
        return found

    until("they agree", lambda: by_endpoints() == by_slices())
    return by_endpoints()


def address_of(client: Client, namespace: str, pod: str) -> str:
    return str(client.of("v1", "pods", "Pod", namespace).get(pod)["status"]["podIP"])


def test_basic_endpoints(client: Client, namespace: str) -> None:
    """[sig-network] Services should serve a basic endpoint from pods"""
    labels = {"testid": "endpoint-test2"}
    make_service(client, namespace, "endpoint-test2", selector=labels, ports=[{"port": 80, "targetPort": 80}])
    until("it is there", lambda: endpoints_of(client, namespace, "endpoint-test2") == {})
    wanted: dict[str, set[int]] = {}
    for name in ("pod1", "pod2"):
        of = make_pod(client, namespace, name, labels, [{"containerPort": 80}])
        wanted[address_of(client, namespace, name)] = {80}
        until(name, lambda: endpoints_of(client, namespace, "endpoint-test2") == wanted)
    for name in ("pod1", "pod2"):
        wanted.pop(address_of(client, namespace, name))
        of.delete(name)
        until(f"no {name}", lambda: endpoints_of(client, namespace, "endpoint-test2") == wanted)


def test_several_ports(client: Client, namespace: str) -> None:
    """[sig-network] Services should serve multiport endpoints from pods"""
    labels = {"testid": "multi"}
    ports = [
        {"name": "portname1", "port": 80, "targetPort": "svc1"},
        {"name": "portname2", "port": 81, "targetPort": "svc2"},
    ]
    make_service(client, namespace, "multi-endpoint-test", selector=labels, ports=ports)
    wanted: dict[str, set[int]] = {}
    of = None
    for name, port, number in (("pod1", "svc1", 100), ("pod2", "svc2", 101)):
        of = make_pod(client, namespace, name, labels, [{"name": port, "containerPort": number}])
        wanted[address_of(client, namespace, name)] = {number}
        until(name, lambda: endpoints_of(client, namespace, "multi-endpoint-test") == wanted)
    assert of is not None
    for name in ("pod1", "pod2"):
        wanted.pop(address_of(client, namespace, name))
        of.delete(name)
        until(f"no {name}", lambda: endpoints_of(client, namespace, "multi-endpoint-test") == wanted)


def serve(client: Client, namespace: str, replicas: int) -> list[Object]:
    of = client.of("v1", "replicationcontrollers", "ReplicationController", namespace)
    made = workload("served", replicas)
    made["spec"]["selector"] = {"name": "served"}
    container = made["spec"]["template"]["spec"]["containers"][0]
    container |= {
        "command": SERVE,
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1},
    }
    of.create(made)
    return running(client, namespace, "name=served", replicas)


def asking(client: Client, namespace: str) -> None:
    of = client.of("v1", "pods", "Pod", namespace)
    of.create({"metadata": {"name": "asks"}, "spec": pod_spec()})
    settled(of, "asks", is_ready)


def ask(cluster: Cluster, namespace: str, *urls: str) -> list[str]:
    """Who answers each."""
    script = "import sys, urllib.request as r\n"
    script += "for u in sys.argv[1:]: print(r.urlopen(u, timeout=5).read().decode())"
    return [
        line.split()[0]
        for line in execute(cluster, namespace, "asks", "python3", "-c", script, *urls).splitlines()
    ]


def test_node_port_and_affinity(client: Client, cluster: Cluster, namespace: str) -> None:
    """[sig-network] Services should be able to create a functioning NodePort service · should have session affinity
    work for (NodePort) service with type clusterIP · should be able to switch session affinity for NodePort, for
    service with type clusterIP
    """
    services = client.of("v1", "services", "Service", namespace)
    ports = [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]
    spec = {"type": "NodePort", "selector": {"name": "served"}, "ports": ports, "sessionAffinity": "ClientIP"}
    made = make_service(client, namespace, "exposed", **spec)["spec"]
    pods = serve(client, namespace, 3)
    asking(client, namespace)
    nodes = client.of("v1", "nodes", "Node").list()
    node = next(each["address"] for each in nodes[0]["status"]["addresses"] if each["type"] == "InternalIP")
    urls = [f"http://{made['clusterIP']}/", f"http://{node}:{made['ports'][0]['nodePort']}/"]
    until("three endpoints", lambda: len(endpoints_of(client, namespace, "exposed")) == 3)
    names = {pod["metadata"]["name"] for pod in pods}
    for url in urls:
        until("one of them for all", lambda url=url: len(set(ask(cluster, namespace, *[url] * 8))) == 1)
        assert set(ask(cluster, namespace, url)) <= names
    services.change(
        "exposed", lambda obj: obj["spec"].update(sessionAffinity="None", sessionAffinityConfig=None)
    )
    for url in urls:
        until("all of them", lambda url=url: set(ask(cluster, namespace, *[url] * 12)) == names)


def test_same_port_of_two_protocols(client: Client, cluster: Cluster, namespace: str) -> None:
    """[sig-network] Services should serve endpoints on same port and different protocols"""
    services = client.of("v1", "services", "Service", namespace)
    both = [
        {"name": "tcp-port", "port": 80, "protocol": "TCP", "targetPort": 8080},
        {"name": "udp-port", "port": 80, "protocol": "UDP", "targetPort": 8080},
    ]
    make_service(client, namespace, "multiprotocol-test", selector={"name": "served"}, ports=both)
    serve(client, namespace, 1)

    def protocols() -> set[tuple[str, int]]:
        found = slices(client, namespace).list(labelSelector="kubernetes.io/service-name=multiprotocol-test")
        return {
            (port["protocol"], port["port"])
            for each in found
            if each.get("endpoints")
            for port in each["ports"]
        }

    until("both", lambda: protocols() == {("TCP", 8080), ("UDP", 8080)})
    for kept in both:
        services.change("multiprotocol-test", lambda obj, kept=kept: obj["spec"].update(ports=[kept]))
        until(kept["name"], lambda kept=kept: protocols() == {(kept["protocol"], 8080)})


METHODS = ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT", "HEAD"]


@pytest.mark.parametrize("path", ["", "/some/path/with/METHOD"], ids=["root", "path"])
def test_proxy(client: Client, namespace: str, path: str) -> None:
    """[sig-network] Proxy version v1 A set of valid responses are returned for both pod and service Proxy,
    ProxyWithPath · should proxy through a service and a pod
    """
    ports = [{"name": "portname1", "port": 80, "targetPort": 8080}]
    make_service(client, namespace, "test-service", selector={"name": "served"}, ports=ports)
    (pod,) = serve(client, namespace, 1)
    until("an endpoint", lambda: endpoints_of(client, namespace, "test-service"))
    root = f"/api/v1/namespaces/{namespace}"
    targets = [
        f"{root}/pods/{pod['metadata']['name']}:8080/proxy",
        f"{root}/pods/http:{pod['metadata']['name']}:8080/proxy",
        f"{root}/services/test-service:portname1/proxy",
        f"{root}/services/http:test-service:portname1/proxy",
        f"{root}/services/test-service:80/proxy",
    ]
    for target in targets:
        for method in METHODS:
            code, headers, content = client.raw(method, f"{target}{path or '?method=' + method}")
            if not path and code == 301 and method in ("GET", "HEAD"):
                code, _, content = client.raw(method, headers["Location"])
            assert code == 200, (target, method, content)
            assert method == "HEAD" or content.decode().split()[1] == method


def test_endpoints_latency(client: Client, namespace: str) -> None:
    """[sig-network] Service endpoints latency should not be very high"""
    make_pod(client, namespace, "svc-latency-rc", {"name": "svc-latency-rc"}, [{"containerPort": 80}])
    endpoints = client.of("v1", "endpoints", "Endpoints", namespace)
    spec = {"selector": {"name": "svc-latency-rc"}, "ports": [{"protocol": "TCP", "port": 80}]}
    services = client.of("v1", "services", "Service", namespace)
    with endpoints.watch() as events:
        for number in range(20):
            name = services.create({"metadata": {"generateName": f"latency-svc-{number}-"}, "spec": spec})
            found = name["metadata"]["name"]
            events.until(
                "MODIFIED" if events.seen and events.seen[-1][1] == found else "ADDED",
                lambda obj, found=found: obj["metadata"]["name"] == found and obj.get("subsets"),
            )

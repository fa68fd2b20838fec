"""test/e2e/network/endpointslice.go, endpoints.go: what needs a controller, pods or a proxy"""

from __future__ import annotations

import pytest

from tests.conformance.client import Client
from tests.conformance.network.test_endpointslice_api import slices
from tests.conformance.network.test_services import (
    ask,
    asking,
    endpoints_of,
    make_pod,
    make_service,
    serve,
)
from tests.e2e.conftest import Cluster, until


def test_slices_come_and_go(client: Client, namespace: str) -> None:
    """[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that
    matches no pods · EndpointsController should create and delete Endpoints for a Service with a selector that
    matches no pods
    """
    services = client.of("v1", "services", "Service", namespace)
    endpoints = client.of("v1", "endpoints", "Endpoints", namespace)
    ports = [{"name": "example", "port": 80, "protocol": "TCP"}]
    make_service(client, namespace, "empty-selector", selector={"does-not-match": "x"}, ports=ports)
    selector = "kubernetes.io/service-name=empty-selector"
    until("the endpoints", lambda: endpoints.exists("empty-selector"))
    (made,) = until("the slice", lambda: slices(client, namespace).list(labelSelector=selector)) or []
    assert (
        made["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
        == "endpointslice-controller.k8s.io"
    )
    assert made.get("endpoints") in (None, [])
    services.delete("empty-selector")
    until("no endpoints", lambda: not endpoints.exists("empty-selector"))
    until("no slice", lambda: slices(client, namespace).list(labelSelector=selector) == [])


def test_slices_of_pods(client: Client, namespace: str) -> None:
    """[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service ·
    EndpointsController should create Endpoints for Pods matching a Service
    """
    ports = [
        [{"name": "example-name", "containerPort": 3000}],
        [{"name": "example-name", "containerPort": 3001}],
    ]
    ports[1].append({"name": "other-port", "containerPort": 3002})
    for name, declared in zip(("pod1", "pod2"), ports, strict=True):
        make_pod(client, namespace, name, {name: "on", "shared12": "on"}, declared)
    pods = {pod["status"]["podIP"]: pod for pod in client.of("v1", "pods", "Pod", namespace).list()}
    numbers = {ip: pod["spec"]["containers"][0]["ports"][0]["containerPort"] for ip, pod in pods.items()}
    for name, selector, target in (
        ("int", {"pod1": "on"}, 3000),
        ("named", {"shared12": "on"}, "example-name"),
    ):
        port = {"name": "http", "port": 80, "targetPort": target, "protocol": "TCP"}
        spec = {"selector": selector, "publishNotReadyAddresses": True, "ports": [port]}
        make_service(client, namespace, name, **spec)
    wanted = {ip: {number} for ip, number in numbers.items()}
    one = {ip: number for ip, number in wanted.items() if number == {3000}}
    until("one pod", lambda: endpoints_of(client, namespace, "int") == one)
    for _ in range(2):  # as it was after its slices are deleted
        until("both by the port's name", lambda: endpoints_of(client, namespace, "named") == wanted)
        found = slices(client, namespace).list(labelSelector="kubernetes.io/service-name=named")
        assert len(found) == 2
        for each in found:
            assert [port["name"] for port in each["ports"]] == ["http"]
            for endpoint in each["endpoints"]:
                pod = pods[endpoint["addresses"][0]]["metadata"]
                reference = {key: pod[key] for key in ("name", "namespace", "uid")}
                assert endpoint["targetRef"] == {"kind": "Pod", **reference}
            slices(client, namespace).delete(each["metadata"]["name"])


@pytest.mark.parametrize("replicas", [1, 2], ids=["ports", "endpoint IPs"])
def test_slices_by_hand(client: Client, cluster: Cluster, namespace: str, replicas: int) -> None:
    """[sig-network] EndpointSlice should support a Service with multiple ports (endpoint IPs) specified in multiple
    EndpointSlices
    """
    ports = [{"name": f"port{number}", "port": number, "protocol": "TCP"} for number in (80, 81)]
    service = make_service(client, namespace, "example-custom-endpoints", ports=ports)
    pods = serve(client, namespace, replicas)
    asking(client, namespace)
    servers = [pods[0], pods[-1]]
    for port, pod in zip(ports, servers, strict=True):
        labels = {
            "kubernetes.io/service-name": "example-custom-endpoints",
            "endpointslice.kubernetes.io/managed-by": f"e2e-test{namespace}",
        }
        endpoint = {"addresses": [pod["status"]["podIP"]], "conditions": {"ready": True}}
        made = {
            "metadata": {"generateName": "e2e-custom-slice", "labels": labels},
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"name": port["name"], "port": 8080, "protocol": "TCP"}],
        }
        slices(client, namespace).create(made)
    urls = [f"http://{service['spec']['clusterIP']}:{port['port']}/" for port in ports]
    names = [pod["metadata"]["name"] for pod in servers]

    def answered() -> bool:
        try:
            return ask(cluster, namespace, *urls) == names
        except AssertionError:  # the proxy has not seen them yet
            return False

    until("each port's server", answered)

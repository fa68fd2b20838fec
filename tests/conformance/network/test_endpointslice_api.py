"""test/e2e/network/endpointslice.go, the part without pods; endpointslicemirroring.go"""

from __future__ import annotations

from typing import Any

from tests.conformance import operations
from tests.conformance.client import Client, Resource
from tests.e2e.conftest import until

Object = dict[str, Any]
GROUP = "discovery.k8s.io/v1"


def slices(client: Client, namespace: str) -> Resource:
    return client.of(GROUP, "endpointslices", "EndpointSlice", namespace)


def test_slices_of_the_api_server(client: Client) -> None:
    """[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server"""
    service = client.of("v1", "services", "Service", "default").get("kubernetes")
    endpoints = client.of("v1", "endpoints", "Endpoints", "default").get("kubernetes")
    assert len(service["spec"]["ports"]) == 1
    assert len(endpoints["subsets"]) == 1
    found = slices(client, "default").list(labelSelector="kubernetes.io/service-name=kubernetes")
    assert found
    for each in found:
        assert each["endpoints"]
        assert len(each["ports"]) == len(endpoints["subsets"][0]["ports"])
        assert each["ports"][0]["port"] == endpoints["subsets"][0]["ports"][0]["port"]
        assert each["ports"][0]["name"] == service["spec"]["ports"][0]["name"]
    in_slices = {address for each in found for one in each["endpoints"] for address in one["addresses"]}
    assert in_slices == {each["ip"] for each in endpoints["subsets"][0]["addresses"]}


def test_api_operations(client: Client, namespace: str) -> None:
    """[sig-network] EndpointSlice should support creating EndpointSlice API operations"""
    operations.discoverable(client, "discovery.k8s.io", "v1", "endpointslices")
    template = {
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["1.2.3.4", "5.6.7.8"], "conditions": {"ready": True, "serving": True}},
            {"addresses": ["2.2.3.4", "6.6.7.8"], "conditions": {"ready": False, "serving": False}},
        ],
        "ports": [{"name": "http", "protocol": "TCP", "port": 80}],
    }
    operations.walk(slices(client, namespace), template)


def test_mirroring(client: Client, namespace: str) -> None:
    """[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and
    delete
    """
    services = client.of("v1", "services", "Service", namespace)
    endpoints = client.of("v1", "endpoints", "Endpoints", namespace)
    port = {"name": "example", "port": 80, "protocol": "TCP"}
    services.create({"metadata": {"name": "example-custom-endpoints"}, "spec": {"ports": [port]}})
    subsets = [
        {"ports": [{"name": "example", "port": 80, "protocol": "TCP"}], "addresses": [{"ip": "10.1.2.3"}]}
    ]
    endpoints.create({"metadata": {"name": "example-custom-endpoints"}, "subsets": subsets})

    def mirrored() -> list[Object]:
        return slices(client, namespace).list(
            labelSelector="kubernetes.io/service-name=example-custom-endpoints"
        )

    def shows(port: int, address: str) -> bool:
        found = mirrored()
        if len(found) != 1:
            return False
        (one,) = found
        same_port = [each["port"] for each in one["ports"]] == [port]
        return same_port and [each["addresses"] for each in one["endpoints"]] == [[address]]

    until("the slice", lambda: shows(80, "10.1.2.3"))

    def edit(obj: Object) -> None:
        obj["subsets"][0]["ports"] = [{"name": "example", "port": 90, "protocol": "TCP"}]
        obj["subsets"][0]["addresses"] = [{"ip": "10.2.3.4"}]

    endpoints.change("example-custom-endpoints", edit)
    until("the changed slice", lambda: shows(90, "10.2.3.4"))
    endpoints.delete("example-custom-endpoints")
    until("no slice", lambda: mirrored() == [])

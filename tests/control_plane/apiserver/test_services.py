"""Service addresses and node ports: unique, kept, released."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Harness

Object = dict[str, Any]
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
def path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services"


def service(name: str, **spec: Any) -> Object:
    ports = [{"name": "http", "port": 80}]
    return {"metadata": {"name": name}, "spec": {"selector": {"a": "b"}, "ports": ports, **spec}}


def addresses(api: Harness) -> set[str]:
    listing = api.get("/apis/networking.k8s.io/v1/ipaddresses")
    return {item["metadata"]["name"] for item in listing["items"]}


def test_a_cluster_ip_is_given_and_taken_back(api: Harness, path: str, namespace: str) -> None:
    spec = api.create(path, service("s"))["spec"]
    assert spec["clusterIP"].startswith("10.96.")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    held = api.get(f"/apis/networking.k8s.io/v1/ipaddresses/{spec['clusterIP']}")
    parent = {"resource": "services", "namespace": namespace, "name": "s"}
    assert held["spec"]["parentRef"] == parent
    api.request("DELETE", path + "/s")
    assert spec["clusterIP"] not in addresses(api)


def test_many_at_once_share_nothing(api: Harness, path: str) -> None:
    def one(index: int) -> Object:
        return api.create(path, service(f"s{index}", type="NodePort"))["spec"]

    with ThreadPoolExecutor(8) as pool:
        specs = list(pool.map(one, range(40)))
    assert len({spec["clusterIP"] for spec in specs}) == 40
    ports = [spec["ports"][0]["nodePort"] for spec in specs]
    assert len(set(ports)) == 40
    assert all(30000 <= port <= 32767 for port in ports)


def test_a_named_address_and_port_are_taken_once(api: Harness, path: str) -> None:
    ports = [{"port": 80, "nodePort": 30055}]  # below what is chosen for those who name none
    api.create(path, service("one", type="NodePort", clusterIP="10.96.0.77", ports=ports))
    answer = api.request("POST", path, service("two", clusterIP="10.96.0.77"))
    assert answer.status == 422
    assert answer.body["message"] == (
        'Service "two" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.77"]: '
        "failed to allocate IP 10.96.0.77: provided IP is already allocated"
    )
    answer = api.request("POST", path, service("two", type="NodePort", ports=ports))
    assert answer.body["message"] == (
        'Service "two" is invalid: spec.ports[0].nodePort: Invalid value: 30055: '
        "provided port is already allocated"
    )
    api.request("DELETE", path + "/one")
    api.create(path, service("two", type="NodePort", clusterIP="10.96.0.77", ports=ports))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"clusterIP": "192.168.1.1"},
            "provided IP is not in the valid range. The range of valid IPs is 10.96",
        ),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
            "provided port is not in the valid range. The range of valid ports is 30000-32767",
        ),
        ({"ipFamilyPolicy": "RequireDualStack"}, "this cluster is not configured for dual-stack services"),
    ],
    ids=["address", "port", "dual stack"],
)
def test_what_is_out_of_range(api: Harness, path: str, spec: Object, message: str) -> None:
    answer = api.request("POST", path, service("s", **spec))
    assert answer.status == 422
    assert message in answer.body["message"]


def test_headless_and_external_services_take_nothing(api: Harness, path: str) -> None:
    before = addresses(api)
    headless = api.create(path, service("headless", clusterIP="None"))["spec"]
    assert headless["clusterIPs"] == ["None"]
    external = {"metadata": {"name": "ext"}, "spec": {"type": "ExternalName", "externalName": "example.com"}}
    assert "clusterIP" not in api.create(path, external)["spec"]
    assert addresses(api) == before


def test_an_update_keeps_what_was_allocated(api: Harness, path: str) -> None:
    made = api.create(path, service("s", type="NodePort"))
    bare = service("s", type="NodePort")
    bare["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    kept = api.request("PUT", path + "/s", bare).body["spec"]
    assert kept["clusterIP"] == made["spec"]["clusterIP"]
    assert kept["ports"][0]["nodePort"] == made["spec"]["ports"][0]["nodePort"]


def test_the_type_may_change(api: Harness, path: str) -> None:
    made = api.create(path, service("s"))["spec"]
    node_port = api.request("PATCH", path + "/s", {"spec": {"type": "NodePort"}}, MERGE).body["spec"]
    port = node_port["ports"][0]["nodePort"]
    assert port
    assert node_port["clusterIP"] == made["clusterIP"]
    back = api.request("PATCH", path + "/s", {"spec": {"type": "ClusterIP"}}, MERGE).body["spec"]
    assert "nodePort" not in back["ports"][0]
    again = api.create(path, service("t", type="NodePort", ports=[{"port": 1, "nodePort": port}]))
    assert again["spec"]["ports"][0]["nodePort"] == port, "the port was released"
    change = {"spec": {"type": "ExternalName", "externalName": "example.com"}}
    external = api.request("PATCH", path + "/s", change, MERGE)
    assert external.status == 200, external.raw
    assert made["clusterIP"] not in addresses(api)


def test_one_port_over_two_protocols_has_one_node_port(api: Harness, path: str) -> None:
    ports = [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]
    spec = api.create(path, service("dns", type="NodePort", ports=ports))["spec"]
    assert spec["ports"][0]["nodePort"] == spec["ports"][1]["nodePort"]


def test_dry_run_allocates_nothing(api: Harness, path: str) -> None:
    before = addresses(api)
    shown = api.request("POST", path + "?dryRun=All", service("s")).body["spec"]["clusterIP"]
    assert shown
    assert addresses(api) == before


def test_the_kubernetes_service(api: Harness) -> None:
    made = api.get("/api/v1/namespaces/default/services/kubernetes")
    assert made["spec"]["clusterIP"] == "10.96.0.1"
    endpoints = api.get("/api/v1/namespaces/default/endpoints/kubernetes")
    assert endpoints["subsets"][0]["addresses"] == [{"ip": "127.0.0.1"}]
    assert endpoints["subsets"][0]["ports"][0]["port"] == api.port
    slices = api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
    assert slices["endpoints"][0]["addresses"] == ["127.0.0.1"]

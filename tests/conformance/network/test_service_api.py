"""test/e2e/network/service.go, the part without pods"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.client import ApiError, Client

Object = dict[str, Any]
PORT = {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}


def test_secure_master_service(client: Client) -> None:
    """[sig-network] API Server should provide secure master service"""
    assert client.of("v1", "services", "Service", "default").get("kubernetes")["spec"]["clusterIP"]


def test_kubernetes_is_found_in_all_namespaces(client: Client) -> None:
    """[sig-network] Services should find a service from listing all namespaces"""
    found = client.of("v1", "services", "Service").list()
    assert ("kubernetes", "default") in {
        (each["metadata"]["name"], each["metadata"]["namespace"]) for each in found
    }


def test_status_lifecycle(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-network] Services should complete a service status lifecycle"""
    services = client.of("v1", "services", "Service", namespace)
    label = {"test-service-static": "true"}
    template = {
        "metadata": {"name": "test-service", "labels": label},
        "spec": {"type": "LoadBalancer", "ports": [PORT], "loadBalancerClass": "example.com/internal-vip"},
    }
    with services.watch(resourceVersion="0", labelSelector="test-service-static=true") as events:
        services.create(template)
        events.until("ADDED", lambda obj: obj["metadata"]["name"] == "test-service")
        found = client.of("v1", "services", "Service").list(labelSelector="test-service-static=true")
        assert len(found) == 1

        status = dynamic.of("v1", "services", "Service", namespace).get("test-service", "status")
        assert status["kind"] == "Service"
        points = {"ingress": [{"ip": "203.0.113.1"}]}
        patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"loadBalancer": points}}
        patched = services.patch("test-service", patch, "merge", "status")
        assert patched["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
        events.until(
            "MODIFIED", lambda obj: obj["metadata"].get("annotations", {}).get("patchedstatus") == "true"
        )
        condition = {
            "type": "StatusUpdate",
            "status": "True",
            "reason": "E2E",
            "message": "Set from e2e test",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        services.change(
            "test-service", lambda obj: obj["status"].setdefault("conditions", []).append(condition), "status"
        )
        events.until(
            "MODIFIED",
            lambda obj: any(each == condition for each in obj["status"].get("conditions", ())),
        )
        services.patch("test-service", {"metadata": {"labels": {"test-service": "patched"}}}, "strategic")
        events.until("MODIFIED", lambda obj: obj["metadata"]["labels"].get("test-service") == "patched")
        services.delete("test-service")
        events.until("DELETED", lambda obj: obj["metadata"]["name"] == "test-service")


def test_delete_collection(client: Client, namespace: str) -> None:
    """[sig-network] Services should delete a collection of services"""
    services = client.of("v1", "services", "Service", namespace)
    for index in (1, 2, 3):
        label = {"e2e-test-label": "keep"} if index == 3 else {"e2e-svc-group": "delete"}
        spec = {
            "type": "ClusterIP",
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 9375}],
        }
        services.create({"metadata": {"name": f"e2e-svc-{index}", "labels": label}, "spec": spec})
    assert len(services.list()) == 3
    services.delete_collection(labelSelector="e2e-svc-group=delete")
    assert [each["metadata"]["name"] for each in services.list()] == ["e2e-svc-3"]


def test_endpoint_lifecycle(client: Client, namespace: str) -> None:
    """[sig-network] Endpoints should test the lifecycle of an Endpoint"""
    endpoints = client.of("v1", "endpoints", "Endpoints", namespace)
    label = {"test-endpoint-static": "true"}
    subset = {"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    with endpoints.watch(resourceVersion="0", labelSelector="test-endpoint-static=true") as events:
        endpoints.create({"metadata": {"name": "testservice", "labels": label}, "subsets": [subset]})
        events.until("ADDED")
        found = client.of("v1", "endpoints", "Endpoints").list(labelSelector="test-endpoint-static=true")
        assert [each["metadata"]["name"] for each in found] == ["testservice"]
        endpoints.change(
            "testservice", lambda obj: obj["metadata"]["labels"].update({"test-service": "updated"})
        )
        events.until("MODIFIED", lambda obj: obj["metadata"]["labels"].get("test-service") == "updated")
        assert endpoints.get("testservice")["metadata"]["labels"]["test-service"] == "updated"
        patch = {
            "metadata": {"labels": {"test-service": "patched"}},
            "subsets": [{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080}]}],
        }
        endpoints.patch("testservice", patch, "strategic")
        events.until("MODIFIED", lambda obj: obj["metadata"]["labels"].get("test-service") == "patched")
        (subset,) = endpoints.get("testservice")["subsets"]
        assert subset["addresses"] == [{"ip": "10.0.0.25"}]
        assert (subset["ports"][0]["name"], subset["ports"][0]["port"]) == ("http-test", 8080)
        endpoints.delete_collection(labelSelector="test-endpoint-static=true")
        events.until("DELETED")
    with pytest.raises(ApiError, match="not found"):
        endpoints.get("testservice")


def test_changed_types(client: Client, namespace: str) -> None:
    """[sig-network] Services should be able to change the type …: what the API shows of it"""
    services = client.of("v1", "services", "Service", namespace)
    external = {"type": "ExternalName", "externalName": "foo.example.com"}
    made = services.create({"metadata": {"name": "turn"}, "spec": external})
    assert "clusterIP" not in made["spec"]

    def to_cluster_ip(obj: Object) -> None:
        obj["spec"].pop("externalName")
        obj["spec"] |= {"type": "ClusterIP", "ports": [{"name": "http", "protocol": "TCP", "port": 80}]}

    def to_node_port(obj: Object) -> None:
        obj["spec"].pop("externalName", None)
        obj["spec"] |= {"type": "NodePort", "ports": [{"name": "http", "protocol": "TCP", "port": 80}]}

    def to_external_name(obj: Object) -> None:
        obj["spec"] |= {"type": "ExternalName", "externalName": "foo.example.com"}

    assert services.change("turn", to_cluster_ip)["spec"]["clusterIP"]
    turned = services.change("turn", to_external_name)
    assert "clusterIP" not in turned["spec"]
    exposed = services.change("turn", to_node_port)
    assert exposed["spec"]["clusterIP"]
    assert exposed["spec"]["ports"][0]["nodePort"]
    turned = services.change("turn", to_external_name)
    assert "clusterIP" not in turned["spec"]
    assert "nodePort" not in turned["spec"]["ports"][0]

"""test/e2e/network/service_cidrs.go"""

from __future__ import annotations

from tests.conformance.client import Client


def test_service_cidr_api_operations(client: Client, dynamic: Client) -> None:
    """[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations"""
    ranges = client.of("networking.k8s.io/v1", "servicecidrs", "ServiceCIDR")
    default = ranges.get("kubernetes")
    status = dynamic.of("networking.k8s.io/v1", "servicecidrs", "ServiceCIDR").get("kubernetes", "status")
    assert (status["apiVersion"], status["kind"]) == ("networking.k8s.io/v1", "ServiceCIDR")
    assert status["metadata"]["uid"] == default["metadata"]["uid"]
    assert ranges.list()
    with ranges.watch(resourceVersion="0") as events:
        events.until("ADDED", lambda obj: obj["metadata"]["name"] == "kubernetes")


def test_ip_address_api_operations(client: Client) -> None:
    """[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations"""
    addresses = client.of("networking.k8s.io/v1", "ipaddresses", "IPAddress")
    parent = {"group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar"}
    spec = {"parentRef": parent}
    created = addresses.create(
        {"metadata": {"name": "255.255.255.255", "labels": {"type": "broadcast"}}, "spec": spec}
    )
    addresses.create(
        {"metadata": {"name": "fe80::42:1dff:fe84:f9e2", "labels": {"type": "link-local"}}, "spec": spec}
    )
    patched = addresses.patch("255.255.255.255", {"metadata": {"annotations": {"patched": "true"}}})
    assert patched["metadata"]["annotations"] == {"patched": "true"}
    assert int(created["metadata"]["resourceVersion"]) < int(patched["metadata"]["resourceVersion"])
    updated = addresses.change(
        "255.255.255.255", lambda obj: obj["metadata"]["annotations"].update(updated="true")
    )
    assert updated["metadata"]["annotations"]["updated"] == "true"
    addresses.get("255.255.255.255")
    assert len(addresses.list(labelSelector="type=broadcast")) == 1
    with addresses.watch(resourceVersion="0", labelSelector="type=broadcast") as events:
        events.until("ADDED")
    addresses.delete("255.255.255.255")
    addresses.delete_collection(labelSelector="type=link-local")
    assert addresses.list(labelSelector="type=link-local") == []

"""test/e2e/dra: the API of dynamic resource allocation, the part without drivers"""

from __future__ import annotations

from typing import Any

from tests.conformance import operations
from tests.conformance.client import Client, Resource

Object = dict[str, Any]
GROUP = "resource.k8s.io/v1"


def claim_spec(namespace: str) -> Object:
    exactly = {"deviceClassName": f"{namespace}-class", "allocationMode": "ExactCount", "count": 1}
    return {"devices": {"requests": [{"name": "req-0", "exactly": exactly}]}}


def test_device_classes(client: Client) -> None:
    """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass"""
    operations.discoverable(client, "resource.k8s.io", "v1", "deviceclasses")
    classes = client.of(GROUP, "deviceclasses", "DeviceClass")
    selector = {"cel": {"expression": 'device.driver == "dra.example.com"'}}
    operations.walk(classes, {"spec": {"selectors": [selector]}})


def test_resource_claims(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim"""
    operations.discoverable(client, "resource.k8s.io", "v1", "resourceclaims", "resourceclaims/status")
    claims = client.of(GROUP, "resourceclaims", "ResourceClaim", namespace)

    def status(resource: Resource, obj: Object) -> None:
        name = obj["metadata"]["name"]
        patched = resource.patch(name, {"metadata": {"annotations": {"s": "1"}}}, "merge", "status")
        assert patched["metadata"]["uid"] == obj["metadata"]["uid"]
        result = {"driver": "dra.example.com", "pool": "pool", "device": "dev-0", "request": "req-0"}
        allocation = {"devices": {"results": [result]}}

        def allocate(it: Object) -> None:
            it["status"] = {"allocation": allocation}

        updated = resource.change(name, allocate, "status")
        (found,) = updated["status"]["allocation"]["devices"]["results"]
        assert found["device"] == "dev-0"
        shown = dynamic.of(GROUP, "resourceclaims", "ResourceClaim", namespace).get(name, "status")
        assert shown["kind"] == "ResourceClaim"
        resource.change(name, lambda it: it.update(status={}), "status")

    operations.walk(claims, {"spec": claim_spec(namespace)}, before_deleting=status)


def test_resource_claim_templates(client: Client, namespace: str) -> None:
    """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate"""
    operations.discoverable(client, "resource.k8s.io", "v1", "resourceclaimtemplates")
    templates = client.of(GROUP, "resourceclaimtemplates", "ResourceClaimTemplate", namespace)
    operations.walk(templates, {"spec": {"spec": claim_spec(namespace)}})


def test_resource_slices(client: Client) -> None:
    """[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice"""
    operations.discoverable(client, "resource.k8s.io", "v1", "resourceslices")
    slices = client.of(GROUP, "resourceslices", "ResourceSlice")
    spec = {
        "driver": "dra.example.com",
        "allNodes": True,
        "pool": {"name": "pool", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "dev-0"}],
    }
    operations.walk(slices, {"spec": spec})

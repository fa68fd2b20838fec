"""test/e2e/apimachinery/namespace.go"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.conformance.client import Client, Resource
from tests.conformance.workload import pod_spec
from tests.e2e.conftest import until

Object = dict[str, Any]


def namespaces(client: Client) -> Resource:
    return client.of("v1", "namespaces", "Namespace")


def test_patch(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Namespaces should patch a Namespace"""
    namespaces(client).patch(namespace, {"metadata": {"labels": {"testLabel": "testValue"}}}, "strategic")
    assert namespaces(client).get(namespace)["metadata"]["labels"]["testLabel"] == "testValue"


def test_update(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Namespaces should apply an update to a Namespace"""

    def edit(obj: Object) -> None:
        obj["metadata"]["labels"][namespace] = "updated"

    assert namespaces(client).change(namespace, edit)["metadata"]["labels"][namespace] == "updated"


def test_status(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-api-machinery] Namespaces should apply changes to a namespace status"""
    of = namespaces(client)
    assert namespaces(dynamic).get(namespace, "status")["status"] == {"phase": "Active"}
    condition = {
        "type": "StatusPatch",
        "status": "True",
        "reason": "E2E",
        "message": "Patched by an e2e test",
        "lastTransitionTime": None,
    }
    patch = {
        "metadata": {"annotations": {"e2e-patched-ns-status": namespace}},
        "status": {"conditions": [condition]},
    }
    patched = of.patch(namespace, patch, subresource="status")
    assert patched["metadata"]["annotations"]["e2e-patched-ns-status"] == namespace
    assert [each["type"] for each in patched["status"]["conditions"]] == ["StatusPatch"]

    def add(obj: Object) -> None:
        more = {
            "type": "StatusUpdate",
            "status": "True",
            "reason": "E2E",
            "message": "Updated by an e2e test",
        }
        obj["status"]["conditions"].append(more)

    updated = of.change(namespace, add, "status")
    assert updated["status"]["phase"] == "Active"
    assert [each["type"] for each in updated["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"]


def test_finalizer(client: Client, new_namespace: Callable[..., str]) -> None:
    """[sig-api-machinery] Namespaces should apply a finalizer to a Namespace"""
    name = new_namespace()
    of = namespaces(client)
    fake = "e2e.example.com/fakeFinalizer"
    found = of.get(name)
    found["spec"]["finalizers"].append(fake)
    assert fake in of.update(found, "finalize")["spec"]["finalizers"]
    found = of.get(name)
    assert fake in found["spec"]["finalizers"]
    found["spec"]["finalizers"].remove(fake)
    assert of.update(found, "finalize")["spec"]["finalizers"] == ["kubernetes"]
    assert of.get(name)["spec"]["finalizers"] == ["kubernetes"]


def test_pods_go_with_their_namespace(client: Client, new_namespace: Callable[..., str]) -> None:
    """[sig-api-machinery] Namespaces should ensure that all pods are removed when a namespace is deleted"""
    name = new_namespace()
    pods = client.of("v1", "pods", "Pod", name)
    pods.create({"metadata": {"name": "test-pod"}, "spec": pod_spec()})
    until("the pod runs", lambda: pods.get("test-pod")["status"].get("phase") == "Running")
    recreated(client, new_namespace, name)
    assert client.of("v1", "pods", "Pod", name).list() == []


def test_services_go_with_their_namespace(client: Client, new_namespace: Callable[..., str]) -> None:
    """[sig-api-machinery] Namespaces should ensure that all services are removed when a namespace is deleted"""
    name = new_namespace()
    spec = {"selector": {"foo": "bar", "baz": "blah"}, "ports": [{"port": 80, "targetPort": 80}]}
    client.of("v1", "services", "Service", name).create({"metadata": {"name": "test-service"}, "spec": spec})
    recreated(client, new_namespace, name)
    assert client.of("v1", "services", "Service", name).list() == []


def test_pods_go_first(client: Client, new_namespace: Callable[..., str]) -> None:
    """[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first"""
    name = new_namespace()
    pods = client.of("v1", "pods", "Pod", name)
    maps = client.of("v1", "configmaps", "ConfigMap", name)
    finalizer = {"finalizers": ["e2e.example.com/finalizer"]}
    pods.create({"metadata": {"name": "test-pod", **finalizer}, "spec": pod_spec()})
    maps.create({"metadata": {"name": "test-configmap", **finalizer}})
    namespaces(client).delete(name)

    def remaining() -> bool:
        conditions = namespaces(client).get(name)["status"].get("conditions") or ()
        found = {each["type"]: each for each in conditions}
        return found.get("NamespaceFinalizersRemaining", {}).get("status") == "True"

    until("the namespace waits for the pod", remaining)
    assert "deletionTimestamp" not in maps.get("test-configmap")["metadata"]
    pods.patch("test-pod", {"metadata": {"finalizers": None}})
    until("the pod is gone", lambda: not pods.exists("test-pod"))
    until("the map's turn", lambda: "deletionTimestamp" in maps.get("test-configmap")["metadata"])
    maps.patch("test-configmap", {"metadata": {"finalizers": None}})
    until("the namespace is gone", lambda: not namespaces(client).exists(name))
    namespaces(client).create({"metadata": {"name": name}})


def recreated(client: Client, new_namespace: Callable[..., str], name: str) -> None:
    namespaces(client).delete(name)
    until("the namespace is gone", lambda: not namespaces(client).exists(name), 60)
    namespaces(client).create({"metadata": {"name": name}})

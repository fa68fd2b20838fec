"""test/e2e/common/node: what of configmap.go, secrets.go, podtemplates.go, lease.go, runtimeclass.go and of
node_lifecycle.go needs no pod
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from tests.conformance import operations
from tests.conformance.client import ApiError, Client
from tests.e2e.conftest import until

Object = dict[str, Any]


def test_config_map_with_an_empty_key(client: Client, namespace: str) -> None:
    """[sig-node] ConfigMap should fail to create ConfigMap with empty key"""
    with pytest.raises(ApiError) as refused:
        client.of("v1", "configmaps", "ConfigMap", namespace).create(
            {"metadata": {"name": "configmap-test-emptyKey".lower()}, "data": {"": "value-1"}}
        )
    assert refused.value.code == 422


def test_config_map_lifecycle(client: Client, namespace: str) -> None:
    """[sig-node] ConfigMap should run through a ConfigMap lifecycle"""
    maps = client.of("v1", "configmaps", "ConfigMap", namespace)
    everywhere = client.of("v1", "configmaps", "ConfigMap")
    label = {"test-configmap-static": "true"}
    selector = {"labelSelector": "test-configmap-static=true"}
    with maps.watch(resourceVersion="0", **selector) as events:
        maps.create({"metadata": {"name": "test-configmap", "labels": label}, "data": {"valueName": "value"}})
        events.until("ADDED")
        patch = {
            "metadata": {"labels": {"test-configmap": "patched"}},
            "data": {"valueName": "value1"},
        }
        maps.patch("test-configmap", patch, "strategic")
        events.until("MODIFIED", lambda obj: obj["metadata"]["labels"].get("test-configmap") == "patched")
        found = maps.get("test-configmap")
        assert found["data"]["valueName"] == "value1"
        assert found["metadata"]["labels"]["test-configmap"] == "patched"
        assert [each["data"]["valueName"] for each in everywhere.list(**selector)] == ["value1"]
        maps.delete_collection(**selector)
        events.until("DELETED")
        assert maps.list(**selector) == []


def test_config_map_update(client: Client, namespace: str) -> None:
    """[sig-node] ConfigMap should update ConfigMap successfully"""
    maps = client.of("v1", "configmaps", "ConfigMap", namespace)
    sent = {"metadata": {"name": "configmap-test"}, "data": {"data-1": "value-1", "data-2": "value-2"}}
    maps.create(sent)
    maps.update({**sent, "data": {"data": "value"}})  # without a version, as it was sent
    assert maps.get("configmap-test")["data"] == {"data": "value"}


def test_secret_with_an_empty_key(client: Client, namespace: str) -> None:
    """[sig-node] Secrets should fail to create secret due to empty secret key"""
    with pytest.raises(ApiError) as refused:
        client.of("v1", "secrets", "Secret", namespace).create(
            {"metadata": {"name": "secret-emptykey-test"}, "data": {"": "dmFsdWUtMQ=="}}
        )
    assert refused.value.code == 422


def test_secret_patch(client: Client, namespace: str) -> None:
    """[sig-node] Secrets should patch a secret"""
    secrets = client.of("v1", "secrets", "Secret", namespace)
    everywhere = client.of("v1", "secrets", "Secret")
    value = b64encode(b"value").decode()
    secrets.create(
        {
            "metadata": {"name": "test-secret", "labels": {"testsecret-constant": "true"}},
            "type": "Opaque",
            "data": {"key": value},
        }
    )
    selector = {"labelSelector": "testsecret-constant=true"}
    assert [each["metadata"]["name"] for each in everywhere.list(**selector)] == ["test-secret"]
    changed = b64encode(b"value1").decode()
    patch = {"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": changed}}
    secrets.patch("test-secret", patch, "strategic")
    found = secrets.get("test-secret")
    assert found["metadata"]["labels"]["testsecret"] == "true"
    assert found["data"]["key"] == changed
    secrets.delete_collection(**selector)
    assert everywhere.list(**selector) == []


@pytest.mark.parametrize(
    ("plural", "kind", "data"),
    [("configmaps", "ConfigMap", "value-2"), ("secrets", "Secret", "dmFsdWUtMg==")],
)
def test_immutable(client: Client, namespace: str, plural: str, kind: str, data: str) -> None:
    """[sig-storage] ConfigMap, Secrets should be immutable if `immutable` field is set"""
    of = client.of("v1", plural, kind, namespace)
    of.create({"metadata": {"name": "immutable"}, "data": {"data-1": data}})
    of.change("immutable", lambda obj: obj["data"].update({"data-2": data}))
    of.change("immutable", lambda obj: obj.update(immutable=True))
    refusals = (
        lambda obj: obj["data"].update({"data-3": data}),
        lambda obj: obj.update(immutable=False),
    )
    for edit in refusals:
        with pytest.raises(ApiError) as refused:
            of.change("immutable", edit)
        assert refused.value.reason == "Invalid"
    of.change("immutable", lambda obj: obj["metadata"].setdefault("labels", {}).update(label1="value1"))
    of.delete("immutable")


def _template(**metadata: Any) -> Object:
    container = {"name": "nginx", "image": "registry.k8s.io/e2e-test-images/nginx:1.14-4"}
    return {"metadata": metadata, "template": {"spec": {"containers": [container]}}}


def test_pod_template_lifecycle(client: Client, namespace: str) -> None:
    """[sig-node] PodTemplates should run the lifecycle of PodTemplates"""
    templates = client.of("v1", "podtemplates", "PodTemplate", namespace)
    label = {"podtemplate-static": "true"}
    selector = {"labelSelector": "podtemplate-static=true"}
    everywhere = client.of("v1", "podtemplates", "PodTemplate")
    assert everywhere.list(**selector) == []
    templates.create(_template(name="nginx-pod-template", labels=label))
    assert templates.get("nginx-pod-template")["metadata"]["name"] == "nginx-pod-template"
    patch = {"metadata": {"labels": {"podtemplate": "patched"}}}
    templates.patch("nginx-pod-template", patch, "strategic")
    assert templates.get("nginx-pod-template")["metadata"]["labels"]["podtemplate"] == "patched"
    templates.delete("nginx-pod-template")
    assert everywhere.list(**selector) == []


def test_pod_template_collection(client: Client, namespace: str) -> None:
    """[sig-node] PodTemplates should delete a collection of pod templates"""
    templates = client.of("v1", "podtemplates", "PodTemplate", namespace)
    label = {"podtemplate-set": "true"}
    for number in (1, 2, 3):
        made = _template(name=f"test-podtemplate-{number}", labels=label)
        templates.create({**made, "template": {"metadata": {"labels": label}, **made["template"]}})
    selector = {"labelSelector": "podtemplate-set=true"}
    assert len(templates.list(**selector)) == 3
    templates.delete_collection(**selector)
    assert templates.list(**selector) == []


def test_pod_template_replace(client: Client, namespace: str) -> None:
    """[sig-node] PodTemplates should replace a pod template"""
    templates = client.of("v1", "podtemplates", "PodTemplate", namespace)
    templates.create(_template(name="podtemplate", labels={"e2e": "replaced"}))
    changed = templates.change(
        "podtemplate", lambda obj: obj["metadata"].setdefault("annotations", {}).update(updated="true")
    )
    assert changed["metadata"]["annotations"] == {"updated": "true"}


def test_lease(client: Client, namespace: str) -> None:
    """[sig-node] Lease lease API should be available"""
    leases = client.of("coordination.k8s.io/v1", "leases", "Lease", namespace)
    spec = {
        "holderIdentity": "holder",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-01-01T01:02:03.123456Z",
        "renewTime": "2026-01-01T01:02:04.123456Z",
        "leaseTransitions": 0,
    }
    leases.create({"metadata": {"name": "lease"}, "spec": spec})
    assert leases.get("lease")["spec"] == spec
    changed = {
        "holderIdentity": "holder2",
        "leaseDurationSeconds": 31,
        "acquireTime": "2026-01-01T01:02:06.654321Z",
        "renewTime": "2026-01-01T01:02:07.654321Z",
        "leaseTransitions": 1,
    }
    leases.change("lease", lambda obj: obj.update(spec=changed))
    assert leases.get("lease")["spec"] == changed
    patch = {"spec": {"leaseDurationSeconds": 60, "leaseTransitions": 2}}
    leases.patch("lease", patch, "strategic")
    assert leases.get("lease")["spec"] == changed | patch["spec"]
    second = {"name": "lease2", "labels": {"deletecollection": "true"}}
    leases.create({"metadata": second, "spec": changed})
    assert len(leases.list()) == 2
    leases.delete_collection(labelSelector="deletecollection=true")
    assert [each["metadata"]["name"] for each in leases.list()] == ["lease"]
    leases.delete("lease")
    operations.assert_gone(leases, "lease")


def test_runtime_class_api_operations(client: Client) -> None:
    """[sig-node] RuntimeClass should support RuntimeClasses API operations"""
    operations.discoverable(client, "node.k8s.io", "v1", "runtimeclasses")
    classes = client.of("node.k8s.io/v1", "runtimeclasses", "RuntimeClass")
    operations.walk(classes, {"handler": "e2e-handler"})
    twice = {"metadata": {"name": "e2e-twice"}, "handler": "e2e-handler"}
    classes.create(twice)
    with pytest.raises(ApiError) as refused:
        classes.create(twice)
    assert (refused.value.code, refused.value.reason) == (409, "AlreadyExists")
    classes.delete("e2e-twice")


def test_pod_with_an_unknown_runtime_class(client: Client, namespace: str) -> None:
    """[sig-node] RuntimeClass should reject a Pod requesting a non-existent, a deleted RuntimeClass"""
    classes = client.of("node.k8s.io/v1", "runtimeclasses", "RuntimeClass")
    pods = client.of("v1", "pods", "Pod", namespace)
    pod = {
        "metadata": {"generateName": "test-runtimeclass-"},
        "spec": {
            "runtimeClassName": f"{namespace}-class",
            "containers": [{"name": "test", "image": "pause"}],
            "automountServiceAccountToken": False,
        },
    }
    with pytest.raises(ApiError, match="not found") as refused:
        pods.create(pod)
    assert refused.value.reason == "Forbidden"
    classes.create({"metadata": {"name": f"{namespace}-class"}, "handler": "e2e"})
    classes.delete(f"{namespace}-class")
    assert not classes.exists(f"{namespace}-class")
    with pytest.raises(ApiError) as refused:
        pods.create(pod)
    assert refused.value.reason == "Forbidden"


@pytest.mark.parametrize("overhead", [None, {"cpu": "10m", "memory": "1Mi"}], ids=["without", "with"])
def test_runtime_class_overhead(client: Client, namespace: str, overhead: Object | None) -> None:
    """[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead, without
    PodOverhead
    """
    classes = client.of("node.k8s.io/v1", "runtimeclasses", "RuntimeClass")
    pods = client.of("v1", "pods", "Pod", namespace)
    name = f"{namespace}-overhead"
    made = {"metadata": {"name": name}, "handler": "test-handler"}
    classes.create({**made, "overhead": {"podFixed": overhead}} if overhead else made)
    spec = {"runtimeClassName": name, "containers": [{"name": "test", "image": "pause"}]}
    pods.create({"metadata": {"name": "overhead"}, "spec": spec})
    until("it is scheduled", lambda: pods.get("overhead")["spec"].get("nodeName"))
    assert (pods.get("overhead")["spec"].get("overhead") or None) == overhead
    pods.delete("overhead", gracePeriodSeconds=0)
    classes.delete(name)


def test_node_lifecycle(client: Client) -> None:
    """[sig-node] Node Lifecycle should run through the lifecycle of a node"""
    nodes = client.of("v1", "nodes", "Node")
    spec = {"unschedulable": True}
    condition = {"type": "Ready", "status": "True", "message": "Set from e2e test", "reason": "E2E"}
    status = {
        "phase": "Running",
        "conditions": [condition],
        "capacity": {"cpu": "1"},
        "nodeInfo": {"kubeletVersion": "v1"},
    }
    created = nodes.create({"metadata": {"name": "e2e-fake-node"}, "spec": spec, "status": status})
    assert nodes.get("e2e-fake-node")["metadata"]["name"] == created["metadata"]["name"]
    patched = nodes.patch(
        "e2e-fake-node", {"metadata": {"labels": {"e2e-fake-node": "patched"}}}, "strategic"
    )
    assert patched["metadata"]["labels"]["e2e-fake-node"] == "patched"
    assert len(nodes.list(labelSelector="e2e-fake-node=patched")) == 1
    updated = nodes.change(
        "e2e-fake-node", lambda obj: obj["metadata"]["labels"].update({"e2e-fake-node": "updated"})
    )
    assert updated["metadata"]["labels"]["e2e-fake-node"] == "updated"
    nodes.delete("e2e-fake-node", gracePeriodSeconds=0)
    assert nodes.list(labelSelector="e2e-fake-node=updated") == []

"""test/e2e/apimachinery/resource_quota.go"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.conformance.client import ApiError, Client, Resource
from tests.e2e.conftest import until

Object = dict[str, Any]

HARD = {
    "pods": "5",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "replicationcontrollers": "10",
    "resourcequotas": "1",
    "cpu": "1",
    "memory": "500Mi",
    "configmaps": "10",
    "secrets": "10",
    "persistentvolumeclaims": "10",
    "requests.storage": "10Gi",
    "ephemeral-storage": "50Gi",
    "requests.example.com/dongle": "3",
    "count/replicasets.apps": "5",
}

CPU = ("requests.cpu", "limits.cpu")
MEMORY = ("requests.memory", "limits.memory")


def quotas(client: Client, namespace: str) -> Resource:
    return client.of("v1", "resourcequotas", "ResourceQuota", namespace)


def make(client: Client, namespace: str, name: str = "test-quota", **spec: Any) -> Resource:
    of = quotas(client, namespace)
    of.create({"metadata": {"name": name}, "spec": spec or {"hard": HARD}})
    return of


def used(of: Resource, name: str = "test-quota", **wanted: str) -> None:
    """Until the quota's status has all of `hard`, and this much of it used."""
    expected = {key.replace("__", "/").replace("_", "."): value for key, value in wanted.items()}

    def check() -> Object | None:
        status = of.get(name).get("status") or {}
        found = status.get("used") or {}
        complete = set(found) == set(of.get(name)["spec"]["hard"])
        return status if complete and all(found.get(k) == v for k, v in expected.items()) else None

    until(f"{name} has used {expected}", check, 60)


def pod(
    name: str, requests: Mapping[str, str], limits: Mapping[str, str] | None = None, **spec: Any
) -> Object:
    container: Object = {"name": "pause", "image": "pause", "command": ["sleep", "60"], "resources": {}}
    if requests:
        container["resources"]["requests"] = dict(requests)
    if limits:
        container["resources"]["limits"] = dict(limits)
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def refused(of: Resource, obj: Object) -> str:
    with pytest.raises(ApiError) as error:
        of.create(obj)
    assert error.value.code == 403
    return str(error.value)


def test_status_is_calculated_promptly(client: Client, namespace: str) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly
    calculated."""
    used(make(client, namespace), resourcequotas="1", pods="0")


def test_service(client: Client, namespace: str) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a service."""
    of = make(client, namespace)
    used(of, resourcequotas="1")
    services = client.of("v1", "services", "Service", namespace)

    def service(name: str, kind: str) -> Object:
        return {"metadata": {"name": name}, "spec": {"type": kind, "ports": [{"port": 80, "targetPort": 80}]}}

    services.create(service("test-service", "ClusterIP"))
    services.create(service("test-service-np", "NodePort"))
    message = refused(services, service("test-service-lb", "LoadBalancer"))
    assert "exceeded quota: test-quota" in message
    assert "services.nodeports=1" in message
    used(of, services="2", services_nodeports="1", services_loadbalancers="0")
    services.delete("test-service")
    services.delete("test-service-np")
    used(of, services="0", services_nodeports="0", services_loadbalancers="0")


def test_load_balancer_without_node_ports(client: Client, namespace: str) -> None:
    """…: a load balancer without node ports, or with one under a larger quota."""
    of = make(client, namespace)
    services = client.of("v1", "services", "Service", namespace)
    spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 80}]}
    services.create({"metadata": {"name": "lb"}, "spec": spec})
    used(of, services="1", services_nodeports="0", services_loadbalancers="1")
    services.delete("lb")
    used(of, services="0", services_loadbalancers="0")


POD_OF = {"metadata": {"labels": {"name": "x"}}, "spec": {"containers": [{"name": "x", "image": "nginx"}]}}
COUNTED: list[tuple[str, str, str, Object, str]] = [
    ("v1", "secrets", "Secret", {"data": {"data-1": "dmFsdWUtMQ=="}}, "secrets"),
    ("v1", "configmaps", "ConfigMap", {"data": {"a": "b"}}, "configmaps"),
    (
        "v1",
        "replicationcontrollers",
        "ReplicationController",
        {"spec": {"replicas": 0, "selector": {"name": "x"}, "template": POD_OF}},
        "replicationcontrollers",
    ),
    (
        "apps/v1",
        "replicasets",
        "ReplicaSet",
        {"spec": {"replicas": 0, "selector": {"matchLabels": {"name": "x"}}, "template": POD_OF}},
        "count__replicasets_apps",
    ),
    (
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
        "persistentvolumeclaims",
    ),
]


def test_life(client: Client, namespace: str) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a secret; a
    configMap; a replication controller; a replica set; a persistent volume claim. Each has a test upstream."""
    resources = {key: client.of(*row, namespace) for *row, _, key in COUNTED}
    before = {key: len(resource.list()) for key, resource in resources.items()}
    of = make(client, namespace)
    used(of, resourcequotas="1", **{key: str(count) for key, count in before.items()})
    for *_, obj, key in COUNTED:
        resources[key].create({"metadata": {"name": "test"}, **obj})
        used(of, **{key: str(before[key] + 1)})
    for resource in resources.values():
        resource.delete("test")
    used(of, **{key: str(count) for key, count in before.items()})


def test_pod(client: Client, namespace: str) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a pod."""
    of = make(client, namespace)
    used(of, resourcequotas="1")
    pods = client.of("v1", "pods", "Pod", namespace)
    first = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"}
    pods.create(pod("test-pod", first, {"example.com/dongle": "2"}))
    used(
        of,
        pods="1",
        cpu="500m",
        memory="252Mi",
        **{"ephemeral-storage": "30Gi", "requests_example_com__dongle": "2"},
    )
    refused(pods, pod("fail-pod", {"cpu": "600m", "memory": "100Mi"}))
    more = {"cpu": "500m", "memory": "100Mi", "ephemeral-storage": "10Gi", "example.com/dongle": "2"}
    refused(pods, pod("fail-pod-for-extended-resource", more, {"example.com/dongle": "2"}))

    def edit(obj: Object) -> None:
        obj["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "100m", "memory": "100Mi"}

    with pytest.raises(ApiError):
        pods.change("test-pod", edit)
    used(of, pods="1", cpu="500m", memory="252Mi")
    pods.delete("test-pod", gracePeriodSeconds=0)
    used(of, pods="0", cpu="0", memory="0", requests_example_com__dongle="0")


def test_update_and_delete(client: Client, namespace: str) -> None:
    """[sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota."""
    of = make(client, namespace, hard={"cpu": "1", "memory": "500Mi"})
    assert of.get("test-quota")["spec"]["hard"] == {"cpu": "1", "memory": "500Mi"}

    def edit(obj: Object) -> None:
        obj["spec"]["hard"] = {"cpu": "2", "memory": "1Gi"}

    assert of.change("test-quota", edit)["spec"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    assert of.get("test-quota")["spec"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    of.delete("test-quota")
    assert not of.exists("test-quota")


@pytest.mark.parametrize(
    ("scopes", "hard", "requests", "specs"),
    [
        pytest.param(
            ("BestEffort", "NotBestEffort"),
            {"pods": "5"},
            ({}, {"cpu": "500m", "memory": "200Mi"}),
            ({}, {}),
            id="with best effort scope",
        ),
        pytest.param(
            ("Terminating", "NotTerminating"),
            {"pods": "5", **dict.fromkeys(CPU, "1"), **dict.fromkeys(MEMORY, "1Gi")},
            ({"cpu": "500m", "memory": "200Mi"}, {"cpu": "500m", "memory": "200Mi"}),
            ({"activeDeadlineSeconds": 3600}, {}),
            id="with terminating scopes",
        ),
    ],
)
def test_scopes(
    client: Client,
    namespace: str,
    scopes: tuple[str, str],
    hard: Mapping[str, str],
    requests: tuple[Mapping[str, str], Mapping[str, str]],
    specs: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> None:
    """[sig-api-machinery] ResourceQuota should verify ResourceQuota …"""
    names = ("quota-in", "quota-out")
    for name, scope in zip(names, scopes, strict=True):
        of = make(client, namespace, name, hard=hard, scopes=[scope])
        used(of, name, **dict.fromkeys(hard, "0"))
    full = dict(zip(("pods", *CPU, *MEMORY), ("1", "500m", "1", "200Mi", "400Mi"), strict=True))
    pods = client.of("v1", "pods", "Pod", namespace)
    for index, asked in enumerate(requests):
        limits = {"cpu": "1", "memory": "400Mi"} if asked else None
        pods.create(pod("pod", asked, limits, **specs[index]))
        used(of, names[index], **{key: full[key] for key in hard})
        used(of, names[1 - index], **dict.fromkeys(hard, "0"))
        pods.delete("pod", gracePeriodSeconds=0)
        used(of, names[index], **dict.fromkeys(hard, "0"))


def test_scope_selectors(client: Client, namespace: str) -> None:
    """[sig-api-machinery] ResourceQuota [Feature:ScopeSelectors] should verify ResourceQuota with terminating
    scopes through scope selectors."""
    for name, scope in (("in", "Terminating"), ("out", "NotTerminating")):
        selector = {"matchExpressions": [{"scopeName": scope, "operator": "Exists"}]}
        of = make(client, namespace, name, hard={"pods": "5"}, scopeSelector=selector)
        used(of, name, pods="0")
    pods = client.of("v1", "pods", "Pod", namespace)
    pods.create(pod("pod", {"cpu": "500m"}, activeDeadlineSeconds=3600))
    used(of, "in", pods="1")
    used(of, "out", pods="0")


def test_lifecycle(client: Client, namespace: str) -> None:
    """[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota"""
    of = quotas(client, namespace)
    labels = {"e2e-quota": namespace}
    made = of.create(
        {"metadata": {"name": "quota", "labels": labels}, "spec": {"hard": {"cpu": "1", "memory": "500Mi"}}}
    )
    assert of.get("quota")["spec"] == made["spec"]
    assert len(of.everywhere().list(labelSelector=f"e2e-quota={namespace}")) == 1
    patch = {"metadata": {"labels": {"quota": "patched"}}, "spec": {"hard": {"memory": "750Mi"}}}
    patched = of.patch("quota", patch, "strategic")
    assert patched["spec"]["hard"] == {"cpu": "1", "memory": "750Mi"}
    assert patched["metadata"]["labels"]["quota"] == "patched"
    of.delete_collection(labelSelector="quota=patched")
    assert of.list() == []


def test_changes_of_the_status(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-api-machinery] ResourceQuota should apply changes to a resourcequota status"""
    of = quotas(client, namespace)
    with of.watch() as events:
        of.create({"metadata": {"name": "quota"}, "spec": {"hard": {"cpu": "500m", "memory": "500Mi"}}})
        until("the first status", lambda: (of.get("quota").get("status") or {}).get("hard"))

        def edit(obj: Object) -> None:
            obj["status"]["hard"] = {"cpu": "250m", "memory": "250Mi"}

        written = of.change("quota", edit, "status")
        assert written["status"]["hard"] == {"cpu": "250m", "memory": "250Mi"}
        events.until("MODIFIED", lambda obj: (obj["status"].get("hard") or {}).get("cpu") == "250m")
        events.until("MODIFIED", lambda obj: (obj["status"].get("hard") or {}).get("cpu") == "500m")
        of.patch("quota", {"spec": {"hard": {"cpu": "1", "memory": "1Gi"}}})
        events.until("MODIFIED", lambda obj: obj["status"].get("hard") == {"cpu": "1", "memory": "1Gi"})
        patched = of.patch(
            "quota", {"status": {"hard": {"cpu": "600m", "memory": "250Mi"}}}, subresource="status"
        )
        assert patched["status"]["hard"] == {"cpu": "600m", "memory": "250Mi"}
        assert patched["spec"]["hard"] == {"cpu": "1", "memory": "1Gi"}
        events.until("MODIFIED", lambda obj: obj["status"].get("hard") == {"cpu": "1", "memory": "1Gi"})
    found = quotas(dynamic, namespace).get("quota", "status")
    assert found["spec"]["hard"] == found["status"]["hard"]

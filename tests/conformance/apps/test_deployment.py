"""test/e2e/apps/deployment.go, replica_set.go, rc.go: what happens to pods"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.client import Client, Resource
from tests.conformance.workload import (
    condition,
    is_ready,
    pod_spec,
    pods_of,
    running,
    settled,
    template,
    workload,
)
from tests.e2e.conftest import until

Object = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"


def of_apps(client: Client, namespace: str) -> tuple[Resource, Resource]:
    return (
        client.of("apps/v1", "deployments", "Deployment", namespace),
        client.of("apps/v1", "replicasets", "ReplicaSet", namespace),
    )


def complete(of: Resource, name: str) -> Object:
    def check(obj: Object) -> bool:
        status, replicas = obj.get("status", {}), obj["spec"]["replicas"]
        counts = [status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")]
        return (
            counts == [replicas] * 3 and status.get("observedGeneration", 0) >= obj["metadata"]["generation"]
        )

    return settled(of, name, check)


def set_env(of: Resource, name: str, value: str) -> None:
    def edit(obj: Object) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "VERSION", "value": value}]

    of.change(name, edit)


def test_lifecycle(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-apps] Deployment should run the lifecycle of a Deployment"""
    of, _ = of_apps(client, namespace)
    label = {"test-deployment-static": "true"}
    selector = {"labelSelector": "test-deployment-static=true"}
    with of.watch(resourceVersion="0", **selector) as events:
        of.create(workload("test-deployment", 2, label))
        events.until("ADDED")
        events.until("MODIFIED", lambda obj: obj["status"].get("readyReplicas") == 2)
        assert [each["metadata"]["name"] for each in of.everywhere().list(**selector)] == ["test-deployment"]
        patch = {
            "metadata": {"labels": {"test-deployment": "patched"}},
            "spec": {
                "replicas": 1,
                "template": {
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "containers": [{"name": "main", "image": "other"}],
                    }
                },
            },
        }
        of.patch("test-deployment", patch, "strategic")
        events.until(
            "MODIFIED",
            lambda obj: (
                obj["metadata"]["labels"].get("test-deployment") == "patched"
                and obj["spec"]["template"]["spec"]["containers"][0]["image"] == "other"
            ),
        )
        events.until("MODIFIED", lambda obj: obj["status"].get("readyReplicas") == 1)
        sent = workload("test-deployment", 2, label)
        sent["metadata"]["labels"] = {**label, "test-deployment": "updated"}
        sent["spec"]["template"]["spec"]["containers"][0]["image"] = "httpd"
        plain = dynamic.of("apps/v1", "deployments", "Deployment", namespace)
        plain.update(sent)  # without a version
        shown = plain.get("test-deployment", "status")
        assert shown["spec"]["template"]["spec"]["containers"][0]["image"] == "httpd"
        assert shown["metadata"]["labels"]["test-deployment"] == "updated"
        events.until(
            "MODIFIED",
            lambda obj: (
                obj["status"].get("observedGeneration") == obj["metadata"]["generation"]
                and obj["status"].get("updatedReplicas") == obj["status"].get("readyReplicas") == 2
            ),
        )
        assert of.get("test-deployment", "status")["status"]["replicas"] >= 2
        status = {
            "metadata": {"labels": {"test-deployment": "patched-status"}},
            "status": {"readyReplicas": 0, "availableReplicas": 0},
        }
        patched = of.patch("test-deployment", status, "strategic", "status")
        assert patched["status"].get("readyReplicas", 0) == 0
        assert patched["metadata"]["labels"]["test-deployment"] == "updated"  # by the status nothing else
        events.until("MODIFIED", lambda obj: obj["status"].get("readyReplicas") == 2)
        of.delete_collection(**selector)
        events.until("DELETED")


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ({"type": "Recreate"}, "RecreateDeployment should delete old pods and create new ones"),
        ({"type": "RollingUpdate"}, "RollingUpdateDeployment should delete old pods and create new ones"),
    ],
    ids=["recreate", "rolling"],
)
def test_adopts_and_replaces(client: Client, namespace: str, strategy: Object, words: str) -> None:
    """[sig-apps] Deployment {words}"""
    deployments, sets = of_apps(client, namespace)
    label = {"name": "sample-pod"}
    adopted = workload("old", 1, label)
    adopted["metadata"]["annotations"] = {REVISION: "3546343826724305832"}
    sets.create(adopted)
    (old,) = running(client, namespace, "name=sample-pod", 1)
    made = workload("test", 1, label, strategy=strategy)
    made["spec"]["template"]["spec"]["containers"][0]["image"] = "new"
    deployments.create(made)
    complete(deployments, "test")
    (pod,) = running(client, namespace, "name=sample-pod", 1)
    assert pod["metadata"]["uid"] != old["metadata"]["uid"]
    assert pod["spec"]["containers"][0]["image"] == "new"
    owned = sets.get("old")["metadata"]["ownerReferences"]
    assert [each["name"] for each in owned] == ["test"]
    assert deployments.get("test")["metadata"]["annotations"][REVISION] == "3546343826724305833"


def test_deletes_old_replica_sets(client: Client, namespace: str) -> None:
    """[sig-apps] Deployment deployment should delete old replica sets"""
    deployments, sets = of_apps(client, namespace)
    label = {"name": "cleanup-pod"}
    sets.create(workload("test-cleanup-controller", 1, label))
    running(client, namespace, "name=cleanup-pod", 1)
    made = workload("test-cleanup", 1, label, revisionHistoryLimit=0)
    made["spec"]["template"]["spec"]["containers"][0]["image"] = "new"
    deployments.create(made)
    complete(deployments, "test-cleanup")
    until("no old set", lambda: len(sets.list(labelSelector="name=cleanup-pod")) == 1)


def test_rollover(client: Client, namespace: str) -> None:
    """[sig-apps] Deployment deployment should support rollover"""
    deployments, sets = of_apps(client, namespace)
    label = {"name": "rollover-pod"}
    sets.create(workload("test-rollover-controller", 1, label))
    running(client, namespace, "name=rollover-pod", 1)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    made = workload("test-rollover", 1, label, strategy=strategy, minReadySeconds=3)
    made["spec"]["template"]["spec"]["containers"][0]["command"] = ["no-such-command"]
    deployments.create(made)
    settled(deployments, "test-rollover", lambda obj: obj["status"].get("updatedReplicas") == 1)

    def edit(obj: Object) -> None:
        obj["spec"]["template"] = template(label)
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = "agnhost"

    deployments.change("test-rollover", edit)
    complete(deployments, "test-rollover")
    found = sets.list(labelSelector="name=rollover-pod")
    assert sorted(each["spec"]["replicas"] for each in found) == [0, 0, 1]
    newest = max(found, key=lambda each: each["spec"]["replicas"])
    assert newest["spec"]["template"]["spec"]["containers"][0]["image"] == "agnhost"


def test_proportional_scaling(client: Client, namespace: str) -> None:
    """[sig-apps] Deployment deployment should support proportional scaling"""
    deployments, sets = of_apps(client, namespace)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    deployments.create(workload("web", 10, {"name": "web"}, strategy=strategy))
    complete(deployments, "web")
    (first,) = sets.list()

    def edit(obj: Object) -> None:
        obj["spec"]["template"]["spec"]["containers"][0] |= {"command": ["no-such-command"]}

    deployments.change("web", edit)
    settled(deployments, "web", lambda obj: obj["status"].get("updatedReplicas") == 5)

    def shares() -> dict[bool, int]:
        return {
            each["metadata"]["name"] == first["metadata"]["name"]: each["spec"]["replicas"]
            for each in sets.list()
        }

    until("8 old, 5 new", lambda: shares() == {True: 8, False: 5})
    deployments.patch("web", {"spec": {"replicas": 30}}, "merge", "scale")
    until("20 old, 13 new", lambda: shares() == {True: 20, False: 13})


@pytest.mark.parametrize(("plural", "kind"), [("replicasets", "ReplicaSet"), ("replicationcontrollers", "")])
def test_adopts_and_releases(client: Client, namespace: str, plural: str, kind: str) -> None:
    """[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods ·
    ReplicationController should adopt matching pods on creation, should release no longer matching pods
    """
    pods = client.of("v1", "pods", "Pod", namespace)
    label = {"name": "pod-adoption"}
    pods.create({"metadata": {"name": "pod-adoption", "labels": label}, "spec": pod_spec()})
    made = workload("adopter", 1, label)
    if kind:
        of = client.of("apps/v1", plural, kind, namespace)
    else:
        of = client.of("v1", plural, "ReplicationController", namespace)
        made["spec"]["selector"] = label
    uid = of.create(made)["metadata"]["uid"]

    def owner(pod: Object) -> str | None:
        found = [each["uid"] for each in pod["metadata"].get("ownerReferences", ()) if each.get("controller")]
        return found[0] if found else None

    until("the adoption", lambda: owner(pods.get("pod-adoption")) == uid)
    pods.patch("pod-adoption", {"metadata": {"labels": {"name": "not-matching"}}}, "strategic")
    until("the release", lambda: owner(pods.get("pod-adoption")) is None)
    running(client, namespace, "name=pod-adoption", 1)
    until("the one that was released is ready", lambda: is_ready(pods.get("pod-adoption")))


def test_quota_failure(client: Client, namespace: str) -> None:
    """[sig-apps] ReplicationController should surface a failure condition on a common issue like exceeded quota"""
    quotas = client.of("v1", "resourcequotas", "ResourceQuota", namespace)
    quotas.create({"metadata": {"name": "condition-test"}, "spec": {"hard": {"pods": "2"}}})
    settled(quotas, "condition-test", lambda obj: obj["status"].get("hard", {}).get("pods") == "2")
    of = client.of("v1", "replicationcontrollers", "ReplicationController", namespace)
    made = workload("condition-test", 3)
    made["spec"]["selector"] = {"name": "condition-test"}
    of.create(made)
    found = settled(of, "condition-test", lambda obj: condition(obj, "ReplicaFailure"))
    assert condition(found, "ReplicaFailure")["reason"] == "FailedCreate"
    of.change("condition-test", lambda obj: obj["spec"].update(replicas=2))
    settled(of, "condition-test", lambda obj: not condition(obj, "ReplicaFailure"))
    assert len(pods_of(client, namespace, "name=condition-test")) == 2

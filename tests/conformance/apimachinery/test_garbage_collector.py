"""test/e2e/apimachinery/garbage_collector.go"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance import crds
from tests.conformance.client import Client, Resource
from tests.conformance.workload import pod_spec, template, workload
from tests.e2e.conftest import until

Object = dict[str, Any]


def controllers(client: Client, namespace: str) -> Resource:
    return client.of("v1", "replicationcontrollers", "ReplicationController", namespace)


def controller(name: str, replicas: int) -> Object:
    labels = {"gctest": name}
    spec = {"replicas": replicas, "selector": labels, "template": template(labels)}
    return {"metadata": {"name": name}, "spec": spec}


def pods(client: Client, namespace: str) -> Resource:
    return client.of("v1", "pods", "Pod", namespace)


def has_pods(client: Client, namespace: str, count: int) -> None:
    of = controllers(client, namespace)
    until(f"{count} pods", lambda: len(pods(client, namespace).list()) == count)
    until("counted", lambda: of.list()[0]["status"].get("replicas") == count)


def test_pods_of_a_controller(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning"""
    of = controllers(client, namespace)
    uid = of.create(controller("simpletest.rc", 2))["metadata"]["uid"]
    has_pods(client, namespace, 2)
    of.delete("simpletest.rc", propagationPolicy="Background", preconditions={"uid": uid})
    until("no pods", lambda: pods(client, namespace).list() == [])


def test_orphans(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so"""
    of = controllers(client, namespace)
    uid = of.create(controller("simpletest.rc", 6))["metadata"]["uid"]
    has_pods(client, namespace, 6)
    of.delete("simpletest.rc", propagationPolicy="Orphan", preconditions={"uid": uid})
    until("the controller is gone", lambda: not of.exists("simpletest.rc"))
    left = pods(client, namespace).list()
    assert len(left) == 6
    assert all("ownerReferences" not in pod["metadata"] for pod in left)


def test_orphans_by_the_old_option(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Garbage collector should orphan pods created by rc if deleteOptions.OrphanDependents is
    nil: background deletes them; `orphanDependents` is the option of old."""
    of = controllers(client, namespace)
    of.create(controller("simpletest.rc", 2))
    has_pods(client, namespace, 2)
    of.delete("simpletest.rc", orphanDependents=True)
    until("the controller is gone", lambda: not of.exists("simpletest.rc"))
    assert len(pods(client, namespace).list()) == 2


@pytest.mark.parametrize("policy", ["Background", "Orphan"])
def test_replica_set_of_a_deployment(client: Client, namespace: str, policy: str) -> None:
    """[sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning; should
    orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan"""
    deployments = client.of("apps/v1", "deployments", "Deployment", namespace)
    sets = client.of("apps/v1", "replicasets", "ReplicaSet", namespace)
    deployments.create(workload("simpletest.deployment", 2))
    until("a replica set", lambda: len(sets.list()) == 1)
    deployments.delete("simpletest.deployment", propagationPolicy=policy)
    until("the deployment is gone", lambda: not deployments.exists("simpletest.deployment"))
    if policy == "Background":
        until("all is gone", lambda: sets.list() == [] and pods(client, namespace).list() == [])
        return
    [left] = sets.list()
    assert "ownerReferences" not in left["metadata"]


def test_foreground(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the
    deleteOptions says so"""
    of = controllers(client, namespace)
    uid = of.create(controller("simpletest.rc", 6))["metadata"]["uid"]
    has_pods(client, namespace, 6)
    of.delete("simpletest.rc", propagationPolicy="Foreground", preconditions={"uid": uid})

    def gone() -> bool:
        if of.exists("simpletest.rc"):
            return False
        assert pods(client, namespace).list() == []
        return True

    until("the controller is gone, after its pods", gone)


def test_two_owners(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner
    that's waiting for dependents to be deleted"""
    of = controllers(client, namespace)
    first = of.create(controller("simpletest-rc-to-be-deleted", 4))
    until("4 pods", lambda: len(pods(client, namespace).list()) == 4)
    second = of.create(controller("simpletest-rc-to-stay", 0))
    owner = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "name": second["metadata"]["name"],
        "uid": second["metadata"]["uid"],
    }
    shared = [pod["metadata"]["name"] for pod in pods(client, namespace).list()[:2]]
    for name in shared:
        pods(client, namespace).patch(name, {"metadata": {"ownerReferences": [owner]}}, "strategic")
        assert len(pods(client, namespace).get(name)["metadata"]["ownerReferences"]) == 2
    of.delete(
        first["metadata"]["name"],
        propagationPolicy="Foreground",
        preconditions={"uid": first["metadata"]["uid"]},
    )
    until("the first is gone", lambda: not of.exists(first["metadata"]["name"]))
    left = pods(client, namespace).list()
    assert sorted(pod["metadata"]["name"] for pod in left) == sorted(shared)
    assert all("deletionTimestamp" not in pod["metadata"] for pod in left)
    assert [[each["uid"] for each in pod["metadata"]["ownerReferences"]] for pod in left] == [
        [owner["uid"]]
    ] * 2


def test_circle(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Garbage collector should not be blocked by dependency circle"""
    of = pods(client, namespace)
    made = [of.create({"metadata": {"name": f"pod{n}"}, "spec": pod_spec()}) for n in (1, 2, 3)]
    for index, pod in enumerate(made):
        owner = made[index - 1]["metadata"]
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": owner["name"],
            "uid": owner["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        of.patch(pod["metadata"]["name"], {"metadata": {"ownerReferences": [reference]}}, "strategic")
    of.delete("pod1", propagationPolicy="Foreground", preconditions={"uid": made[0]["metadata"]["uid"]})
    until("all are gone", lambda: of.list() == [])


@pytest.mark.parametrize("policy", ["Background", "Orphan"])
def test_custom_resources(client: Client, dynamic: Client, policy: str) -> None:
    """[sig-api-machinery] Garbage collector should support cascading (orphan) deletion of custom resources"""
    with crds.defined(client, crds.definition()) as made:
        of = crds.instances(dynamic, made)
        owner = of.create({"metadata": {"name": "owner"}})
        reference = {
            "apiVersion": of.group_version,
            "kind": of.kind,
            "name": "owner",
            "uid": owner["metadata"]["uid"],
        }
        of.create({"metadata": {"name": "dependent", "ownerReferences": [reference]}})
        canary = {**reference, "name": "gone", "uid": "8d8c1e42-0f3a-4b54-9a57-0123456789ab"}
        of.create({"metadata": {"name": "canary", "ownerReferences": [canary]}})
        until("the collector knows the kind", lambda: not of.exists("canary"))
        of.delete("owner", propagationPolicy=policy)
        until("the owner is gone", lambda: not of.exists("owner"))
        if policy == "Background":
            until("the dependent is gone", lambda: not of.exists("dependent"))
        else:
            assert "ownerReferences" not in of.get("dependent")["metadata"]

"""test/e2e/apps: the tests that read, update and patch /status and /scale of every kind of workload, and that list
and delete collections of them
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance import operations
from tests.conformance.client import Client, Resource
from tests.conformance.workload import condition, running, settled, template, workload
from tests.e2e.conftest import until

Object = dict[str, Any]
KINDS = {
    "deployments": ("apps/v1", "Deployment"),
    "replicasets": ("apps/v1", "ReplicaSet"),
    "statefulsets": ("apps/v1", "StatefulSet"),
    "daemonsets": ("apps/v1", "DaemonSet"),
    "replicationcontrollers": ("v1", "ReplicationController"),
}


def make(plural: str, name: str, labels: Object) -> Object:
    made = workload(name, 1, labels)
    if plural == "daemonsets":
        made["spec"].pop("replicas")
    if plural == "statefulsets":
        made["spec"]["serviceName"] = "test"
    if plural == "replicationcontrollers":
        made["spec"]["selector"] = labels
    return made


def of_kind(client: Client, plural: str, namespace: str) -> Resource:
    version, kind = KINDS[plural]
    return client.of(version, plural, kind, namespace)


def is_up(obj: Object) -> bool:
    status = obj.get("status", {})
    return bool(status.get("readyReplicas") or status.get("numberReady"))


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "statefulsets", "daemonsets"])
def test_status(client: Client, dynamic: Client, namespace: str, plural: str) -> None:
    """[sig-apps] Deployment should validate Deployment Status endpoints · ReplicaSet should validate Replicaset
    Status endpoints · StatefulSet should validate Statefulset Status endpoints · Daemon set should verify changes
    to a daemon set status
    """
    of = of_kind(client, plural, namespace)
    version = of.everywhere().listed(labelSelector="e2e=testing")["metadata"]["resourceVersion"]
    of.create(make(plural, "watched", {"e2e": "testing"}))
    settled(of, "watched", is_up)
    shown = of_kind(dynamic, plural, namespace).get("watched", "status")
    assert (shown["apiVersion"], shown["kind"]) == KINDS[plural]
    update = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    updated = of.change(
        "watched", lambda obj: obj["status"].setdefault("conditions", []).append(update), "status"
    )
    assert condition(updated, "StatusUpdate")["reason"] == "E2E"
    with of.watch(resourceVersion=version, labelSelector="e2e=testing") as events:
        events.until(
            "MODIFIED", lambda obj: condition(obj, "StatusUpdate").get("message") == update["message"]
        )
    patch = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
    patched = of.patch("watched", patch, "merge", "status")
    assert [each["type"] for each in patched["status"]["conditions"]] == ["StatusPatched"]
    with of.watch(resourceVersion=version, labelSelector="e2e=testing") as events:
        events.until("MODIFIED", lambda obj: condition(obj, "StatusPatched"))


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "statefulsets", "replicationcontrollers"])
def test_scale(client: Client, namespace: str, plural: str) -> None:
    """[sig-apps] Deployment, ReplicaSet, StatefulSet should have a working scale subresource ·
    ReplicationController should get and update a ReplicationController scale
    """
    of = of_kind(client, plural, namespace)
    of.create(make(plural, "scaled", {"name": "scaled"}))
    settled(of, "scaled", is_up)
    scale = of.get("scaled", "scale")
    assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
    scale["metadata"].pop("resourceVersion")
    scale["spec"]["replicas"] = 2
    assert of.update(scale, "scale")["spec"]["replicas"] == 2
    assert of.get("scaled")["spec"]["replicas"] == 2
    patch = {"metadata": {"creationTimestamp": None}, "spec": {"replicas": 4}, "status": {"replicas": 0}}
    of.patch("scaled", patch, "strategic", "scale")
    assert of.get("scaled")["spec"]["replicas"] == 4
    running(client, namespace, "name=scaled", 4)


@pytest.mark.parametrize("plural", ["replicasets", "daemonsets", "statefulsets"])
def test_collection(client: Client, namespace: str, plural: str) -> None:
    """[sig-apps] ReplicaSet, Daemon set, StatefulSet should list (, patch) and delete a collection of …"""
    of = of_kind(client, plural, namespace)
    label = {"collection": namespace}
    of.create(make(plural, "listed", label))
    settled(of, "listed", is_up)
    selector = {"labelSelector": f"collection={namespace}"}
    assert len(of.everywhere().list(**selector)) == 1
    patch: Object = {"metadata": {"labels": {"test": "patched"}}}
    if plural == "statefulsets":  # of its names one is unknown, which is no more than warned about
        pod = {"TerminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": "other"}]}
        patch["spec"] = {"replicas": 2, "template": {"spec": pod}}
    patched = of.patch("listed", patch, "strategic")
    assert patched["metadata"]["labels"]["test"] == "patched"
    if plural == "statefulsets":
        assert patched["spec"]["template"]["spec"]["containers"][0]["image"] == "other"
        running(client, namespace, f"collection={namespace}", 2)
    of.delete_collection(**selector)
    until("none is left", lambda: of.everywhere().list(**selector) == [])


def test_replica_set_replaced_and_patched(client: Client, namespace: str) -> None:
    """[sig-apps] ReplicaSet Replace and Patch tests"""
    of = of_kind(client, "replicasets", namespace)
    label = {"name": "patched"}
    version = of.listed()["metadata"]["resourceVersion"]
    of.create(make("replicasets", "patched", label))
    running(client, namespace, "name=patched", 1)
    of.change("patched", lambda obj: obj["spec"].update(replicas=2))
    running(client, namespace, "name=patched", 2)
    with of.watch(resourceVersion=version, labelSelector="name=patched") as events:
        events.until("MODIFIED", lambda obj: obj["status"].get("readyReplicas") == 2)
    container = {"name": "main", "image": "other"}
    patch = {
        "metadata": {"labels": {"test-rs": "patched"}},
        "spec": {
            "replicas": 3,
            "template": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}},
        },
    }
    of.patch("patched", patch, "strategic")
    with of.watch(resourceVersion=version, labelSelector="test-rs=patched") as events:
        seen = events.until("MODIFIED", lambda obj: obj["status"].get("readyReplicas") == 3)
    (found,) = seen["spec"]["template"]["spec"]["containers"]
    assert found["image"] == "other"


def test_replication_controller_lifecycle(client: Client, namespace: str) -> None:
    """[sig-apps] ReplicationController should test the lifecycle of a ReplicationController"""
    of = of_kind(client, "replicationcontrollers", namespace)
    label = {"test-rc-static": "true"}
    selector = {"labelSelector": "test-rc-static=true"}
    spec = {"replicas": 1, "selector": label, "template": template(label)}
    with of.watch(resourceVersion="0", **selector) as events:
        of.create({"metadata": {"name": "rc-test", "labels": label}, "spec": spec})
        events.until("ADDED")
        events.until("MODIFIED", lambda obj: obj["status"].get("readyReplicas") == 1)
        of.patch("rc-test", {"metadata": {"labels": {"test-rc": "patched"}}}, "strategic")
        events.until("MODIFIED", lambda obj: obj["metadata"]["labels"].get("test-rc") == "patched")
        patched = of.patch(
            "rc-test", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, "merge", "status"
        )
        assert patched["status"].get("readyReplicas", 0) == 0
        events.until("MODIFIED", lambda obj: obj["status"].get("readyReplicas", 0) == 0)
        assert of.get("rc-test", "status")["status"]["replicas"] == 1
        of.patch("rc-test", {"spec": {"replicas": 2}}, "merge", "scale")
        events.until("MODIFIED", lambda obj: obj["spec"]["replicas"] == 2)
        events.until("MODIFIED", lambda obj: obj["status"].get("readyReplicas") == 2)
        assert [each["metadata"]["name"] for each in of.everywhere().list(**selector)] == ["rc-test"]
        assert of.get("rc-test")["metadata"]["labels"]["test-rc"] == "patched"
        of.change("rc-test", lambda obj: obj["spec"].update(replicas=1))
        events.until("MODIFIED", lambda obj: obj["spec"]["replicas"] == 1)
        of.delete_collection(**selector)
        events.until("DELETED")


def test_controller_revision_lifecycle(client: Client, namespace: str) -> None:
    """[sig-apps] ControllerRevision [Serial] should manage the lifecycle of a ControllerRevision"""
    daemon_sets = of_kind(client, "daemonsets", namespace)
    revisions = client.of("apps/v1", "controllerrevisions", "ControllerRevision", namespace)
    label = {"daemonset-name": "e2e"}
    selector = {"labelSelector": "daemonset-name=e2e"}
    made = daemon_sets.create(make("daemonsets", "e2e", label))
    assert [each["metadata"]["name"] for each in daemon_sets.list(**selector)] == ["e2e"]
    settled(daemon_sets, "e2e", is_up)
    (first,) = until("the first", lambda: revisions.list(**selector))
    name = first["metadata"]["name"]
    patched = revisions.patch(name, {"metadata": {"labels": {name: "patched"}}}, "strategic")
    assert patched["metadata"]["labels"][name] == "patched"
    second = {
        "metadata": {
            "name": "e2e-6f5c7d9b8",
            "labels": {**label, "controller-revision-hash": "6f5c7d9b8"},
            "annotations": made["metadata"].get("annotations") or {},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet",
                    "name": "e2e",
                    "uid": made["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "data": first["data"],
        "revision": 2,
    }
    revisions.create(second)
    until("two", lambda: len(revisions.list(**selector)) == 2)
    revisions.delete(name)
    until("one", lambda: len(revisions.list(**selector)) == 1)
    (left,) = revisions.list(**selector)
    name = left["metadata"]["name"]
    updated = revisions.change(name, lambda obj: obj["metadata"]["labels"].update({name: "updated"}))
    assert updated["metadata"]["labels"][name] == "updated"
    container = {"name": "main", "image": "registry.k8s.io/pause:3.10"}
    patch = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}}}
    daemon_sets.patch("e2e", patch, "strategic")
    until("two again", lambda: len(revisions.list(**selector)) == 2)
    revisions.delete_collection(labelSelector=f"{name}=updated")
    until("one again", lambda: len(revisions.list(**selector)) == 1)
    (last,) = revisions.list(**selector)
    assert last["revision"] == 3


def test_cron_job_api_operations(client: Client, namespace: str) -> None:
    """[sig-apps] CronJob should support CronJob API operations"""
    operations.discoverable(client, "batch", "v1", "cronjobs", "cronjobs/status")
    jobs = client.of("batch/v1", "cronjobs", "CronJob", namespace)
    pod = template({}, restartPolicy="OnFailure")
    spec = {
        "schedule": "* */1 * * ?",
        "concurrencyPolicy": "Allow",
        "jobTemplate": {"spec": {"parallelism": 1, "completions": 1, "template": pod}},
    }

    def status(resource: Resource, obj: Object) -> None:
        name = obj["metadata"]["name"]
        first, second = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"
        patch = {
            "metadata": {"annotations": {"patchedstatus": "true"}},
            "status": {"lastScheduleTime": first},
        }
        patched = resource.patch(name, patch, "merge", "status")
        assert patched["status"]["lastScheduleTime"] == first
        assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
        updated = resource.change(name, lambda it: it["status"].update(lastScheduleTime=second), "status")
        assert updated["status"]["lastScheduleTime"] == second
        assert resource.get(name, "status")["metadata"]["uid"] == obj["metadata"]["uid"]

    operations.walk(jobs, {"spec": spec}, before_deleting=status)

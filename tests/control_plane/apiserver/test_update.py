"""Replacing objects, as any client sees it over HTTP."""

from __future__ import annotations

from typing import Any

from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.apiserver.simple_objects import config_map, path_of, pod

Object = dict[str, Any]


def test_an_update_needs_the_current_resource_version(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace), config_map("a", x="1"))
    updated = api.request("PUT", path_of(namespace, name="a"), {**made, "data": {"x": "2"}})
    assert updated.status == 200
    assert updated.body["data"] == {"x": "2"}
    assert updated.body["metadata"]["uid"] == made["metadata"]["uid"]
    stale = api.request("PUT", path_of(namespace, name="a"), {**made, "data": {"x": "3"}})
    assert stale.status == 409
    assert stale.body["reason"] == "Conflict"
    assert stale.body["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_an_update_without_a_version_is_unconditional(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace), config_map("a", x="1"))
    assert api.request("PUT", path_of(namespace, name="a"), config_map("a", x="9")).body["data"] == {"x": "9"}


def test_an_update_that_changes_nothing_writes_nothing(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace), config_map("a", x="1"))
    again = api.request("PUT", path_of(namespace, name="a"), made)
    assert again.body == made


def test_the_name_of_an_update_must_be_the_urls(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace), config_map("a"))
    made["metadata"]["name"] = "b"
    answer = api.request("PUT", path_of(namespace, name="a"), made)
    assert answer.status == 400
    assert answer.body["message"] == ("the name of the object (b) does not match the name on the URL (a)")


def test_an_update_of_nothing_is_not_found_or_creates(api: Harness, namespace: str) -> None:
    assert api.request("PUT", path_of(namespace, name="no"), config_map("no")).status == 404
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/l"
    assert api.request("PUT", path, lease).status == 201


def test_status_and_spec_are_apart(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace, "pods"), {**pod("p"), "status": {"phase": "Running"}})
    assert made["status"]["phase"] == "Pending"
    path = path_of(namespace, "pods", "p")
    made["status"] = {"phase": "Running", "podIP": "10.0.0.1"}
    made["metadata"]["labels"] = {"a": "b"}
    assert api.request("PUT", path, made).body["status"]["phase"] == "Pending"
    current = api.get(path)
    current["status"]["phase"] = "Running"
    current["spec"]["containers"][0]["image"] = "other"
    after = api.request("PUT", path + "/status", current)
    assert after.status == 200
    assert after.body["status"]["phase"] == "Running"
    assert after.body["spec"]["containers"][0]["image"] == "busybox"


def test_generation_counts_changes_of_the_wish(api: Harness, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("p")["spec"]}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    made = api.create(path, {"metadata": {"name": "d"}, "spec": spec})
    assert made["metadata"]["generation"] == 1
    merge = {"Content-Type": "application/merge-patch+json"}
    scaled = api.request("PATCH", path + "/d", {"spec": {"replicas": 3}}, merge).body
    assert scaled["metadata"]["generation"] == 2
    labelled = api.request("PATCH", path + "/d", {"metadata": {"labels": {"x": "y"}}}, merge).body
    assert labelled["metadata"]["generation"] == 2
    status = api.request("PATCH", path + "/d/status", {"status": {"replicas": 1}}, merge).body
    assert (status["metadata"]["generation"], status["status"]["replicas"]) == (2, 1)

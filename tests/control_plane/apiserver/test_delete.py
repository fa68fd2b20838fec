"""Deleting objects, as any client sees it over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.apiserver.simple_objects import config_map, path_of, pod

Object = dict[str, Any]


def test_a_deletion_answers_with_a_status(api: Harness, namespace: str) -> None:
    made = api.create(path_of(namespace), config_map("a"))
    answer = api.request("DELETE", path_of(namespace, name="a"))
    assert answer.status == 200
    assert answer.body["status"] == "Success"
    details = {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert answer.body["details"] == details
    assert api.request("GET", path_of(namespace, name="a")).status == 404
    assert api.request("DELETE", path_of(namespace, name="a")).status == 404


@pytest.mark.parametrize(
    "options",
    [
        {"preconditions": 1},
        {"preconditions": []},
        {"gracePeriodSeconds": "1"},
        {"dryRun": {}},
        {"orphanDependents": 2},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("all_of_them", [False, True], ids=["one", "collection"])
def test_options_of_a_deletion_have_their_types(
    api: Harness, namespace: str, options: dict[str, Any], all_of_them: bool
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.request("POST", path, {"metadata": {"name": "kept"}})
    answer = api.request("DELETE", path if all_of_them else f"{path}/kept", options)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert api.request("GET", f"{path}/kept").status == 200


@pytest.mark.parametrize("precondition", ["uid", "resourceVersion"])
def test_preconditions_of_a_deletion(api: Harness, namespace: str, precondition: str) -> None:
    made = api.create(path_of(namespace), config_map("a"))
    options = {"preconditions": {precondition: "7"}}
    answer = api.request("DELETE", path_of(namespace, name="a"), options)
    assert answer.status == 409
    assert "Precondition failed" in answer.body["message"]
    options = {"preconditions": {precondition: made["metadata"][precondition]}}
    assert api.request("DELETE", path_of(namespace, name="a"), options).status == 200


def test_finalizers_hold_an_object(api: Harness, namespace: str) -> None:
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    api.create(path_of(namespace), held)
    path = path_of(namespace, name="held")
    marked = api.request("DELETE", path).body
    assert marked["metadata"]["deletionTimestamp"]
    assert api.get(path)["metadata"]["deletionGracePeriodSeconds"] == 0
    again = api.request("POST", path_of(namespace), config_map("held"))
    assert again.body["message"] == 'object is being deleted: configmaps "held" already exists'
    headers = {"Content-Type": "application/merge-patch+json"}
    assert api.request("PATCH", path, {"metadata": {"finalizers": None}}, headers).status == 200
    assert api.request("GET", path).status == 404


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")], ids=str
)
def test_propagation_leaves_its_finalizer(api: Harness, namespace: str, policy: str, finalizer: str) -> None:
    api.create(path_of(namespace), config_map("a"))
    answer = api.request("DELETE", path_of(namespace, name="a"), {"propagationPolicy": policy})
    assert answer.body["metadata"]["finalizers"] == [finalizer]


def test_a_pod_on_a_node_is_deleted_gracefully(api: Harness, namespace: str) -> None:
    path = path_of(namespace, "pods", "p")
    api.create(path_of(namespace, "pods"), pod("p", nodeName="n1", terminationGracePeriodSeconds=20))
    marked = api.request("DELETE", path).body
    assert marked["kind"] == "Pod"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 20
    longer = api.request("DELETE", path, {"gracePeriodSeconds": 60}).body
    assert longer["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    shorter = api.request("DELETE", path + "?gracePeriodSeconds=5").body
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert api.request("DELETE", path, {"gracePeriodSeconds": 0}).status == 200
    assert api.request("GET", path).status == 404


def test_a_pod_without_a_node_goes_at_once(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace, "pods"), pod("p"))
    answer = api.request("DELETE", path_of(namespace, "pods", "p"))
    assert answer.body["kind"] == "Pod"
    assert api.request("GET", path_of(namespace, "pods", "p")).status == 404


def test_dry_run_of_a_deletion(api: Harness, namespace: str) -> None:
    api.create(path_of(namespace), config_map("a"))
    assert api.request("DELETE", path_of(namespace, name="a") + "?dryRun=All").status == 200
    api.get(path_of(namespace, name="a"))


def test_delete_collection_takes_selectors(api: Harness, namespace: str) -> None:
    for index in range(6):
        obj = config_map(f"c{index}")
        obj["metadata"]["labels"] = {"odd": str(index % 2)}
        api.create(path_of(namespace), obj)
    answer = api.request("DELETE", path_of(namespace) + "?labelSelector=odd%3D1")
    assert answer.status == 200
    assert len(answer.body["items"]) == 3
    left = api.get(path_of(namespace))["items"]
    assert [each["metadata"]["name"] for each in left] == ["c0", "c2", "c4"]


def test_a_namespace_ends_when_it_is_finalized(api: Harness) -> None:
    api.create("/api/v1/namespaces", {"metadata": {"name": "ending"}})
    path = "/api/v1/namespaces/ending"
    marked = api.request("DELETE", path).body
    assert marked["status"]["phase"] == "Terminating"
    assert marked["spec"]["finalizers"] == ["kubernetes"]
    again = api.request("DELETE", path)
    assert again.status in (200, 409)
    marked = api.get(path)
    marked["spec"]["finalizers"] = []
    assert api.request("PUT", path + "/finalize", marked).status == 200
    assert api.request("GET", path).status == 404

"""The walk through all verbs that upstream's "should support X API operations" tests have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.client import ApiError, Client, Resource

Object = dict[str, Any]
LABEL = {"special-label": "e2e"}
SELECTOR = "special-label=e2e"


def discoverable(client: Client, group: str, version: str, *resources: str) -> None:
    groups = client.get("/apis")["groups"]
    found = next((each for each in groups if each["name"] == group), None)
    assert found is not None, f"no group {group}"
    assert f"{group}/{version}" in [each["groupVersion"] for each in found["versions"]]
    one = client.get(f"/apis/{group}")
    assert f"{group}/{version}" in [each["groupVersion"] for each in one["versions"]]
    served = {each["name"] for each in client.get(f"/apis/{group}/{version}")["resources"]}
    assert set(resources) <= served


def walk(
    resource: Resource,
    template: Object,
    *,
    edit: Callable[[Object], Any] = lambda obj: annotate(obj, "updated"),
    before_deleting: Callable[[Resource, Object], None] | None = None,
    graceful: bool = False,
) -> None:
    """create ×3, get, list, list everywhere, watch, patch, update, status, delete, deletecollection."""
    labelled = _labelled(template)
    resource.create(labelled)
    resource.create(labelled)
    created = resource.create(labelled)
    name = created["metadata"]["name"]
    assert created["metadata"]["uid"]
    assert created["metadata"]["resourceVersion"]

    assert resource.get(name)["metadata"]["uid"] == created["metadata"]["uid"]
    listed = resource.list(labelSelector=SELECTOR)
    assert len(listed) == 3
    everywhere = resource.everywhere()
    assert len(everywhere.list(labelSelector=SELECTOR)) == 3

    version = resource.listed(labelSelector=SELECTOR)["metadata"]["resourceVersion"]
    with (
        resource.watch(resourceVersion=version, labelSelector=SELECTOR) as events,
        everywhere.watch(resourceVersion=version, labelSelector=SELECTOR) as all_events,
    ):
        patched = resource.patch(name, {"metadata": {"annotations": {"patched": "true"}}})
        assert patched["metadata"]["annotations"]["patched"] == "true"
        assert int(patched["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])

        def change(obj: Object) -> None:
            annotate(obj, "updated")
            edit(obj)

        updated = resource.change(name, change)
        assert updated["metadata"]["annotations"]["updated"] == "true"
        for stream in (events, all_events):
            for key in ("patched", "updated"):
                stream.until("MODIFIED", lambda obj, key=key: annotation(obj, key) == "true")
    if before_deleting:
        before_deleting(resource, updated)

    resource.delete(name)
    if graceful:
        return
    assert_gone(resource, name)
    assert len(resource.list(labelSelector=SELECTOR)) == 2
    resource.delete_collection(labelSelector=SELECTOR)
    assert resource.list(labelSelector=SELECTOR) == []


def assert_gone(resource: Resource, name: str) -> None:
    with pytest.raises(ApiError) as refused:
        resource.get(name)
    assert (refused.value.code, refused.value.reason) == (404, "NotFound")


def annotation(obj: Object, key: str) -> str:
    """A controller may have written before, without any."""
    return str((obj["metadata"].get("annotations") or {}).get(key, ""))


def annotate(obj: Object, key: str) -> None:
    obj["metadata"].setdefault("annotations", {})[key] = "true"


def _labelled(template: Object) -> Object:
    made = copy.deepcopy(template)
    metadata = made.setdefault("metadata", {})
    metadata.setdefault("generateName", "e2e-example-")
    metadata["labels"] = {**metadata.get("labels", {}), **LABEL}
    return made

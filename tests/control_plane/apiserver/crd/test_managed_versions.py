"""managedFields of custom resources in several versions, by name only and by a webhook."""

from __future__ import annotations

import json
from typing import Any

from tests.control_plane.apiserver.crd.conftest import Custom
from tests.control_plane.apiserver.crd.converter import Converter, obj, paths
from tests.control_plane.apiserver.crd.samples import definition, version
from tests.control_plane.apiserver.harness import Answer, Harness

APPLY = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}

Object = dict[str, Any]


def owned(found: Object) -> list[tuple[str, str, list[str]]]:
    """Manager, version and fields of the spec, where there are any."""
    entries = found["metadata"].get("managedFields", ())
    fields = ((each, sorted(set(each["fieldsV1"].get("f:spec", {})) - {"."})) for each in entries)
    return sorted(
        (each["manager"], each["apiVersion"].partition("/")[2], names) for each, names in fields if names
    )


def apply(api: Harness, path: str, manager: str, config: Object) -> Answer:
    return api.request("PATCH", f"{path}/a?fieldManager={manager}", json.dumps(config), APPLY)


def merge(api: Harness, path: str, manager: str, spec: Object) -> Answer:
    return api.request("PATCH", f"{path}/a?fieldManager={manager}", json.dumps({"spec": spec}), MERGE)


def test_versions_that_differ_in_name(api: Harness, custom: Custom, namespace: str) -> None:
    crd = definition(version("v1"), version("v2", storage=False))
    custom.establish(crd)
    v1, v2 = paths(crd, namespace)
    api.create(f"{v1}?fieldManager=ann", obj(crd, "v1", {"cronSpec": "1 1", "image": "i"}))
    found = merge(api, v2, "bob", {"cronSpec": "2 2"}).body
    assert owned(found) == [("ann", "v1", ["f:image"]), ("bob", "v2", ["f:cronSpec"])]
    refused = apply(api, v2, "carl", obj(crd, "v2", {"image": "j"}))
    assert refused.status == 409
    assert 'conflict with "ann" using ' in refused.body["message"]
    assert apply(api, v1, "carl", obj(crd, "v1", {"image": "i"})).status == 200
    found = apply(api, v2, "carl", obj(crd, "v2", {"cronSpec": "2 2"})).body
    assert [each for each in owned(found) if each[0] == "carl"] == [("carl", "v2", ["f:cronSpec"])]
    assert found["spec"] == {"cronSpec": "2 2", "image": "i"}


def test_versions_that_a_webhook_converts(
    api: Harness, converted: Object, hook: Converter, namespace: str
) -> None:
    v1, v2 = paths(converted, namespace)
    api.create(f"{v1}?fieldManager=ann", obj(converted, "v1", {"hostPort": "x:1"}))
    refused = apply(api, v2, "bob", obj(converted, "v2", {"port": "2"}))
    assert refused.status == 409
    assert refused.body["message"].endswith(": .spec.hostPort")
    agreed = apply(api, v2, "bob", obj(converted, "v2", {"port": "1"})).body
    assert owned(agreed) == [("ann", "v1", ["f:hostPort"]), ("bob", "v2", ["f:port"])]
    found = merge(api, v2, "carl", {"host": "y"}).body
    assert owned(found) == [("bob", "v2", ["f:port"]), ("carl", "v2", ["f:host"])]


def test_a_webhook_that_fails_loses_the_bookkeeping_of_an_update_and_refuses_an_apply(
    api: Harness, converted: Object, hook: Converter, namespace: str
) -> None:
    v1, v2 = paths(converted, namespace)
    api.create(f"{v1}?fieldManager=ann", obj(converted, "v1", {"hostPort": "x:1"}))
    merge(api, v2, "bob", {"port": "2"})  # from now on a write through v1 has to be seen in v2
    before = hook.answer

    def only_to_v1(request: Object) -> Object:
        if request["desiredAPIVersion"].endswith("/v1"):
            return before(request)
        return {"uid": request["uid"], "result": {"status": "Failed", "message": "no way"}}

    hook.answer = only_to_v1
    refused = apply(api, v1, "carl", obj(converted, "v1", {"hostPort": "z:3"}))
    assert refused.status == 500
    assert "no way" in refused.body["message"]
    written = merge(api, v1, "carl", {"hostPort": "z:3"})
    assert written.status == 200
    assert "managedFields" not in written.body["metadata"]


def test_a_version_that_is_gone(api: Harness, custom: Custom, namespace: str) -> None:
    crd = definition(version("v1", storage=False), version("v2"))
    custom.establish(crd)
    v1, v2 = paths(crd, namespace)
    api.create(f"{v1}?fieldManager=ann", obj(crd, "v1", {"cronSpec": "1 1", "image": "i"}))

    def drop(found: Object) -> None:
        found["spec"]["versions"] = [each for each in found["spec"]["versions"] if each["name"] == "v2"]

    custom.update(crd["metadata"]["name"], drop)
    found = apply(api, v2, "bob", obj(crd, "v2", {"cronSpec": "2 2"}))
    assert found.status == 200
    assert owned(found.body) == [("bob", "v2", ["f:cronSpec"])]

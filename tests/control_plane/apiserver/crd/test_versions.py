"""Several versions of one resource: by name only, and by a webhook with TLS."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.control_plane.apiserver.crd.conftest import DEFINITIONS, Custom
from tests.control_plane.apiserver.crd.converter import Converter, obj, paths
from tests.control_plane.apiserver.crd.samples import definition, version
from tests.control_plane.apiserver.harness import Harness

MERGE = {"Content-Type": "application/merge-patch+json"}
Object = dict[str, Any]


def test_versions_that_differ_in_name(api: Harness, custom: Custom, namespace: str) -> None:
    crd = definition(
        version("v1"), version("v1beta1", storage=False), version("v0", storage=False, served=False)
    )
    custom.establish(crd)
    group = crd["spec"]["group"]
    old, new = (f"/apis/{group}/{each}/namespaces/{namespace}/crontabs" for each in ("v1beta1", "v1"))
    api.create(old, obj(crd, "v1beta1", {"cronSpec": "* *"}))
    assert api.get(f"{old}/a")["apiVersion"] == f"{group}/v1beta1"
    assert api.get(f"{new}/a")["apiVersion"] == f"{group}/v1"
    assert [each["apiVersion"] for each in api.get(old)["items"]] == [f"{group}/v1beta1"]
    assert api.request("GET", f"/apis/{group}/v0/crontabs").status == 404
    found = next(each for each in api.get("/apis")["groups"] if each["name"] == group)
    assert [each["version"] for each in found["versions"]] == ["v1", "v1beta1"]


def test_objects_are_rewritten_in_the_new_storage_version(
    api: Harness, custom: Custom, namespace: str
) -> None:
    crd = definition(version("v1"), version("v2", storage=False))
    custom.establish(crd)
    group, name = crd["spec"]["group"], crd["metadata"]["name"]
    v1, v2 = (f"/apis/{group}/{each}/namespaces/{namespace}/crontabs" for each in ("v1", "v2"))
    before = api.create(v1, obj(crd, "v1", {"cronSpec": "* *"}))

    def swap(found: Object) -> None:
        for each in found["spec"]["versions"]:
            each["storage"] = not each["storage"]

    assert custom.update(name, swap)["status"]["storedVersions"] == ["v1", "v2"]
    assert api.get(f"{v2}/a")["apiVersion"] == f"{group}/v2"
    assert api.get(v1)["items"][0]["apiVersion"] == f"{group}/v1"
    # A write that changes nothing brings the object to the new version.
    written = api.request("PUT", f"{v2}/a", api.get(f"{v2}/a")).body
    assert written["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    again = api.request("PUT", f"{v2}/a", api.get(f"{v2}/a")).body
    assert again["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]

    def drop(found: Object) -> None:
        found["spec"]["versions"] = [each for each in found["spec"]["versions"] if each["name"] == "v2"]

    crd_now = api.get(f"{DEFINITIONS}/{name}")
    drop(crd_now)
    refused = api.request("PUT", f"{DEFINITIONS}/{name}", crd_now)
    assert refused.status == 422
    assert "missing from spec.versions; v1 was previously a storage version" in refused.body["message"]
    status = json.dumps({"status": {"storedVersions": ["v2"]}})
    assert api.request("PATCH", f"{DEFINITIONS}/{name}/status", status, MERGE).status == 200
    assert custom.update(name, drop)["status"]["storedVersions"] == ["v2"]
    assert api.get(f"{v2}/a")["spec"]["cronSpec"] == "* *"


def test_a_webhook_converts_reads_and_writes(
    api: Harness, converted: Object, hook: Converter, namespace: str
) -> None:
    v1, v2 = paths(converted, namespace)
    api.create(v1, obj(converted, "v1", {"hostPort": "x:1"}))
    assert hook.requests == []
    made = api.create(v2, obj(converted, "v2", {"host": "y"}, "b"))
    assert made["spec"] == {"host": "y", "port": "80"}
    assert api.get(f"{v1}/b")["spec"] == {"hostPort": "y:80"}
    hook.requests.clear()
    listed = api.get(v2)["items"]
    assert [each["spec"] for each in listed] == [{"host": "x", "port": "1"}, {"host": "y", "port": "80"}]
    assert [len(each["request"]["objects"]) for each in hook.requests] == [2]  # one call for the whole list
    patched = api.request("PATCH", f"{v2}/a", json.dumps({"spec": {"port": "9"}}), MERGE).body
    assert patched["spec"] == {"host": "x", "port": "9"}
    assert api.get(f"{v1}/a")["spec"] == {"hostPort": "x:9"}
    assert api.request("DELETE", f"{v2}/a").status == 200


def test_a_watch_is_converted(api: Harness, converted: Object, hook: Converter, namespace: str) -> None:
    v1, v2 = paths(converted, namespace)
    api.create(v1, obj(converted, "v1", {"hostPort": "x:1"}))
    connection = api.connection()
    connection.request("GET", f"{v2}?watch=1")
    stream = connection.getresponse()
    api.create(v1, obj(converted, "v1", {"hostPort": "y:2"}, "b"))
    events = [json.loads(stream.readline()) for _ in range(2)]
    assert [each["object"]["spec"] for each in events] == [
        {"host": "x", "port": "1"},
        {"host": "y", "port": "2"},
    ]
    connection.close()


BROKEN: list[tuple[str, Callable[[Object], Object], str]] = [
    (
        "refuses",
        lambda r: {"uid": r["uid"], "result": {"status": "Failed", "message": "no way"}},
        "failed: no way",
    ),
    (
        "another uid",
        lambda r: {"uid": "x", "result": {"status": "Success"}},
        "failed: expected response.uid=",
    ),
    (
        "too few",
        lambda r: {"uid": r["uid"], "convertedObjects": [], "result": {"status": "Success"}},
        "returned 0 objects, expected 1",
    ),
    (
        "unconverted",
        lambda r: {"uid": r["uid"], "convertedObjects": r["objects"], "result": {"status": "Success"}},
        "returned invalid converted object at index 0: invalid groupVersion",
    ),
    (
        "renamed",
        lambda r: {
            "uid": r["uid"],
            "convertedObjects": [
                {**each, "apiVersion": r["desiredAPIVersion"], "metadata": {**each["metadata"], "name": "z"}}
                for each in r["objects"]
            ],
            "result": {"status": "Success"},
        },
        "must have the same name: a != z",
    ),
]


@pytest.mark.parametrize(("what", "answer", "told"), BROKEN, ids=[each[0] for each in BROKEN])
def test_a_webhook_that_fails_is_told_of(
    api: Harness,
    converted: Object,
    hook: Converter,
    namespace: str,
    what: str,
    answer: Callable[[Object], Object],
    told: str,
) -> None:
    v1, v2 = paths(converted, namespace)
    api.create(v1, obj(converted, "v1", {"hostPort": "x:1"}))
    hook.answer = answer
    failed = api.request("GET", f"{v2}/a")
    assert failed.status == 500
    assert failed.body["message"].startswith(
        f"conversion webhook for {converted['spec']['group']}/v1, Kind=CronTab"
    )
    assert told in failed.body["message"]
    assert api.request("GET", f"{v1}/a").status == 200  # what needs no conversion is served

"""Custom resources over HTTP: every verb, status and scale, discovery and OpenAPI, and the end of a definition."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.control_plane.apiserver.crd.conftest import DEFINITIONS, Custom
from tests.control_plane.apiserver.crd.samples import SCHEMA, cron_tab, definition, version
from tests.control_plane.apiserver.harness import Harness

MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


@pytest.fixture
def crd() -> dict[str, Any]:
    return definition()


@pytest.fixture
def crontabs(custom: Custom, crd: dict[str, Any], namespace: str) -> str:
    """The URL of the collection in the test's namespace."""
    return f"{custom.establish(crd)}/namespaces/{namespace}/crontabs"


def test_conditions_and_names(custom: Custom, crd: dict[str, Any]) -> None:
    custom.establish(crd)
    status = custom.api.get(f"{DEFINITIONS}/{crd['metadata']['name']}")["status"]
    assert [
        (each["type"], each["status"], each["reason"], each["message"]) for each in status["conditions"]
    ] == [
        ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
    ]
    assert status["acceptedNames"] == {
        "plural": "crontabs",
        "singular": "crontab",
        "kind": "CronTab",
        "listKind": "CronTabList",
        "shortNames": ["ct"],
        "categories": ["all"],
    }
    assert status["storedVersions"] == ["v1"]


def test_a_name_that_is_taken_waits_until_it_is_free(custom: Custom, crd: dict[str, Any]) -> None:
    custom.establish(crd)
    group = crd["spec"]["group"]
    other = definition(group=group)
    other["metadata"]["name"] = f"tabs.{group}"
    other["spec"]["names"] = {"plural": "tabs", "kind": "CronTab"}
    custom.api.create(DEFINITIONS, other)
    name = other["metadata"]["name"]
    custom.until("refused", lambda: custom.condition(name, "NamesAccepted") == "False")
    found = custom.api.get(f"{DEFINITIONS}/{name}")["status"]["conditions"]
    told = {each["type"]: (each["reason"], each["message"]) for each in found}
    assert told["NamesAccepted"] == ("ListKindConflict", '"CronTabList" is already in use')
    assert told["Established"] == ("NotAccepted", "not all names are accepted")
    assert custom.api.request("GET", f"/apis/{group}/v1/tabs").status == 404
    custom.api.request("DELETE", f"{DEFINITIONS}/{crd['metadata']['name']}")
    custom.until("accepted", lambda: custom.condition(name, "Established") == "True")
    assert custom.api.request("GET", f"/apis/{group}/v1/tabs").status == 200
    custom.api.request("DELETE", f"{DEFINITIONS}/{name}")


def test_create_get_list_update_delete(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    made = api.create(crontabs, cron_tab(crd, replicas=3))
    assert made["spec"] == {"cronSpec": "* *", "replicas": 3, "image": "busybox"}
    assert made["metadata"]["generation"] == 1
    listed = api.get(crontabs)
    assert (listed["kind"], len(listed["items"])) == ("CronTabList", 1)
    made["spec"]["replicas"] = 4
    made["status"] = {"replicas": 9}
    updated = api.request("PUT", f"{crontabs}/a", made).body
    assert updated["metadata"]["generation"] == 2
    assert "status" not in updated
    without = {**cron_tab(crd), "metadata": {"name": "a"}}
    refused = api.request("PUT", f"{crontabs}/a", without)
    assert (refused.status, refused.body["reason"]) == (422, "Invalid")
    assert (
        "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
        in refused.body["message"]
    )
    deleted = api.request("DELETE", f"{crontabs}/a").body
    assert (deleted["status"], deleted["details"]["kind"]) == ("Success", "crontabs")
    gone = api.request("GET", f"{crontabs}/a").body
    assert gone["message"] == f'crontabs.{crd["spec"]["group"]} "a" not found'


def test_patches(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    api.create(crontabs, cron_tab(crd))
    merged = api.request("PATCH", f"{crontabs}/a", json.dumps({"spec": {"replicas": 2}}), MERGE)
    assert merged.body["spec"]["replicas"] == 2
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    patched = api.request("PATCH", f"{crontabs}/a", json.dumps(operations), JSON_PATCH)
    assert patched.body["spec"]["replicas"] == 3
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    refused = api.request("PATCH", f"{crontabs}/a", "{}", strategic)
    assert (refused.status, refused.body["reason"]) == (415, "UnsupportedMediaType")


def test_status_is_apart(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    made = api.create(crontabs, {**cron_tab(crd), "status": {"replicas": 7}})
    assert "status" not in made
    made["status"] = {"replicas": 2}
    made["spec"]["image"] = "other"
    made["metadata"]["labels"] = {"a": "b"}
    updated = api.request("PUT", f"{crontabs}/a/status", made).body
    assert updated["status"] == {"replicas": 2}
    assert updated["spec"]["image"] == "busybox"
    assert "labels" not in updated["metadata"]
    assert updated["metadata"]["generation"] == 1
    wrong = json.dumps({"status": {"replicas": "two"}})
    refused = api.request("PATCH", f"{crontabs}/a/status", wrong, MERGE).body
    assert (
        'status.replicas: Invalid value: "string": status.replicas in body must be of type integer'
        in refused["message"]
    )


def test_scale(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    api.create(crontabs, cron_tab(crd, replicas=3))
    status = json.dumps({"status": {"replicas": 2, "selector": "app=x"}})
    api.request("PATCH", f"{crontabs}/a/status", status, MERGE)
    scale = api.get(f"{crontabs}/a/scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "app=x"})
    scale["spec"]["replicas"] = 5
    assert api.request("PUT", f"{crontabs}/a/scale", scale).body["spec"] == {"replicas": 5}
    found = api.get(f"{crontabs}/a")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (5, 2)
    api.create(crontabs, cron_tab(crd, "b"))
    missing = api.request("GET", f"{crontabs}/b/scale")
    assert missing.status == 500
    assert 'the spec replicas field ".spec.replicas" does not exist' in missing.body["message"]


def test_apply_merges_lists_by_their_keys(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    one = cron_tab(crd, hosts=[{"name": "x", "weight": 5}])
    made = api.request("PATCH", f"{crontabs}/a?fieldManager=one", json.dumps(one), APPLY)
    assert made.status == 201, made.raw
    other = {**cron_tab(crd), "spec": {"hosts": [{"name": "y"}]}}
    merged = api.request("PATCH", f"{crontabs}/a?fieldManager=two", json.dumps(other), APPLY).body
    assert merged["spec"]["hosts"] == [{"name": "x", "weight": 5}, {"name": "y", "weight": 1}]
    owned = {each["manager"]: each["fieldsV1"]["f:spec"] for each in merged["metadata"]["managedFields"]}
    assert 'k:{"name":"y"}' in owned["two"]["f:hosts"]
    clash = cron_tab(crd, hosts=[{"name": "x", "weight": 6}])
    refused = api.request("PATCH", f"{crontabs}/a?fieldManager=two", json.dumps(clash), APPLY)
    assert refused.status == 409
    assert 'conflict with "one": .spec.hosts[name="x"].weight' in refused.body["message"]


def test_watch(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    revision = api.get(crontabs)["metadata"]["resourceVersion"]
    connection = api.connection()
    connection.request("GET", f"{crontabs}?watch=1&resourceVersion={revision}")
    stream = connection.getresponse()
    api.create(crontabs, cron_tab(crd))
    api.request("PATCH", f"{crontabs}/a", json.dumps({"spec": {"replicas": 2}}), MERGE)
    api.request("DELETE", f"{crontabs}/a")
    events = [json.loads(stream.readline()) for _ in range(3)]
    assert [each["type"] for each in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[0]["object"]["spec"]["image"] == "busybox"
    connection.close()


def test_selectors(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    for name, image in (("a", "x"), ("b", "y")):
        api.create(crontabs, cron_tab(crd, name, image=image))

    def names(selector: str) -> list[str]:
        return [each["metadata"]["name"] for each in api.get(f"{crontabs}?fieldSelector={selector}")["items"]]

    assert names("spec.image=x") == ["a"]
    assert names("spec.image!=x") == ["b"]
    assert names("metadata.name=b") == ["b"]
    refused = api.request("GET", f"{crontabs}?fieldSelector=spec.cronSpec=x").body
    assert refused["message"].endswith("field label not supported: spec.cronSpec")


def test_table(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    api.create(crontabs, cron_tab(crd, replicas=3))
    table = api.get(crontabs, headers=TABLE)
    assert [each["name"] for each in table["columnDefinitions"]] == ["Name", "Spec", "Replicas", "Age"]
    assert table["rows"][0]["cells"][:3] == ["a", "* *", 3]


def test_unknown_fields(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    given = cron_tab(crd, bogus=1, free={"anything": {"goes": 1}}, hosts=[{"name": "x", "extra": 2}])
    strict = api.request("POST", f"{crontabs}?fieldValidation=Strict", given)
    assert strict.status == 400
    assert strict.body["message"] == (
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: '
        'unknown field "spec.bogus", unknown field "spec.hosts[0].extra"'
    )
    warned = api.request("POST", crontabs, given)
    assert [each.split('"', 1)[1] for each in warned.warnings] == [
        'unknown field \\"spec.bogus\\""',
        'unknown field \\"spec.hosts[0].extra\\""',
    ]
    assert warned.body["spec"]["free"] == {"anything": {"goes": 1}}
    assert "bogus" not in warned.body["spec"]
    ignored = api.request("POST", f"{crontabs}?fieldValidation=Ignore", {**given, "metadata": {"name": "c"}})
    assert (ignored.status, ignored.warnings) == (201, [])


def test_what_is_invalid(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    given = cron_tab(crd, replicas=20, mode="x", port=1.5, hosts=[{"name": "x"}, {"name": "x"}])
    given["spec"]["cronSpec"] = "x"
    refused = api.request("POST", crontabs, given)
    assert refused.status == 422
    found = {each["field"]: each["message"] for each in refused.body["details"]["causes"]}
    assert found == {
        "spec.cronSpec": "Invalid value: \"x\": spec.cronSpec in body should match '^\\S+ \\S+$'",
        "spec.replicas": "Invalid value: 20: spec.replicas in body should be less than or equal to 10",
        "spec.mode": 'Unsupported value: "x": supported values: "fast", "slow"',
        "spec.port": 'Invalid value: "number": spec.port in body must be of type integer,string: "number"',
        "spec.hosts[1]": 'Duplicate value: {"name":"x"}',
    }
    missing = api.request("POST", crontabs, {**cron_tab(crd), "spec": {}}).body
    assert missing["message"].endswith("spec.cronSpec: Required value")


def test_discovery(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    group = crd["spec"]["group"]
    legacy = api.get(f"/apis/{group}/v1")
    assert {each["name"] for each in legacy["resources"]} == {"crontabs", "crontabs/status", "crontabs/scale"}
    found = next(each for each in legacy["resources"] if each["name"] == "crontabs")
    assert (found["kind"], found["shortNames"], found["singularName"]) == ("CronTab", ["ct"], "crontab")
    aggregated = api.get(
        "/apis", headers={"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    )
    assert group in [each["metadata"]["name"] for each in aggregated["items"]]


def test_openapi(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    group = crd["spec"]["group"]
    index = api.get("/openapi/v3")["paths"]
    document = api.get(index[f"apis/{group}/v1"]["serverRelativeURL"])
    name = ".".join([*reversed(group.split(".")), "v1", "CronTab"])
    schema = document["components"]["schemas"][name]
    assert schema["properties"]["spec"]["properties"]["image"]["description"] == "What is run."
    assert schema["x-kubernetes-group-version-kind"] == [{"group": group, "kind": "CronTab", "version": "v1"}]
    assert f"/apis/{group}/v1/namespaces/{{namespace}}/crontabs/{{name}}/scale" in document["paths"]
    v2 = api.get("/openapi/v2")
    assert name in v2["definitions"]
    assert f"/apis/{group}/v1/crontabs" in v2["paths"]


def test_instances_go_before_their_definition(
    api: Harness, custom: Custom, crontabs: str, crd: dict[str, Any]
) -> None:
    held = cron_tab(crd, "held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    api.create(crontabs, held)
    api.create(crontabs, cron_tab(crd, "free"))
    name = crd["metadata"]["name"]
    api.request("DELETE", f"{DEFINITIONS}/{name}")
    custom.until("free goes", lambda: api.request("GET", f"{crontabs}/free").status == 404)
    marked = api.get(f"{DEFINITIONS}/{name}")
    assert marked["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert custom.condition(name, "Terminating") == "True"
    assert api.request("POST", crontabs, cron_tab(crd, "new")).status == 405
    assert api.get(f"{crontabs}/held")["metadata"]["deletionTimestamp"]
    api.request("PATCH", f"{crontabs}/held", json.dumps({"metadata": {"finalizers": None}}), MERGE)
    custom.until("definition goes", lambda: api.request("GET", f"{DEFINITIONS}/{name}").status == 404)
    custom.until("no longer served", lambda: api.request("GET", crontabs).status == 404)
    assert crd["spec"]["group"] not in [each["name"] for each in api.get("/apis")["groups"]]


def test_who_refuses_deletions_keeps_no_definition(
    api: Harness, custom: Custom, crontabs: str, crd: dict[str, Any]
) -> None:
    name, group = crd["metadata"]["name"], crd["spec"]["group"]
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    rule = {"apiGroups": [group], "apiVersions": ["*"], "resources": ["*"], "operations": ["DELETE"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false"}]}
    api.create(policies, {"metadata": {"name": name}, "spec": spec})
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    api.create(f"{policies[:-3]}ybindings", binding)
    api.create(crontabs, cron_tab(crd, "kept"))
    custom.until("refused", lambda: api.request("DELETE", f"{crontabs}/kept?dryRun=All").status == 422)
    api.request("DELETE", f"{DEFINITIONS}/{name}")
    custom.until("definition goes", lambda: api.request("GET", f"{DEFINITIONS}/{name}").status == 404)
    api.request("DELETE", f"{policies[:-3]}ybindings/{name}")
    api.request("DELETE", f"{policies}/{name}")


def test_a_changed_schema_is_applied_to_what_is_there(
    api: Harness, custom: Custom, crontabs: str, crd: dict[str, Any]
) -> None:
    api.create(crontabs, cron_tab(crd, replicas=3, free={"x": 1}))

    def change(found: dict[str, Any]) -> None:
        schema = json.loads(json.dumps(SCHEMA))
        spec = schema["properties"]["spec"]["properties"]
        spec["added"] = {"type": "string", "default": "new"}
        del spec["free"]
        found["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema

    custom.update(crd["metadata"]["name"], change)
    custom.until("defaulted", lambda: api.get(f"{crontabs}/a")["spec"].get("added") == "new")
    assert "free" not in api.get(f"{crontabs}/a")["spec"]
    assert api.get(crontabs)["items"][0]["spec"]["added"] == "new"


def test_a_cluster_scoped_resource(api: Harness, custom: Custom) -> None:
    crd = definition(version(), scope="Cluster")
    base = custom.establish(crd)
    api.create(f"{base}/crontabs", cron_tab(crd))
    assert "namespace" not in api.get(f"{base}/crontabs/a")["metadata"]
    assert api.request("GET", f"{base}/namespaces/default/crontabs/a").status == 404


def test_a_deprecated_version_warns(api: Harness, custom: Custom, namespace: str) -> None:
    crd = definition(version(deprecated=True))
    base = custom.establish(crd)
    group = crd["spec"]["group"]
    warned = api.request("GET", f"{base}/namespaces/{namespace}/crontabs")
    assert warned.warnings == [f'299 - "{group}/v1 CronTab is deprecated"']


def test_rights_are_by_group_and_resource(api: Harness, crontabs: str, crd: dict[str, Any]) -> None:
    refused = api.request("GET", crontabs, user="jane")
    assert refused.status == 403
    assert f'cannot list resource "crontabs" in API group "{crd["spec"]["group"]}"' in refused.body["message"]

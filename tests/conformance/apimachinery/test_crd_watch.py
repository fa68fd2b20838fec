"""test/e2e/apimachinery/crd_watch.go, custom_resource_definition.go"""

from __future__ import annotations

from tests.conformance import crds, operations
from tests.conformance.client import Client
from tests.e2e.conftest import until


def test_watch_on_custom_resources(client: Client, dynamic: Client) -> None:
    """[sig-api-machinery] CustomResourceDefinition Watch watch on custom resource definition objects"""
    with crds.defined(client, crds.definition()) as made:
        of = crds.instances(dynamic, made)
        with (
            of.watch(fieldSelector="metadata.name=name1") as first,
            of.watch(fieldSelector="metadata.name=name2") as second,
        ):
            for name, events in (("name1", first), ("name2", second)):
                of.create({"metadata": {"name": name}, "content": {"key": "value"}, "num": {"num1": 1}})
                events.until("ADDED", lambda obj, name=name: obj["metadata"]["name"] == name)
            for name, events in (("name1", first), ("name2", second)):
                of.patch(name, {"dummy": "test"})
                events.until("MODIFIED", lambda obj: obj["dummy"] == "test")
            for name, events in (("name1", first), ("name2", second)):
                of.delete(name)
                events.until("DELETED", lambda obj, name=name: obj["metadata"]["name"] == name)


def test_create_and_delete(client: Client) -> None:
    """[sig-api-machinery] CustomResourceDefinition resources Simple CustomResourceDefinition creating/deleting
    custom resource definition objects works"""
    with crds.defined(client, crds.definition()) as made:
        assert crds.is_true(made, "NamesAccepted")


def test_list_and_delete_collection(client: Client) -> None:
    """[sig-api-machinery] CustomResourceDefinition resources Simple CustomResourceDefinition listing custom
    resource definition objects works"""
    of = crds.definitions(client)
    label = crds.unique("test")
    made = {}
    for _ in range(10):
        wanted = crds.definition()
        wanted["metadata"]["labels"] = {"e2e-list-test-uuid": label}
        created = of.create(wanted)
        made[created["metadata"]["name"]] = created
    with crds.defined(client, crds.definition()) as other:
        listed = of.list(labelSelector=f"e2e-list-test-uuid={label}")
        assert {each["metadata"]["name"]: each["spec"] for each in listed} == {
            name: each["spec"] for name, each in made.items()
        }
        of.delete_collection(labelSelector=f"e2e-list-test-uuid={label}")
        until("all are gone", lambda: of.list(labelSelector=f"e2e-list-test-uuid={label}") == [])
        assert of.exists(other["metadata"]["name"])


def test_status(client: Client, dynamic: Client) -> None:
    """[sig-api-machinery] CustomResourceDefinition resources Simple CustomResourceDefinition
    getting/updating/patching custom resource definition status sub-resource works"""
    with crds.defined(client, crds.definition()) as made:
        name = made["metadata"]["name"]
        assert crds.definitions(dynamic).get(name, "status")["spec"] == made["spec"]
        of = crds.definitions(client)

        def add(obj: operations.Object) -> None:
            obj["status"]["conditions"].append({"message": "updated"})

        updated = of.change(name, add, "status")
        assert "updated" in [each.get("message") for each in updated["status"]["conditions"]]
        patch = [{"op": "add", "path": "/status/conditions", "value": [{"message": "patched"}]}]
        patched = of.patch(name, patch, "json", "status")
        assert "patched" in [each.get("message") for each in patched["status"]["conditions"]]


def test_discovery_documents(client: Client) -> None:
    """[sig-api-machinery] CustomResourceDefinition resources should include custom resource definition resources
    in discovery documents"""
    operations.discoverable(client, "apiextensions.k8s.io", "v1", "customresourcedefinitions")
    assert client.get("/apis/apiextensions.k8s.io/v1")["groupVersion"] == "apiextensions.k8s.io/v1"


def test_defaulting(client: Client, dynamic: Client) -> None:
    """[sig-api-machinery] CustomResourceDefinition resources custom resource defaulting for requests and from
    storage works"""
    schema = {**crds.ALLOW_ALL, "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    path = "/spec/versions/0/schema/openAPIV3Schema/properties"
    with crds.defined(client, crds.definition(schema=schema)) as made:
        of, name = crds.instances(dynamic, made), made["metadata"]["name"]
        definitions = crds.definitions(client)
        of.create({"metadata": {"name": "cr-1"}})
        definitions.patch(name, [{"op": "add", "path": f"{path}/a/default", "value": "A"}], "json")
        assert until("defaulted on read", lambda: of.get("cr-1").get("a")) == "A"
        assert of.create({"metadata": {"name": "cr-2"}})["a"] == "A"
        definitions.patch(
            name,
            [
                {"op": "remove", "path": f"{path}/a/default"},
                {"op": "add", "path": f"{path}/b/default", "value": "B"},
            ],
            "json",
        )
        assert until("the new default", lambda: of.get("cr-2").get("b")) == "B"
        assert of.get("cr-2")["a"] == "A"
        assert "a" not in of.get("cr-1")
        assert of.get("cr-1")["b"] == "B"

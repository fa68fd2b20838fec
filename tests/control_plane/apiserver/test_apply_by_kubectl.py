"""Server-side apply over HTTP, by kubectl and by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Answer, Harness, kubectls

APPLY = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}

Object = dict[str, Any]


def config_map(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


class Client:
    def __init__(self, api: Harness, namespace: str) -> None:
        self.path = f"/api/v1/namespaces/{namespace}/configmaps/c"
        self._api = api

    def apply(self, manager: str, body: Object, query: str = "") -> Answer:
        path = f"{self.path}?fieldManager={manager}{query}"
        return self._api.request("PATCH", path, json.dumps(body).encode(), APPLY)

    def merge(self, body: Object, manager: str = "writer") -> Answer:
        path = f"{self.path}?fieldManager={manager}"
        return self._api.request("PATCH", path, json.dumps(body).encode(), MERGE)

    def get(self) -> Object:
        return self._api.get(self.path)


@pytest.fixture
def client(api: Harness, namespace: str) -> Client:
    return Client(api, namespace)


def managers(obj: Object) -> list[tuple[str, str]]:
    return [(e["manager"], e["operation"]) for e in obj["metadata"]["managedFields"]]


def test_an_apply_creates_and_then_updates(client: Client) -> None:
    first = client.apply("ann", config_map(a="1", b="2"))
    assert first.status == 201
    assert managers(first.body) == [("ann", "Apply")]
    second = client.apply("ann", config_map(a="3"))
    assert second.status == 200
    assert client.get()["data"] == {"a": "3"}


def test_the_same_again_writes_nothing(client: Client) -> None:
    first = client.apply("ann", config_map(a="1")).body
    assert client.apply("ann", config_map(a="1")).body == first


def test_conflicts_and_force(client: Client) -> None:
    client.apply("ann", config_map(a="1"))
    refused = client.apply("bob", config_map(a="2"))
    assert refused.status == 409
    assert refused.body["message"] == 'Apply failed with 1 conflict: conflict with "ann": .data.a'
    assert refused.body["details"]["causes"][0]["field"] == ".data.a"
    forced = client.apply("bob", config_map(a="2"), "&force=true")
    assert forced.status == 200
    assert managers(forced.body) == [("bob", "Apply")]


def test_every_write_is_tracked_from_creation_on(api: Harness, client: Client) -> None:
    agent = {"User-Agent": "maker/v1.2 (linux/amd64)"}
    made = api.create(client.path.removesuffix("/c"), config_map(a="1", b="2"), headers=agent)
    assert managers(made) == [("maker", "Update")]
    client.merge({"data": {"b": "3"}})
    assert [e["fieldsV1"] for e in client.get()["metadata"]["managedFields"]] == [
        {"f:data": {".": {}, "f:a": {}}},
        {"f:data": {"f:b": {}}},
    ]
    refused = client.apply("ann", config_map(a="2"))
    assert refused.body["message"].endswith('conflict with "maker" using v1: .data.a')
    client.merge({"metadata": {"managedFields": [{}]}})
    client.merge({"data": {"c": "4"}})
    assert "managedFields" not in client.get()["metadata"]


def test_other_writers_are_tracked_once_the_object_was_applied(client: Client) -> None:
    client.apply("ann", config_map(a="1"))
    client.merge({"data": {"a": "2", "b": "3"}})
    assert managers(client.get()) == [("writer", "Update")]
    refused = client.apply("ann", config_map(a="1"))
    assert 'conflict with "writer" using v1: .data.a' in refused.body["message"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"operation": "Delete"},
            'metadata.managedFields[0].operation: Invalid value: "Delete": must be `Apply` or',
        ),
        (
            {"fieldsType": "V2"},
            'metadata.managedFields[0].fieldsType: Invalid value: "V2": must be `FieldsV1`',
        ),
        (
            {"manager": "m" * 129},
            "metadata.managedFields[0].manager: Too long: may not be more than 128 bytes",
        ),
        ({"manager": "a\nb"}, "should only contain printable characters"),
    ],
    ids=["operation", "type", "a long name", "a name that cannot be read"],
)
def test_managed_fields_that_are_refused(api: Harness, client: Client, entry: Object, message: str) -> None:
    made = api.create(client.path.removesuffix("/c"), config_map(a="1"))
    made["metadata"]["managedFields"][0] |= entry
    refused = api.request("PUT", client.path, made)
    assert refused.status == 422
    assert message in refused.body["message"]


def test_the_scale_is_applied(api: Harness, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    api.create(path, {"metadata": {"name": "r"}, "spec": spec}, headers={"User-Agent": "maker/v1"})

    def scale(count: int, query: str) -> Answer:
        config = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": "r"},
            "spec": {"replicas": count},
        }
        return api.request("PATCH", f"{path}/r/scale?{query}", json.dumps(config).encode(), APPLY)

    refused = scale(3, "fieldManager=ann")
    assert refused.status == 409
    assert refused.body["message"].endswith('conflict with "maker" using autoscaling/v1: .spec.replicas')
    assert scale(3, "fieldManager=ann&force=true").body["spec"]["replicas"] == 3
    found = api.get(f"{path}/r")
    assert found["spec"]["replicas"] == 3
    entries = {entry["manager"]: entry for entry in found["metadata"]["managedFields"]}
    assert entries["ann"]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert (entries["ann"]["subresource"], entries["ann"]["apiVersion"]) == ("scale", "apps/v1")
    assert "f:replicas" not in entries["maker"]["fieldsV1"]["f:spec"]
    assert scale(4, "fieldManager=ann").body["spec"]["replicas"] == 4
    assert 'conflict with "ann" with subresource "scale"' in scale(5, "fieldManager=bob").body["message"]
    assert scale(4, "").status == 422


def test_who_applies_a_status_owns_nothing_else(api: Harness, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    identity = {"apiVersion": "apps/v1", "kind": "Deployment"}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    api.create(path, {**identity, "metadata": {"name": "d"}, "spec": spec})
    config = {
        **identity,
        "metadata": {"name": "d", "labels": {"by": "ann"}, "annotations": {"by": "ann"}},
        "spec": {"replicas": 7},
        "status": {"observedGeneration": 1},
    }
    body = json.dumps(config).encode()
    answer = api.request("PATCH", f"{path}/d/status?fieldManager=ann", body, APPLY)
    assert answer.status == 200, answer.body
    (entry,) = [each for each in answer.body["metadata"]["managedFields"] if each["manager"] == "ann"]
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:annotations": {"f:by": {}}},
        "f:status": {"f:observedGeneration": {}},
    }
    assert "labels" not in answer.body["metadata"]
    assert answer.body["spec"]["replicas"] == 1


def test_dry_run_writes_nothing(client: Client) -> None:
    client.apply("ann", config_map(a="1"))
    assert client.apply("ann", config_map(a="2"), "&dryRun=All").body["data"] == {"a": "2"}
    assert client.get()["data"] == {"a": "1"}


@pytest.mark.parametrize(
    ("manager", "body", "code", "message"),
    [
        ("", config_map(a="1"), 422, "fieldManager: Required value: is required for apply patch"),
        ("ann", {**config_map(), "apiVersion": "v2"}, 400, "Incorrect version specified in apply patch"),
        ("ann", {**config_map(), "kind": "Secret"}, 400, "does not match the expected kind (ConfigMap)"),
        ("ann", {**config_map(), "metadata": {"name": "x"}}, 400, "does not match the name on the URL"),
        ("ann", {**config_map(), "metadata": {"name": "c", "managedFields": [{}]}}, 400, "must be nil"),
        ("ann", {**config_map(), "metadata": {"name": "c", "uid": "u"}}, 409, "uid mismatch"),
        ("ann", [1], 400, "error decoding patch"),
    ],
)
def test_refused(client: Client, manager: str, body: Any, code: int, message: str) -> None:
    answer = client.apply(manager, body)
    assert (answer.status, message in answer.body["message"]) == (code, True), answer.body


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: "nginx:IMAGE", ports: [{containerPort: 80}]}
"""


@pytest.mark.parametrize("binary", kubectls(), ids=lambda path: path.name)
def test_kubectl(api: Harness, namespace: str, binary: Path) -> None:
    def kubectl(*arguments: str, replicas: int = 1, image: str = "1", check: bool = True) -> str:
        manifest = DEPLOYMENT.replace("REPLICAS", str(replicas)).replace("IMAGE", image)
        done = api.kubectl(f"--namespace={namespace}", *arguments, binary=binary, stdin=manifest, check=check)
        return done.stdout + done.stderr

    assert "deployment.apps/web serverside-applied" in kubectl("apply", "--server-side", "-f", "-")
    kubectl("apply", "--server-side", "-f", "-", image="2")
    shown = json.loads(kubectl("get", "deploy", "web", "-o", "json", "--show-managed-fields"))
    assert shown["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert ("kubectl", "Apply") in managers(shown)
    kubectl("scale", "deploy", "web", "--replicas=5")
    refused = kubectl("apply", "--server-side", "-f", "-", check=False)
    assert "Apply failed with 1 conflict" in refused
    assert ".spec.replicas" in refused
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", replicas=2)
    assert json.loads(kubectl("get", "deploy", "web", "-o", "json"))["spec"]["replicas"] == 2
    assert kubectl("diff", "--server-side", "-f", "-", replicas=2, check=False) == ""


@pytest.mark.parametrize("binary", kubectls(), ids=lambda path: path.name)
def test_from_client_side_to_server_side_apply(api: Harness, namespace: str, binary: Path) -> None:
    def apply(*arguments: str, image: str) -> None:
        manifest = DEPLOYMENT.replace("REPLICAS", "1").replace("IMAGE", image)
        api.kubectl(f"--namespace={namespace}", "apply", *arguments, "-f", "-", binary=binary, stdin=manifest)

    apply(image="1")
    apply("--server-side", image="2")
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    assert api.get(path)["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    apply(image="3")
    assert api.get(path)["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:3"

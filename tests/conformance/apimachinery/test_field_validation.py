"""test/e2e/apimachinery/field_validation.go"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance import crds
from tests.conformance.client import Client

Object = dict[str, Any]
QUERY = "fieldManager=field_validation_mgr&fieldValidation=Strict"

PORT: Object = {
    "type": "object",
    "required": ["containerPort", "protocol"],
    "properties": {
        "containerPort": {"format": "int32", "type": "integer"},
        "hostIP": {"type": "string"},
        "hostPort": {"format": "int32", "type": "integer"},
        "name": {"type": "string"},
        "protocol": {"type": "string"},
    },
}
FIELDS: Object = {
    "foo": {"type": "string"},
    "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
    "ports": {
        "type": "array",
        "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
        "x-kubernetes-list-type": "map",
        "items": PORT,
    },
}
KNOWN: Object = {"type": "object", "properties": {"spec": {"type": "object", "properties": FIELDS}}}
OPEN: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "properties": {
                        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
                        "spec": {"type": "object"},
                    },
                },
                **FIELDS,
            },
        }
    },
}
REST = """  cronSpec: "* * * * */5"
  ports:
  - name: x
    containerPort: 80
    protocol: TCP"""
HEAD = """
apiVersion: {version}
kind: {kind}
metadata:
  name: mytest
"""
FINALIZER = "  finalizers:\n  - test-finalizer\n"


def deployment(metadata: str, spec: str) -> bytes:
    return f"""{{"apiVersion": "apps/v1", "kind": "Deployment",
    "metadata": {{"name": "my-dep", {metadata} "labels": {{"app": "nginx"}}}},
    "spec": {{{spec} "selector": {{"matchLabels": {{"app": "nginx"}}}}, "template": {{
    "metadata": {{"labels": {{"app": "nginx"}}}},
    "spec": {{"containers": [{{"name": "nginx", "image": "nginx:latest"}}]}}}}}}}}""".encode()


@pytest.mark.parametrize(
    ("metadata", "spec", "message"),
    [
        pytest.param(
            "",
            '"unknownField": "foo", "replicas": 2, "replicas": 3,',
            'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"',
            id="should detect unknown and duplicate fields of a typed object",
        ),
        pytest.param(
            '"unknownMeta": "foo",',
            "",
            'strict decoding error: unknown field "metadata.unknownMeta"',
            id="should detect unknown metadata fields of a typed object",
        ),
    ],
)
def test_typed(client: Client, namespace: str, metadata: str, spec: str, message: str) -> None:
    """[sig-api-machinery] FieldValidation"""
    code, _, content = client.raw(
        "POST",
        f"/apis/apps/v1/namespaces/{namespace}/deployments?{QUERY}",
        deployment(metadata, spec),
        {"Content-Type": "application/json", "Accept": "application/json"},
    )
    assert code == 400
    assert message in json.loads(content)["message"]


@pytest.mark.parametrize(
    ("schema", "body", "messages"),
    [
        pytest.param(
            KNOWN,
            FINALIZER + "spec:\n  foo: foo1\n" + REST,
            [],
            id="should create/apply a valid CR for CRD with validation schema",
        ),
        pytest.param(
            None,
            FINALIZER + "spec:\n  unknown: uk1\n" + REST,
            [],
            id="should create/apply a CR with unknown fields for CRD with no validation schema",
        ),
        pytest.param(
            KNOWN,
            FINALIZER + "unknownField: unknown\nspec:\n  foo: foo1\n" + REST,
            [".unknownField: field not declared in schema"],
            id="should create/apply an invalid CR with extra properties for CRD with validation schema",
        ),
        pytest.param(
            OPEN,
            "  unknownMeta: unknown\n"
            + FINALIZER
            + "spec:\n  template:\n    apiversion: foo/v1\n    kind: Sub\n    metadata:\n"
            "        unknownSubMeta: unknown\n        name: subobject\n        namespace: x\n  foo: foo1\n"
            + REST,
            [
                ".spec.template.metadata.unknownSubMeta: field not declared in schema",
                ".metadata.unknownMeta: field not declared in schema",
            ],
            id="should detect unknown metadata fields in both the root and embedded object of a CR",
        ),
        pytest.param(
            OPEN,
            FINALIZER + "spec:\n  unknown: uk1\n  foo: foo1\n  foo: foo2\n" + REST,
            [r"line 11: key \"foo\" already set in map"],
            id="should detect duplicates in a CR when preserving unknown fields",
        ),
    ],
)
def test_custom(
    client: Client, dynamic: Client, schema: Object | None, body: str, messages: list[str]
) -> None:
    """[sig-api-machinery] FieldValidation"""
    with crds.defined(client, crds.definition("v1beta1", "v1", schema=schema)) as made:
        of = crds.instances(dynamic, made)
        head = HEAD.format(version=of.group_version, kind=of.kind)
        headers = {"Content-Type": "application/apply-patch+yaml", "Accept": "application/json"}
        code, _, content = client.raw("PATCH", f"{of.path}/mytest?{QUERY}", (head + body).encode(), headers)
        text = content.decode()
        if not messages:
            assert code == 201, text
            of.patch("mytest", {"metadata": {"finalizers": None}})
        else:
            assert code >= 400, text
            assert any(message in text for message in messages), text

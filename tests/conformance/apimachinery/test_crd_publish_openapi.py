"""test/e2e/apimachinery/crd_publish_openapi.go"""

from __future__ import annotations

import contextlib
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import crds
from tests.conformance.client import Client
from tests.e2e.conftest import Cluster, until
from tests.kubectl import Kubectl, found

Object = dict[str, Any]

FOO: Object = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {
                "bars": {
                    "description": "List of Bars and their specs.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"description": "Name of Bar.", "type": "string"},
                            "age": {"description": "Age of Bar.", "type": "string"},
                            "feeling": {
                                "description": "Whether Bar is feeling great.",
                                "type": "string",
                                "enum": ["Great", "Down"],
                            },
                            "bazs": {
                                "description": "List of Bazs.",
                                "items": {"type": "string"},
                                "type": "array",
                            },
                        },
                    },
                }
            },
        },
        "status": {
            "description": "Status of Foo",
            "type": "object",
            "properties": {"bars": {"description": "x", "type": "array", "items": {"type": "object"}}},
        },
    },
}
WALDO: Object = {
    "description": "Waldo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "description": "Specification of Waldo",
            "type": "object",
            "properties": {
                "dummy": {"description": "Dummy property.", "type": "object"},
            },
        },
        "status": {
            "description": "Status of Waldo",
            "type": "object",
            "properties": {"bars": {"type": "array", "items": {"type": "object"}}},
        },
    },
}
PRESERVE_ROOT: Object = {
    "description": "preserve-unknown-properties at root for Testing",
    "x-kubernetes-preserve-unknown-fields": True,
    "type": "object",
    "properties": {"spec": {"description": "Specification of Waldo", "type": "object"}},
}
PRESERVE_NESTED: Object = {
    "description": "preserve-unknown-properties in nested field for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "description": "Specification of Waldo",
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
        }
    },
}


@pytest.fixture
def kubectl(cluster: Cluster, tmp_path: Path, namespace: str) -> Kubectl:
    return Kubectl(found()[-1], cluster.kubeconfig, tmp_path / "cache", namespace)


@contextlib.contextmanager
def defined(client: Client, schema: Object | None, *versions: str, group: str = "") -> Iterator[Object]:
    wanted = crds.definition(*versions, schema=schema, scope="Namespaced", group=group)
    with crds.defined(client, wanted) as made:
        yield made


def key(made: Object, version: str) -> str:
    group = ".".join(reversed(made["spec"]["group"].split(".")))
    return f"{group}.{version}.{made['spec']['names']['kind']}"


def published(client: Client, made: Object, version: str) -> Object | None:
    found: Object | None = client.get("/openapi/v2")["definitions"].get(key(made, version))
    return found


def publishes(client: Client, made: Object, version: str, schema: Object | None) -> None:
    """The definition is there: the schema with ObjectMeta, apiVersion and kind."""

    def check() -> bool:
        found = copy.deepcopy(published(client, made, version))
        if found is None:
            return False
        names = made["spec"]["names"]
        expected = {"group": made["spec"]["group"], "kind": names["kind"], "version": version}
        assert found.pop("x-kubernetes-group-version-kind") == [expected]
        if schema is None:
            return True
        for name in ("apiVersion", "kind", "metadata"):
            assert found["properties"].pop(name)
        return bool(found == schema)

    until(f"{key(made, version)} is published", check)


def accepts(kubectl: Kubectl, made: Object, name: str, **fields: Any) -> None:
    """kubectl creates and applies it."""
    spec = made["spec"]
    head = {
        "kind": spec["names"]["kind"],
        "apiVersion": f"{spec['group']}/{spec['versions'][0]['name']}",
        "metadata": {"name": name},
    }
    for verb in ("create", "apply"):
        kubectl(verb, "-f", "-", input=json.dumps({**head, **fields}))
        kubectl("delete", spec["names"]["plural"], name)


def explains(kubectl: Kubectl, what: str, pattern: str) -> None:
    until(f"explain {what}", lambda: re.search(pattern, kubectl.run("explain", what).stdout, re.S))


def test_with_a_schema(client: Client, kubectl: Kubectl) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI works for CRD with validation schema"""
    with defined(client, FOO, "v1") as made:
        publishes(client, made, "v1", FOO)
        accepts(kubectl, made, "test-foo", spec={"bars": [{"name": "test-bar"}]})
        plural, kind = made["spec"]["names"]["plural"], made["spec"]["names"]["kind"]
        head = {"kind": kind, "apiVersion": f"{made['spec']['group']}/v1", "metadata": {"name": "test-foo"}}
        for bar, told in (
            ({"name": "test-bar", "feeling": "NonExistentValue"}, 'Unsupported value: "NonExistentValue"'),
            ({"age": "10"}, "spec.bars[0].name: Required value"),
        ):
            for verb in ("create", "apply"):
                done = kubectl.run(verb, "-f", "-", input=json.dumps({**head, "spec": {"bars": [bar]}}))
                assert done.returncode == 1
                assert told in done.stderr or 'missing required field "name"' in done.stderr
        for verb in ("create", "apply"):
            done = kubectl.run(verb, "-f", "-", input=json.dumps({**head, "spec": {"foo": True}}))
            assert 'unknown field "spec.foo"' in done.stderr
        explains(
            kubectl,
            plural,
            "DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines.*spec.*<Object>"
            ".*Specification of Foo",
        )
        explains(
            kubectl,
            f"{plural}.metadata",
            "DESCRIPTION:.*Standard object's metadata.*FIELDS:.*creationTimestamp.*<string>.*CreationTimestamp "
            "is a timestamp",
        )
        explains(
            kubectl,
            f"{plural}.spec",
            r"DESCRIPTION:.*Specification of Foo.*FIELDS:.*bars.*<\[\]Object>.*List of Bars and their specs",
        )
        explains(
            kubectl,
            f"{plural}.spec.bars",
            r"(FIELD|RESOURCE):.*bars.*<\[\]Object>.*DESCRIPTION:.*List of Bars and their specs.*FIELDS:.*bazs.*"
            r"<\[\]string>.*List of Bazs.*name.*<string>.*Name of Bar",
        )
        assert 'field "bars2" does not exist' in kubectl.run("explain", f"{plural}.spec.bars2").stderr


@pytest.mark.parametrize(
    ("schema", "fields", "pattern"),
    [
        pytest.param(
            None, {"a": {"b": [{"c": "d"}]}}, "DESCRIPTION:.*<empty>", id="without validation schema"
        ),
        pytest.param(
            PRESERVE_ROOT,
            {"a": {"b": [{"c": "d"}]}},
            "KIND:.*{kind}",
            id="preserving unknown fields at the root",
        ),
        pytest.param(
            PRESERVE_NESTED,
            {"spec": {"a": None, "b": [{"c": "d"}]}},
            "DESCRIPTION:.*preserve-unknown-properties in nested field for Testing",
            id="preserving unknown fields in an embedded object",
        ),
    ],
)
def test_open_schemas(
    client: Client, kubectl: Kubectl, schema: Object | None, fields: Object, pattern: str
) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI works for CRD …"""
    with defined(client, schema, "v1") as made:
        publishes(client, made, "v1", None)
        accepts(kubectl, made, "test-cr", **fields)
        kind, plural = made["spec"]["names"]["kind"], made["spec"]["names"]["plural"]
        explains(kubectl, plural, pattern.format(kind=kind))


def test_several_groups(client: Client) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI works for multiple CRDs of different groups"""
    with defined(client, FOO, "v1") as foo, defined(client, WALDO, "v1beta1") as waldo:
        publishes(client, waldo, "v1beta1", WALDO)
        publishes(client, foo, "v1", FOO)


def test_several_versions(client: Client) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI works for multiple CRDs of same group but different
    versions"""
    with defined(client, FOO, "v2", "v3") as both:
        publishes(client, both, "v3", FOO)
        publishes(client, both, "v2", FOO)
    group = f"{crds.unique('multi')}.example.com"
    with defined(client, FOO, "v4", group=group) as foo, defined(client, WALDO, "v5", group=group) as waldo:
        publishes(client, waldo, "v5", WALDO)
        publishes(client, foo, "v4", FOO)


def test_several_kinds(client: Client) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI works for multiple CRDs of same group and version but
    different kinds"""
    group = f"{crds.unique('kinds')}.example.com"
    with defined(client, FOO, "v6", group=group) as foo, defined(client, WALDO, "v6", group=group) as waldo:
        publishes(client, waldo, "v6", WALDO)
        publishes(client, foo, "v6", FOO)


def test_a_version_is_renamed(client: Client) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI updates the published spec when one version gets renamed"""
    with defined(client, FOO, "v2", "v3") as made:
        publishes(client, made, "v3", FOO)
        publishes(client, made, "v2", FOO)
        patch = [
            {"op": "test", "path": "/spec/versions/1/name", "value": "v3"},
            {"op": "replace", "path": "/spec/versions/1/name", "value": "v4"},
        ]
        crds.definitions(client).patch(made["metadata"]["name"], patch, "json")
        publishes(client, made, "v4", FOO)
        until("the old name is gone", lambda: published(client, made, "v3") is None)
        publishes(client, made, "v2", FOO)


def test_a_version_is_not_served_any_more(client: Client) -> None:
    """[sig-api-machinery] CustomResourcePublishOpenAPI removes definition from spec when one version gets changed
    to not be served"""
    with defined(client, FOO, "v5", "v6alpha1") as made:
        publishes(client, made, "v6alpha1", FOO)
        publishes(client, made, "v5", FOO)

        def edit(obj: Object) -> None:
            obj["spec"]["versions"][1]["served"] = False

        crds.definitions(client).change(made["metadata"]["name"], edit)
        until("it is gone", lambda: published(client, made, "v6alpha1") is None)
        publishes(client, made, "v5", FOO)

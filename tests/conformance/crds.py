"""Custom resource definitions as upstream's fixtures make them: random names, and ready before they are used."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any

from tests.conformance.client import ApiError, Client, Resource
from tests.e2e.conftest import until

Object = dict[str, Any]

ALLOW_ALL: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_numbers = itertools.count(1)


def unique(base: str) -> str:
    return f"{base}{os.getpid()}x{next(_numbers)}"


def definitions(client: Client) -> Resource:
    return client.of("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition")


def definition(
    *versions: str, schema: Object | None = None, scope: str = "Cluster", group: str = "", **spec: Any
) -> Object:
    """The first version is the stored one."""
    kind = unique("noxu")
    group = group or f"{unique('group')}.example.com"
    return {
        "metadata": {"name": f"{kind}s.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {
                "plural": f"{kind}s",
                "singular": kind,
                "kind": kind.title(),
                "listKind": f"{kind.title()}List",
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == (versions or ("v1",))[0],
                    "schema": {"openAPIV3Schema": schema or ALLOW_ALL},
                }
                for version in versions or ("v1",)
            ],
            **spec,
        },
    }


@contextlib.contextmanager
def defined(client: Client, wanted: Object) -> Iterator[Object]:
    """Created, established, in discovery; gone from both afterwards."""
    of = definitions(client)
    made = of.create(wanted)
    name = made["metadata"]["name"]
    try:
        until(f"{name} is established", lambda: is_true(of.get(name), "Established"))
        for version in made["spec"]["versions"]:
            if version["served"]:
                until(f"{name} in discovery", lambda version=version: _served(client, made, version["name"]))
        yield of.get(name)
    finally:
        with contextlib.suppress(ApiError):
            of.delete(name)
        until(f"{name} is gone", lambda: not of.exists(name))


def instances(dynamic: Client, made: Object, version: str = "", namespace: str = "") -> Resource:
    spec = made["spec"]
    version = version or spec["versions"][0]["name"]
    return dynamic.of(f"{spec['group']}/{version}", spec["names"]["plural"], spec["names"]["kind"], namespace)


def is_true(obj: Object, condition: str) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any((each.get("type"), each.get("status")) == (condition, "True") for each in conditions)


def _served(client: Client, made: Object, version: str) -> bool:
    try:
        found = client.get(f"/apis/{made['spec']['group']}/{version}")["resources"]
    except ApiError as error:
        if error.code != 404:
            raise
        return False
    return made["spec"]["names"]["plural"] in [each["name"] for each in found]

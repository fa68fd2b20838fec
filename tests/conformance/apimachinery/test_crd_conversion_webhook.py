"""test/e2e/apimachinery/crd_conversion_webhook.go: the webhook runs beside the cluster, by its URL."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from tests.conformance import crds
from tests.conformance.client import Client
from tests.conformance.hooks import Hooks

Object = dict[str, Any]


def converted(obj: Object, version: str) -> Object:
    """`hostPort` of v1 is `host` and `port` of v2."""
    made = {**obj, "apiVersion": version}
    if version.endswith("/v2") and "hostPort" in made:
        made["host"], made["port"] = made.pop("hostPort").split(":")
    elif version.endswith("/v1") and "host" in made:
        made["hostPort"] = f"{made.pop('host')}:{made.pop('port')}"
    return made


def convert(review: Object) -> tuple[int, bytes]:
    request = review["request"]
    objects = [converted(obj, request["desiredAPIVersion"]) for obj in request["objects"]]
    response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects}
    return 200, json.dumps({**review, "request": None, "response": response}).encode()


@contextlib.contextmanager
def convertible(hooks: Hooks) -> Iterator[Object]:
    hooks.server.whole = convert
    webhook = {
        "clientConfig": hooks.server.client("/crdconvert"),
        "conversionReviewVersions": ["v1", "v1beta1"],
    }
    conversion = {"strategy": "Webhook", "webhook": webhook}
    wanted = crds.definition("v1", "v2", scope="Namespaced", conversion=conversion)
    with crds.defined(hooks.client, wanted) as made:
        yield made


def test_convert(hooks: Hooks, dynamic: Client) -> None:
    """[sig-api-machinery] CustomResourceConversionWebhook should be able to convert from CR v1 to CR v2"""
    with convertible(hooks) as made:
        old, new = (crds.instances(dynamic, made, version, hooks.namespace) for version in ("v1", "v2"))
        old.create({"metadata": {"name": "cr"}, "hostPort": "localhost:8080"})
        found = new.get("cr")
        assert (found["host"], found["port"]) == ("localhost", "8080")
        assert "hostPort" not in found


def test_convert_a_mixed_list(hooks: Hooks, dynamic: Client) -> None:
    """[sig-api-machinery] CustomResourceConversionWebhook should be able to convert a non homogeneous list of
    CRs"""
    with convertible(hooks) as made:
        old, new = (crds.instances(dynamic, made, version, hooks.namespace) for version in ("v1", "v2"))
        old.create({"metadata": {"name": "cr-1"}, "hostPort": "localhost:8080"})
        change = [
            {"op": "replace", "path": "/spec/versions/0/storage", "value": False},
            {"op": "replace", "path": "/spec/versions/1/storage", "value": True},
        ]
        crds.definitions(hooks.client).patch(made["metadata"]["name"], change, "json")
        new.create({"metadata": {"name": "cr-2"}, "host": "localhost", "port": "8080"})
        for of, field_ in ((new, "host"), (old, "hostPort")):
            items = of.list()
            assert [each["metadata"]["name"] for each in items] == ["cr-1", "cr-2"]
            assert all(field_ in each for each in items)

"""test/e2e/apimachinery/crd_validation_rules.go, crd_selectable_fields.go, crd_validation_ratcheting.go"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance import crds
from tests.conformance.client import ApiError, Client
from tests.e2e.conftest import until

Object = dict[str, Any]


def schema(spec: Object, *rules: str, **more: Any) -> Object:
    return {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-validations": [{"rule": each} for each in rules],
                **spec,
            },
            "status": {"type": "object", "properties": {"z": {"type": "integer"}}},
        },
        **more,
    }


NUMBERS: Object = {"properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}}
LISTS: Object = {
    "properties": {"x": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}}
}


def test_what_satisfies_the_rules(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-api-machinery] CustomResourceValidationRules MUST NOT fail validation for create of a custom resource
    that satisfies the x-kubernetes-validations rules; MUST fail … that does not satisfy"""
    root = [{"rule": "self.spec.x + self.spec.y >= (has(self.status) ? self.status.z : 0)"}]
    rules = schema(NUMBERS, "self.x + self.y > 0", **{"x-kubernetes-validations": root})
    with crds.defined(client, crds.definition(schema=rules, scope="Namespaced")) as made:
        of = crds.instances(dynamic, made, namespace=namespace)
        of.create({"metadata": {"name": "good"}, "spec": {"x": 1, "y": 0}})
        with pytest.raises(ApiError, match=r"failed rule: self.x \+ self.y > 0") as refused:
            of.create({"metadata": {"name": "bad"}, "spec": {"x": 0, "y": 0}})
        assert (refused.value.code, refused.value.reason) == (422, "Invalid")


@pytest.mark.parametrize(
    ("spec", "rule", "told"),
    [
        pytest.param(
            NUMBERS, "self.x + self.y > self.z", "undefined field 'z'", id="a property that is not there"
        ),
        pytest.param(NUMBERS, "self = 42", "Syntax error", id="a syntax error"),
        pytest.param(
            LISTS,
            "self.x.all(s, s.all(t, t.contains(t)))",
            "exceeds budget",
            id="over the estimated cost limit",
        ),
    ],
)
def test_rules_that_are_refused(client: Client, spec: Object, rule: str, told: str) -> None:
    """[sig-api-machinery] CustomResourceValidationRules MUST fail create of a custom resource definition that
    contains an x-kubernetes-validations rule that refers to a property that do not exist; … syntax error; …
    exceeds the estimated cost limit"""
    with pytest.raises(ApiError) as refused:
        crds.definitions(client).create(crds.definition(schema=schema(spec, rule)))
    assert told in str(refused.value)


def test_transition_rules(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-api-machinery] CustomResourceValidationRules MUST fail update of a custom resource that does not satisfy
    a x-kubernetes-validations transition rule"""
    numbers = {
        "properties": {"num": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}}
    }
    with crds.defined(client, crds.definition(schema=schema(numbers, "true"), scope="Namespaced")) as made:
        of = crds.instances(dynamic, made, namespace=namespace)
        of.create({"metadata": {"name": "cr"}, "spec": {"num": 10}})
        with pytest.raises(ApiError, match="failed rule: self >= oldSelf"):
            of.change("cr", lambda obj: obj["spec"].update(num=9))


def test_selectable_fields(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-api-machinery] CustomResourceFieldSelectors MUST list and watch custom resources matching the field
    selector"""
    body = {
        "type": "object",
        "properties": {
            "hostPort": {"type": "string"},
            "host": {"type": "string"},
            "port": {"type": "string"},
        },
    }
    wanted = crds.definition("v1", schema=body, scope="Namespaced")
    wanted["spec"]["versions"][0]["selectableFields"] = [{"jsonPath": ".host"}]
    with crds.defined(client, wanted) as made:
        of = crds.instances(dynamic, made, namespace=namespace)
        discovered = client.get("/openapi/v3/apis/" + of.group_version)["components"]["schemas"]
        assert any(
            each.get("x-kubernetes-selectable-fields") == [{"fieldPath": "host"}]
            for each in discovered.values()
        )
        selector = {"fieldSelector": "host=host1"}
        with of.watch(**selector) as events:
            for name, host in (("cr1", "host1"), ("cr2", "host1"), ("cr3", "host2")):
                of.create({"metadata": {"name": name}, "host": host, "port": "80"})
            events.until("ADDED", lambda obj: obj["metadata"]["name"] == "cr1")
            events.until("ADDED", lambda obj: obj["metadata"]["name"] == "cr2")
            assert [each["metadata"]["name"] for each in of.list(**selector)] == ["cr1", "cr2"]
            of.delete_collection(**selector)
            events.until("DELETED", lambda obj: obj["metadata"]["name"] == "cr1")
            events.until("DELETED", lambda obj: obj["metadata"]["name"] == "cr2")
        assert [each["metadata"]["name"] for each in of.list()] == ["cr3"]
        with pytest.raises(ApiError, match="field label not supported") as refused:
            of.list(fieldSelector="port=80")
        assert refused.value.code == 400


def test_ratcheting(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-api-machinery] CustomResourceValidationRatcheting MUST NOT fail to update a resource due to
    JSONSchema/CRD Validation Rule errors on unchanged fields; MUST fail … on changed fields"""
    with crds.defined(client, crds.definition(scope="Namespaced")) as made:
        of, name = crds.instances(dynamic, made, namespace=namespace), made["metadata"]["name"]
        of.create({"metadata": {"name": "cr"}, "spec": {"host": "not a host", "x": 1}})
        stricter = {
            **crds.ALLOW_ALL,
            "properties": {
                "spec": {
                    **crds.ALLOW_ALL,
                    "properties": {
                        "host": {"type": "string", "pattern": "^[a-z]+$"},
                        "x": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 10"}]},
                    },
                }
            },
        }
        path = "/spec/versions/0/schema/openAPIV3Schema"
        crds.definitions(client).patch(name, [{"op": "replace", "path": path, "value": stricter}], "json")

        def refused() -> bool:
            try:
                of.create({"metadata": {"generateName": "new-"}, "spec": {"host": "no host"}}, dryRun="All")
            except ApiError as error:
                return error.code == 422
            return False

        until("the stricter schema is in force", refused)
        assert of.patch("cr", {"spec": {"other": "changed"}})["spec"]["other"] == "changed"
        with pytest.raises(ApiError, match="should match"):
            of.patch("cr", {"spec": {"host": "still no host"}})
        with pytest.raises(ApiError, match="failed rule: self > 10"):
            of.patch("cr", {"spec": {"x": 2}})
        assert of.patch("cr", {"spec": {"x": 11, "host": "abc"}})["spec"]["x"] == 11

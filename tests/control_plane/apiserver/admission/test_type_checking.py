"""What the type check of a policy finds, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.apiserver.admission.policies import type_checking as checking
from control_plane.apiserver.admission.policies.type_checking import Checked

Object = dict[str, Any]

COMPONENTS: Object = {
    "Deployment": {
        "type": "object",
        "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}],
        "properties": {"spec": {"allOf": [{"$ref": "#/components/schemas/Spec"}], "default": {}}},
    },
    "Spec": {
        "type": "object",
        "properties": {
            "replicas": {"type": "integer", "format": "int32"},
            "maxSurge": {"$ref": "#/components/schemas/IntOrString"},
            "nested": {"$ref": "#/components/schemas/Spec"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
    "IntOrString": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}


def checked(**spec: Any) -> list[Object]:
    schema = checking.kind_schema(COMPONENTS, "apps", "v1", "Deployment")
    assert schema is not None
    types = [Checked("apps", "v1", "Deployment", checking.object_type(schema, COMPONENTS))]
    return checking.check({"spec": spec}, types)


@pytest.mark.parametrize(
    ("expression", "warning"),
    [
        ("object.spec.replicas > 1", ""),
        ("object.spec.maxSurge == 'a' || object.spec.maxSurge > 1", ""),
        ("object.spec.nested.nested.replicas > 1 && 'a' in oldObject.spec.labels", ""),
        ("object.spec.replicas > '1'", "found no matching overload for '_>_' applied to '(int, string)'"),
        (
            "object.replicas > 1",
            "ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n | ......^",
        ),
        ("variables.half > 'x'", "found no matching overload for '_>_' applied to '(int, string)'"),
        ("object.spec.labels['a'] + 1 == 2", "found no matching overload"),
        ("request.name == 'x' && namespaceObject.metadata.name == 'x'", ""),
    ],
)
def test_expressions(expression: str, warning: str) -> None:
    found = checked(
        variables=[{"name": "half", "expression": "object.spec.replicas / 2"}],
        validations=[{"expression": "true"}, {"expression": expression}],
    )
    if not warning:
        assert found == []
        return
    assert [each["fieldRef"] for each in found] == ["spec.validations[1].expression"]
    assert found[0]["warning"].startswith("apps/v1, Kind=Deployment: ERROR: ")
    assert warning in found[0]["warning"]


def test_message_expressions() -> None:
    [found] = checked(
        validations=[{"expression": "true", "messageExpression": "'got ' + object.spec.replicas"}]
    )
    assert found["fieldRef"] == "spec.validations[0].messageExpression"
    assert "found no matching overload for '_+_' applied to '(string, int)'" in found["warning"]


def test_what_is_checked() -> None:
    def rule(groups: list[str], versions: list[str], resources: list[str]) -> Object:
        return {"apiGroups": groups, "apiVersions": versions, "resources": resources}

    rules = [
        rule(["apps"], ["v1"], ["deployments", "deployments/scale", "*"]),
        rule(["*"], ["v1"], ["x"]),
        rule([""], ["*", "v1"], ["pods"]),
    ]
    policy = {"spec": {"matchConstraints": {"resourceRules": rules}}}
    assert checking.resources_of(policy) == [("", "v1", "pods"), ("apps", "v1", "deployments")]
    assert checking.resources_of({"spec": {}}) == []
    assert checking.check({"spec": {"validations": [{"expression": "object.x > 'a'"}]}}, []) == []

"""Rules of FlowSchemas and PriorityLevelConfigurations, in kube-apiserver's words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api import flowcontrol
from control_plane.api.validation.flowcontrol import flow_schema, priority_level

Object = dict[str, Any]


def schema(**spec: Any) -> Object:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "a"}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    base = {"priorityLevelConfiguration": {"name": "level"}, "matchingPrecedence": 500, "rules": [rule]}
    return {"metadata": {"name": "x"}, "spec": {**base, **spec}}


def ruled(**rule: Any) -> Object:
    return schema(rules=[{"subjects": [{"kind": "Group", "group": {"name": "g"}}], **rule}])


def resource_rule(**more: Any) -> Object:
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a"], **more}
    return ruled(resourceRules=[rule])


def level(name: str = "x", **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"type": "Limited", **spec}}


def limited(**more: Any) -> Object:
    return level(limited={"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}, **more})


def queued(**queuing: int) -> Object:
    whole = {"queues": 64, "handSize": 6, "queueLengthLimit": 50, **queuing}
    return limited(limitResponse={"type": "Queue", "queuing": whole})


def messages(found: Any) -> str:
    return "; ".join(f"{each.field}: {each.detail or each.type.value}" for each in found)


@pytest.mark.parametrize(
    "obj", [*flowcontrol.mandatory_schemas(), *flowcontrol.suggested_schemas(), schema(), resource_rule()]
)
def test_good_schemas(obj: Object) -> None:
    assert messages(flow_schema(obj)) == ""


@pytest.mark.parametrize(
    "obj", [*flowcontrol.mandatory_levels(), *flowcontrol.suggested_levels(), limited(), queued()]
)
def test_good_levels(obj: Object) -> None:
    assert messages(priority_level(obj)) == ""


@pytest.mark.parametrize(
    ("obj", "why"),
    [
        (schema(matchingPrecedence=-1), "spec.matchingPrecedence: must be a positive value"),
        (schema(matchingPrecedence=10001), "must not be greater than 10000"),
        (schema(matchingPrecedence=1), "only the schema named 'exempt'"),
        (schema(distinguisherMethod={"type": "x"}), 'supported values: "ByNamespace", "ByUser"'),
        (schema(priorityLevelConfiguration={}), "must reference a priority level"),
        (
            schema(priorityLevelConfiguration={"name": "A"}),
            "priorityLevelConfiguration.name: a lowercase RFC",
        ),
        (schema(rules=[{}]), "subjects must contain at least one value"),
        (ruled(), "at least one of resourceRules and nonResourceRules"),
        (
            schema(rules=[{"subjects": [{"kind": "Role"}]}]),
            'supported values: "Group", "ServiceAccount", "User"',
        ),
        (schema(rules=[{"subjects": [{"kind": "User"}]}]), "user is required when subject kind is 'User'"),
        (
            schema(rules=[{"subjects": [{"kind": "User", "user": {"name": "a"}, "group": {}}]}]),
            "group is forbidden when subject kind is not 'Group'",
        ),
        (
            schema(rules=[{"subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": "*"}}]}]),
            "must specify namespace for service account",
        ),
        (resource_rule(verbs=[]), "verbs must contain at least one value"),
        (resource_rule(verbs=["*", "get"]), "if '*' is present, must not specify other verbs"),
        (resource_rule(verbs=["fetch"]), 'supported values: "create", "delete"'),
        (resource_rule(apiGroups=[]), "must supply at least one api group"),
        (resource_rule(namespaces=[]), "not cluster scoped must supply at least one namespace"),
        (resource_rule(namespaces=["A"]), "must be '*' or a DNS-1123 label"),
        (ruled(nonResourceRules=[{"verbs": ["get"], "nonResourceURLs": ["x"]}]), "must start with slash"),
        (ruled(nonResourceRules=[{"verbs": ["get"], "nonResourceURLs": ["/a*"]}]), "suffix matching"),
    ],
)
def test_bad_schemas(obj: Object, why: str) -> None:
    assert why in messages(flow_schema(obj))


@pytest.mark.parametrize(
    ("obj", "why"),
    [
        (level(type="Exempt", exempt={}), "type must be 'Exempt' if and only if name is 'exempt'"),
        (level(type="Other"), 'supported values: "Exempt", "Limited"'),
        (level(), "spec.limited: must not be empty when type is Limited"),
        (limited(nominalConcurrencyShares=-1), "must be a non-negative integer"),
        (limited(lendablePercent=101), "must be between 0 and 100, inclusive"),
        (limited(borrowingLimitPercent=-1), "borrowingLimitPercent"),
        (limited(limitResponse={"type": "Other"}), 'supported values: "Queue", "Reject"'),
        (limited(limitResponse={"type": "Queue"}), "queuing: must not be empty"),
        (limited(limitResponse={"type": "Reject", "queuing": {}}), "queuing: must be nil"),
        (queued(queues=0), "queues: must be positive"),
        (queued(queues=10_000_001), "must not be greater than 10000000"),
        (queued(handSize=65), "should not be greater than queues (64)"),
        (queued(queues=10_000_000, handSize=9_000_000), "required entropy bits"),
    ],
)
def test_bad_levels(obj: Object, why: str) -> None:
    assert why in messages(priority_level(obj))


def test_the_mandatory_ones_are_fixed() -> None:
    schemas, levels = flowcontrol.mandatory_schemas(), flowcontrol.mandatory_levels()
    schemas[1]["spec"]["matchingPrecedence"] = 9999
    assert "spec of 'catch-all' must equal the fixed value" in messages(flow_schema(schemas[1]))
    levels[1]["spec"]["limited"]["nominalConcurrencyShares"] = 6
    assert "spec of 'catch-all' must equal the fixed value" in messages(priority_level(levels[1]))
    shared = deepcopy(levels[0])
    shared["spec"]["exempt"]["nominalConcurrencyShares"] = 7
    assert messages(priority_level(shared)) == ""

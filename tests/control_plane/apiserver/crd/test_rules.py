"""x-kubernetes-validations: what rules find, and how they say it."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.apiserver.crd import rules
from control_plane.apiserver.crd.rules import Rules
from tests.control_plane.apiserver.crd.samples import spec_schema

Object = dict[str, Any]

INTS: Object = {"min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"}}


def judged(schema: Object, new: Object, old: Object | None = None) -> list[str]:
    return [str(each) for each in Rules(schema).validate(new, old)]


def on_spec(*declared: Object, properties: Object = INTS) -> Object:
    return spec_schema(properties, **{"x-kubernetes-validations": list(declared)})


def spec(**fields: Any) -> Object:
    return {"apiVersion": "x.io/v1", "kind": "X", "metadata": {"name": "x"}, "spec": fields}


CASES = [
    ({"rule": "self.min <= self.max"}, spec(min=1, max=2), []),
    (
        {"rule": "self.min <= self.max"},
        spec(min=3, max=2),
        ["spec: Invalid value: failed rule: self.min <= self.max"],
    ),
    (
        {"rule": "self.min <= self.max", "message": " min is too large "},
        spec(min=3, max=2),
        ["spec: Invalid value: min is too large"],
    ),
    (
        {"rule": "self.min <= self.max", "messageExpression": "'min is %d'.format([self.min])"},
        spec(min=3, max=2),
        ["spec: Invalid value: min is 3"],
    ),
    (
        {
            "rule": "self.min <= self.max",
            "message": "plain",
            "messageExpression": "string(1 / (self.max - 2))",
        },
        spec(min=3, max=2),
        ["spec: Invalid value: plain"],
    ),
    (
        {"rule": "self.min <= self.max", "fieldPath": ".min", "reason": "FieldValueForbidden"},
        spec(min=3, max=2),
        ["spec.min: Forbidden: failed rule: self.min <= self.max"],
    ),
    (
        {"rule": "has(self.name)", "fieldPath": ".name", "reason": "FieldValueRequired", "message": "say it"},
        spec(min=3),
        ["spec.name: Required value: say it"],
    ),
    (
        {"rule": "self.min <= self.max"},
        spec(min=1),
        ['spec: Invalid value: "object": no such key: max evaluating rule: self.min <= self.max'],
    ),
]


@pytest.mark.parametrize(("rule", "obj", "found"), CASES, ids=lambda each: str(each)[:60])
def test_rule(rule: Object, obj: Object, found: list[str]) -> None:
    assert judged(on_spec(rule), obj) == found


def test_rules_of_scalars_and_elements_name_their_place() -> None:
    positive = {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]}
    schema = spec_schema(
        {
            "many": {"type": "array", "items": positive},
            "named": {"type": "object", "additionalProperties": positive},
            "one": positive,
        }
    )
    found = judged(schema, spec(many=[1, -1], named={"a": 0}, one=-5))
    assert found == [
        "spec.many[1]: Invalid value: -1: failed rule: self > 0",
        "spec.named.a: Invalid value: 0: failed rule: self > 0",
        "spec.one: Invalid value: -5: failed rule: self > 0",
    ]


def test_the_root_sees_name_kind_and_version() -> None:
    schema = {
        **spec_schema(INTS),
        "x-kubernetes-validations": [{"rule": "self.metadata.name.startsWith('y')"}],
    }
    assert judged(schema, spec()) == ["<nil>: Invalid value: failed rule: self.metadata.name.startsWith('y')"]


TRANSITIONS = [
    ("unchanged", {"rule": "self.name == oldSelf.name"}, spec(name="a"), spec(name="a"), 0),
    ("changed", {"rule": "self.name == oldSelf.name"}, spec(name="b"), spec(name="a"), 1),
    ("nothing before", {"rule": "self.name == oldSelf.name"}, spec(name="b"), None, 0),
    (
        "optional before",
        {"rule": "oldSelf.hasValue() || self.min == 0", "optionalOldSelf": True},
        spec(min=1),
        None,
        1,
    ),
    (
        "optional, there",
        {"rule": "oldSelf.optMap(o, o.min < self.min).orValue(false)", "optionalOldSelf": True},
        spec(min=2),
        spec(min=1),
        0,
    ),
]


@pytest.mark.parametrize(
    ("what", "rule", "new", "old", "count"), TRANSITIONS, ids=[each[0] for each in TRANSITIONS]
)
def test_transition(what: str, rule: Object, new: Object, old: Object | None, count: int) -> None:
    assert len(judged(on_spec(rule), new, old)) == count


def test_elements_of_keyed_lists_have_a_past() -> None:
    item = {
        "type": "object",
        "properties": {"key": {"type": "string"}, "value": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.value >= oldSelf.value"}],
    }
    keyed = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["key"],
    }
    old = spec(list=[{"key": "a", "value": 2}, {"key": "b", "value": 2}])
    new = spec(list=[{"key": "b", "value": 1}, {"key": "a", "value": 3}, {"key": "c", "value": 0}])
    found = judged(spec_schema({"list": keyed}), new, old)
    assert found == ["spec.list[0]: Invalid value: failed rule: self.value >= oldSelf.value"]


def test_what_was_wrong_before_and_stays_is_let_be() -> None:
    schema = on_spec({"rule": "self.min <= self.max"})
    wrong = spec(min=3, max=2)
    relabelled = {**wrong, "metadata": {"name": "x", "labels": {"a": "b"}}}
    assert judged(schema, relabelled, wrong) == []
    assert len(judged(schema, spec(min=4, max=2), wrong)) == 1


def test_formats_are_typed() -> None:
    properties = {
        "when": {"type": "string", "format": "date-time"},
        "long": {"type": "string", "format": "duration"},
        "raw": {"type": "string", "format": "byte"},
        "ratio": {"type": "number"},
        "either": {"x-kubernetes-int-or-string": True},
    }
    rule = (
        "self.when < timestamp('2030-01-01T00:00:00Z') && self.long == duration('1h') && self.raw == b'hi' "
        "&& self.ratio == 1.0 && (type(self.either) == int ? self.either == 5 : self.either == '5')"
    )
    fields = {"when": "2024-01-01T00:00:00Z", "long": "60m", "raw": "aGk=", "ratio": 1, "either": 5}
    assert judged(on_spec({"rule": rule}, properties=properties), spec(**fields)) == []


def test_sets_have_no_order() -> None:
    tags = {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}
    rule = {"rule": "self.one == self.other && (self.one + self.other).size() == 2"}
    schema = on_spec(rule, properties={"one": tags, "other": tags})
    assert judged(schema, spec(one=["a", "b"], other=["b", "a"])) == []


def test_one_rule_that_costs_too_much_stops_all() -> None:
    many = {"type": "array", "items": {"type": "integer"}}
    dear = {"rule": "self.many.all(a, self.many.all(b, self.many.all(c, a + b + c >= 0)))"}
    schema = on_spec(dear, {"rule": "false"}, properties={"many": many})
    found = judged(schema, spec(many=list(range(200))))
    assert len(found) == 1
    assert "no further validation rules will be run due to call cost exceeds limit for rule" in found[0]


def test_all_rules_share_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "RUNTIME_COST_BUDGET", 5000)
    item = {"type": "integer", "x-kubernetes-validations": [{"rule": "[1, 2, 3].all(x, x + self > 0)"}]}
    schema = spec_schema({"many": {"type": "array", "items": item}})
    found = judged(schema, spec(many=[1] * 1000))
    assert len(found) == 1
    assert rules.OUT_OF_BUDGET in found[0]

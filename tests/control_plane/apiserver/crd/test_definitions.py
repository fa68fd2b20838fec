"""What is wrong with a CustomResourceDefinition, in kube-apiserver's words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api import defaults
from control_plane.api.registry import Registry
from control_plane.api.strategy import strategy_for
from control_plane.api.validation import validate_create, validate_update
from control_plane.apiserver.crd import definition as rules
from tests.control_plane.apiserver.crd.samples import definition, spec_schema, version, with_schema

Object = dict[str, Any]

RESOURCE = Registry.builtin().find("apiextensions.k8s.io", "customresourcedefinitions")
ROOT = "spec.versions[0].schema.openAPIV3Schema"


def made(crd: Object) -> Object:
    obj = deepcopy(crd)
    defaults.apply("apiextensions.k8s.io", "v1", "CustomResourceDefinition", obj)
    assert RESOURCE is not None
    strategy_for(RESOURCE).prepare_for_create(obj)
    return obj


def found(crd: Object) -> list[str]:
    assert RESOURCE is not None
    assert RESOURCE.group_resource == rules.DEFINITIONS
    return [str(each) for each in validate_create(RESOURCE, made(crd))]


def test_a_good_one() -> None:
    assert found(definition()) == []
    assert found(definition(version("v1"), version("v2", storage=False))) == []


def changed(**spec: Any) -> Object:
    crd = definition()
    crd["spec"] |= spec
    return crd


def renamed(**names: Any) -> Object:
    crd = definition()
    crd["spec"]["names"] |= names
    return crd


DEFINITION_CASES = [
    (
        "name",
        {**definition(), "metadata": {"name": "x.y"}},
        ['metadata.name: Invalid value: "x.y": must be spec.names.plural+"."+spec.group'],
    ),
    (
        "scope",
        changed(scope="Galaxy"),
        ['spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'],
    ),
    (
        "kind is list kind",
        renamed(listKind="CronTab"),
        ['spec.names.listKind: Invalid value: "CronTab": kind and listKind may not be the same'],
    ),
    (
        "preserveUnknownFields",
        changed(preserveUnknownFields=True),
        [
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
            "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        ],
    ),
    (
        "webhook without configuration",
        changed(conversion={"strategy": "Webhook"}),
        [
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
            "spec.conversion.conversionReviewVersions: Required value",
        ],
    ),
    (
        "column type",
        definition(version(additionalPrinterColumns=[{"name": "X", "type": "text", "jsonPath": ".x"}])),
        [
            'spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "text": '
            "must be one of boolean,date,integer,number,string"
        ],
    ),
    (
        "column path",
        definition(version(additionalPrinterColumns=[{"name": "X", "type": "string", "jsonPath": "x"}])),
        [
            'spec.versions[0].additionalPrinterColumns[0].JSONPath: Invalid value: "x": '
            "must be a simple json path starting with ."
        ],
    ),
    (
        "selectable field",
        definition(version(selectableFields=[{"jsonPath": ".spec.hosts"}, {"jsonPath": ".spec.none"}])),
        [
            'spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".spec.hosts": must point to a field of '
            "type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            'spec.versions[0].selectableFields[1].jsonPath: Invalid value: ".spec.none": is an invalid path: '
            "does not refer to a valid field",
        ],
    ),
    (
        "scale path",
        definition(
            version(subresources={"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.x"}})
        ),
        [
            'spec.versions[0].subresources.scale.specReplicasPath: Invalid value: ".x": '
            "should be a json path under .spec"
        ],
    ),
    (
        "no schema",
        definition({"name": "v1", "served": True, "storage": True}),
        [f"{ROOT}: Required value"],
    ),
    (
        "protected group",
        definition(group="x.k8s.io"),
        [
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval "
            'annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111'
        ],
    ),
]


@pytest.mark.parametrize(
    ("what", "crd", "expected"), DEFINITION_CASES, ids=[each[0] for each in DEFINITION_CASES]
)
def test_definition(what: str, crd: Object, expected: list[str]) -> None:
    assert found(crd) == expected


def nested(keyword: str, inner: Object) -> Object:
    return {**spec_schema({"a": {"type": "string"}}), keyword: [inner]}


def field(schema: Object) -> Object:
    return spec_schema({"a": schema})


A = f"{ROOT}.properties[spec].properties[a]"
STRUCTURAL_CASES = [
    ("no type", field({}), [f"{A}.type: Required value: must not be empty for specified object fields"]),
    (
        "no type of items",
        field({"type": "array", "items": {}}),
        [f"{A}.items.type: Required value: must not be empty for specified array items"],
    ),
    ("no items", field({"type": "array"}), [f"{A}.items: Required value: must be specified"]),
    ("root type", {"type": "string"}, [f'{ROOT}.type: Invalid value: "string": must be object at the root']),
    ("no root type", {"properties": {}}, [f"{ROOT}.type: Required value: must not be empty at the root"]),
    (
        "additionalProperties at the root",
        {"type": "object", "additionalProperties": {"type": "string"}},
        [f"{ROOT}.additionalProperties: Forbidden: must not be used at the root"],
    ),
    (
        "metadata",
        {
            "type": "object",
            "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
        },
        [
            f"{ROOT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, "
            "but metadata is implicitly specified"
        ],
    ),
    (
        "type in anyOf",
        nested("anyOf", {"type": "object"}),
        [f"{ROOT}.anyOf[0].type: Forbidden: must be empty to be structural"],
    ),
    (
        "incomplete",
        nested("oneOf", {"properties": {"b": {"minLength": 1}}}),
        [
            f"{ROOT}.properties[b]: Required value: because it is defined in {ROOT}.oneOf[0].properties[b]",
        ],
    ),
    (
        "default in allOf",
        nested("allOf", {"properties": {"spec": {"default": {}}}}),
        [f"{ROOT}.allOf[0].properties[spec].default: Forbidden: must be undefined to be structural"],
    ),
    (
        "int-or-string that keeps fields",
        field({"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True}),
        [
            f"{A}.x-kubernetes-preserve-unknown-fields: Invalid value: true: "
            "must be false if x-kubernetes-int-or-string is true"
        ],
    ),
    (
        "embedded without fields",
        field({"type": "object", "x-kubernetes-embedded-resource": True}),
        [
            f"{A}.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields"
        ],
    ),
    (
        "int-or-string pattern",
        field({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        [],
    ),
    (
        "unknown type",
        field({"type": "int"}),
        [
            f'{A}.type: Unsupported value: "int": supported values: "array", "boolean", "integer", "number", '
            '"object", "string"'
        ],
    ),
    ("reference", field({"type": "object", "$ref": "#/x"}), [f"{A}.$ref: Forbidden: $ref is not supported"]),
    (
        "unique items",
        field({"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        [
            f"{A}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes "
            "quadratic"
        ],
    ),
    (
        "both kinds of properties",
        field(
            {
                "type": "object",
                "properties": {"b": {"type": "string"}},
                "additionalProperties": {"type": "string"},
            }
        ),
        [f"{A}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
    ),
    (
        "keys of a list",
        field(
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["b"],
                "items": {"type": "object", "properties": {"b": {"type": "string"}}},
            }
        ),
        [
            f"{A}.items.properties[b].default: Required value: this property is in x-kubernetes-list-map-keys, "
            "so it must have a default or be a required property"
        ],
    ),
    (
        "wrong default",
        field({"type": "integer", "default": "x"}),
        [f'{A}.default: Invalid value: "string": {A}.default in body must be of type integer: "string"'],
    ),
    (
        "default that would be pruned",
        field({"type": "object", "properties": {}, "default": {"b": 1}}),
        [f'{A}.default: Invalid value: {{"b":1}}: must not have unknown fields'],
    ),
]


@pytest.mark.parametrize(
    ("what", "schema", "expected"), STRUCTURAL_CASES, ids=[each[0] for each in STRUCTURAL_CASES]
)
def test_schema(what: str, schema: Object, expected: list[str]) -> None:
    assert found(with_schema(schema)) == expected


def ruled(rule: Object, schema: Object | None = None) -> Object:
    return field({**(schema or {"type": "integer"}), "x-kubernetes-validations": [rule]})


DEAR = (
    "exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and "
    "maxLength where arrays, maps, and strings are declared)"
)
RULE = f"{A}.x-kubernetes-validations[0]"
RULE_CASES = [
    ("good", ruled({"rule": "self > 0", "messageExpression": "'x'"}), []),
    ("empty", ruled({"rule": " "}), [f"{RULE}.rule: Required value: rule is not specified"]),
    (
        "does not compile",
        ruled({"rule": "self.x"}),
        [
            f'{RULE}.rule: Invalid value: {{"rule":"self.x"}}: compilation failed: ERROR: <input>:1:5: '
            "type 'int' does not support field selection\n | self.x\n | ....^"
        ],
    ),
    (
        "no boolean",
        ruled({"rule": "self + 1"}),
        [f'{RULE}.rule: Invalid value: {{"rule":"self + 1"}}: cel expression must evaluate to a bool'],
    ),
    (
        "message is no string",
        ruled({"rule": "true", "messageExpression": "1"}),
        [
            f'{RULE}.messageExpression: Invalid value: {{"rule":"true","messageExpression":"1"}}: '
            "messageExpression must evaluate to a string"
        ],
    ),
    (
        "reason",
        ruled({"rule": "true", "reason": "Because"}),
        [
            f'{RULE}.reason: Unsupported value: "Because": supported values: "FieldValueDuplicate", '
            '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"'
        ],
    ),
    (
        "fieldPath",
        ruled({"rule": "true", "fieldPath": ".b"}),
        [f'{RULE}.fieldPath: Invalid value: ".b": must be a valid path'],
    ),
    (
        "past of what has none",
        field(
            {
                "type": "array",
                "maxItems": 2,
                "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > oldSelf"}]},
            }
        ),
        [
            f'{A}.items.x-kubernetes-validations[0].rule: Invalid value: "self > oldSelf": oldSelf cannot be used '
            f"on the uncorrelatable portion of the schema within {A}"
        ],
    ),
    (
        "costs too much",
        ruled(
            {"rule": "self.all(x, self.all(y, x != y || x == y))"},
            {"type": "array", "items": {"type": "string"}},
        ),
        [
            f"{RULE}.rule: Forbidden: estimated rule cost {DEAR}",
            f"{RULE}.rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire "
            "OpenAPIv3 schema",
            f"{ROOT}: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema "
            f"{DEAR}",
        ],
    ),
    (
        "bounded",
        ruled(
            {"rule": "self.all(x, self.all(y, x != y || x == y))"},
            {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 10}},
        ),
        [],
    ),
]


@pytest.mark.parametrize(("what", "schema", "expected"), RULE_CASES, ids=[each[0] for each in RULE_CASES])
def test_rule(what: str, schema: Object, expected: list[str]) -> None:
    assert found(with_schema(schema)) == expected


def test_what_cannot_be_changed() -> None:
    assert RESOURCE is not None
    old = made(definition())
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    new = deepcopy(old)
    new["spec"]["scope"] = "Cluster"
    new["spec"]["names"]["kind"] = "Other"
    told = [str(each) for each in validate_update(RESOURCE, new, old)]
    assert told == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Other": field is immutable',
    ]

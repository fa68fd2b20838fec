"""The pure parts: values against schemas, pruning, defaults, formats, paths, columns, correlation."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.apiserver.crd import defaulting, formats, jsonpath, listtypes, validate
from control_plane.apiserver.crd.columns import Columns
from control_plane.apiserver.crd.prune import prune

Object = dict[str, Any]

VALUES: list[tuple[Any, Object, list[str]]] = [
    (1, {"type": "integer"}, []),
    (1.0, {"type": "integer"}, []),
    (1, {"type": "number"}, []),
    (
        True,
        {"type": "integer"},
        ['x: Invalid value: "boolean": x in body must be of type integer: "boolean"'],
    ),
    (None, {"type": "string"}, ['x: Invalid value: "null": x in body must be of type string: "null"']),
    (None, {"type": "string", "nullable": True}, []),
    ("5", {"x-kubernetes-int-or-string": True}, []),
    ("abcdef", {"type": "string", "maxLength": 5}, ["x: Too long: may not be more than 5 bytes"]),
    (
        "a",
        {"type": "string", "minLength": 2},
        ['x: Invalid value: "a": x in body should be at least 2 chars long'],
    ),
    (
        5,
        {"type": "integer", "minimum": 6},
        ["x: Invalid value: 5: x in body should be greater than or equal to 6"],
    ),
    (
        5,
        {"type": "integer", "maximum": 5, "exclusiveMaximum": True},
        ["x: Invalid value: 5: x in body should be less than 5"],
    ),
    (5, {"type": "integer", "multipleOf": 2}, ["x: Invalid value: 5: x in body should be a multiple of 2"]),
    (0.3, {"type": "number", "multipleOf": 0.1}, []),
    ([1, 2, 3], {"type": "array", "maxItems": 2}, ["x: Too many: 3: must have at most 2 items"]),
    ([], {"type": "array", "minItems": 1}, ["x: Invalid value: 0: x in body should have at least 1 items"]),
    (
        {"a": "b"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        ['x.a: Invalid value: "string": x.a in body must be of type integer: "string"'],
    ),
    ({}, {"type": "object", "required": ["a"]}, ["x.a: Required value"]),
    (
        1 << 40,
        {"type": "integer", "format": "int32"},
        ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in x'],
    ),
    (
        "1.2.3",
        {"type": "string", "format": "ipv4"},
        ['x: Invalid value: "1.2.3": x in body must be of type ipv4: "1.2.3"'],
    ),
    (
        3,
        {"type": "integer", "oneOf": [{"minimum": 5}, {"maximum": 1}]},
        [
            '<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found none valid',
            "x: Invalid value: 3: x in body should be greater than or equal to 5",
        ],
    ),
    (
        3,
        {"type": "integer", "not": {"minimum": 2}},
        ['<nil>: Invalid value: "": "x" must not validate the schema (not)'],
    ),
    (
        3,
        {"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]},
        [
            '<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)',
            "x: Invalid value: 3: x in body should be greater than or equal to 5",
        ],
    ),
]


@pytest.mark.parametrize(("value", "schema", "found"), VALUES, ids=lambda each: str(each)[:50])
def test_value(value: Any, schema: Object, found: list[str]) -> None:
    assert [str(each) for each in validate.validate(value, schema, "x")] == found


def test_what_was_wrong_and_stays_is_let_be() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer", "maximum": 1}, "b": {"type": "string"}},
    }
    old = {"a": 5, "b": "x"}
    assert list(validate.validate({"a": 5, "b": "y"}, schema, "", old)) == []
    assert len(list(validate.validate({"a": 6, "b": "y"}, schema, "", old))) == 1


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1"), (1.5, "1.5"), (1e6, "1e+06"), (123456, "123456"), (1e-7, "1e-07"), (-3, "-3")],
)
def test_a_bound_is_shown_as_go_does(number: float, text: str) -> None:
    assert validate.number(number) == text


FORMATS = [
    ("date-time", "2024-01-01T00:00:00Z", "2024-13-01T00:00:00Z"),
    ("date", "2024-02-29", "2023-02-29"),
    ("duration", "1h30m", "one hour"),
    ("email", "a@b.c", "a"),
    ("hostname", "a.b-c", "-a"),
    ("ipv4", "1.2.3.4", "::1"),
    ("ipv6", "::1", "1.2.3.4"),
    ("cidr", "10.0.0.0/8", "10.0.0.0"),
    ("uri", "https://x/y", "x y"),
    ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
    ("byte", "aGk=", "h?"),
    ("mac", "00:11:22:33:44:55", "00:11"),
    ("isbn10", "0-321-14653-0", "0-321-14653-1"),
    ("isbn13", "978-0-321-14653-3", "978-0-321-14653-4"),
    ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
    ("hexcolor", "#fff", "#ff"),
]


@pytest.mark.parametrize(("name", "good", "bad"), FORMATS, ids=[each[0] for each in FORMATS])
def test_format(name: str, good: str, bad: str) -> None:
    assert formats.is_valid(name, good)
    assert not formats.is_valid(name, bad)
    assert formats.is_valid("nobody-knows", bad)


OPEN: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
PRUNED: list[tuple[str, Object, Object, list[str]]] = [
    ("unknown", {"properties": {"a": {"type": "string"}}}, {"a": "x", "b": 1}, ["b"]),
    (
        "below open is closed",
        {"properties": {"a": {**OPEN, "properties": {"b": {"type": "object", "properties": {}}}}}},
        {"a": {"x": 1, "b": {"y": 1}}},
        ["a.b.y"],
    ),
    (
        "lists and maps",
        {
            "properties": {
                "l": {"type": "array", "items": {"type": "object", "properties": {"a": {}}}},
                "m": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {}}}},
            }
        },
        {"l": [{"a": 1, "b": 1}], "m": {"k": {"a": 1, "b": 1}}},
        ["l[0].b", "m.k.b"],
    ),
    (
        "embedded",
        {
            "properties": {
                "e": {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": OPEN}}
            }
        },
        {"e": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"y": 1}, "z": 1}},
        ["e.z"],
    ),
    (
        "metadata is not the schema's",
        {"properties": {}},
        {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}},
        [],
    ),
]


@pytest.mark.parametrize(("what", "schema", "obj", "dropped"), PRUNED, ids=[each[0] for each in PRUNED])
def test_prune(what: str, schema: Object, obj: Object, dropped: list[str]) -> None:
    pruned = deepcopy(obj)
    assert prune(pruned, {"type": "object", **schema}) == dropped
    assert prune(pruned, {"type": "object", **schema}) == []


def test_defaults_from_the_outside_to_the_inside() -> None:
    schema = {
        "properties": {
            "a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 1}}},
            "l": {"type": "array", "items": {"type": "object", "properties": {"c": {"default": "x"}}}},
            "n": {"type": "string", "default": "n"},
            "k": {"type": "string", "default": "k", "nullable": True},
        }
    }
    obj: Object = {"l": [{}, {"c": "y"}], "n": None, "k": None}
    defaulting.default(obj, schema)
    assert obj == {"a": {"b": 1}, "l": [{"c": "x"}, {"c": "y"}], "n": "n", "k": None}


def test_a_default_is_not_shared() -> None:
    schema = {"properties": {"a": {"type": "object", "default": {"b": [1]}}}}
    one: Object = {}
    other: Object = {}
    defaulting.default(one, schema)
    one["a"]["b"].append(2)
    defaulting.default(other, schema)
    assert other == {"a": {"b": [1]}}


def test_nulls_that_mean_nothing_go() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "string", "nullable": True}}}
    obj: Object = {"a": None, "b": None, "c": None}
    defaulting.drop_nulls(obj, schema)
    assert obj == {"b": None, "c": None}


def test_sets_and_keyed_lists() -> None:
    of_set = {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}
    assert [str(each) for each in listtypes.validate(["a", "b", "a", "a"], of_set, "x")] == [
        'x[2]: Duplicate value: "a"'
    ]
    keyed = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["a", "b"],
        "items": {"type": "object", "properties": {"a": {}, "b": {"default": 1}}},
    }
    twice = [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 2, "c": 4}]
    assert [str(each) for each in listtypes.validate(twice, keyed, "x")] == [
        'x[2]: Duplicate value: {"a":1,"b":2}'
    ]


HELD = {
    "spec": {"a": 1, "x.y": 2, "list": [{"n": "p", "v": 1}, {"n": "q", "v": 2}]},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
}
PATHS: list[tuple[str, list[Any]]] = [
    (".spec.a", [1]),
    (r".spec.x\.y", [2]),
    (".spec['x.y']", [2]),
    (".spec.list[0].n", ["p"]),
    (".spec.list[-1].n", ["q"]),
    (".spec.list[*].v", [1, 2]),
    (".spec.list[0:1].v", [1]),
    ("..n", ["p", "q"]),
    ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
    (".status.conditions[?(@.type != 'Ready')].status", ["False"]),
    (".spec.list[?(@.v > 1)].n", ["q"]),
    (".missing.x", []),
]


@pytest.mark.parametrize(("path", "found"), PATHS, ids=[each[0] for each in PATHS])
def test_json_path(path: str, found: list[Any]) -> None:
    assert jsonpath.find(path, HELD) == found


@pytest.mark.parametrize("path", [".a[", ".a[?(@.b==)]", ".a b"])
def test_what_is_no_json_path(path: str) -> None:
    with pytest.raises(jsonpath.JSONPathError):
        jsonpath.compile_path(path)


def test_cells() -> None:
    declared = [
        {"name": "S", "type": "string", "jsonPath": ".s"},
        {"name": "I", "type": "integer", "jsonPath": ".i"},
        {"name": "B", "type": "boolean", "jsonPath": ".b"},
        {"name": "D", "type": "date", "jsonPath": ".d"},
        {"name": "W", "type": "integer", "jsonPath": ".s"},
        {"name": "N", "type": "string", "jsonPath": ".nothing"},
        {"name": "O", "type": "string", "jsonPath": ".o"},
    ]
    obj = {
        "metadata": {"name": "x"},
        "s": "t",
        "i": 3,
        "b": True,
        "d": "1970-01-01T00:00:00Z",
        "o": {"k": [1]},
    }
    assert Columns(declared).cells(obj, 60.0) == ["x", "t", 3, True, "60s", None, None, '{"k":[1]}']
    assert [each["name"] for each in Columns(()).definitions] == ["Name", "Age"]

"""Fields that have become atomic since they were written: who owned a part owns the whole."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from control_plane.api.errors import StatusError
from control_plane.api.schema import Node, from_openapi
from control_plane.apiserver.patch.apply import apply, track, trees
from tests.control_plane.apiserver.patch.drive import drive

Object = dict[str, Any]
T1, T2 = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"
PART = {"f:spec": {"f:list": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:value": {}}}}}
WHOLE = {"f:spec": {"f:list": {}}}


def schema(**of_list: Any) -> Node:
    item = {"type": "object", "properties": {"name": {"type": "string"}, "value": {"type": "integer"}}}
    spec = {"list": {"type": "array", "items": item, **of_list}, "map": {"type": "object"}}
    properties = {"spec": {"type": "object", "properties": spec}}
    return from_openapi({"type": "object", "properties": properties})


GRANULAR = schema(**{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]})
ATOMIC = schema(**{"x-kubernetes-list-type": "atomic"})


def obj(*items: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "x/v1",
        "kind": "X",
        "metadata": {"name": "x"},
        "spec": {"list": list(items), **spec},
    }


A, B = {"name": "a", "value": 1}, {"name": "b", "value": 2}


def entry(manager: str, fields: Object, operation: str = "Update") -> Object:
    head = {"manager": manager, "operation": operation, "apiVersion": "x/v1", "time": T1}
    return {**head, "fieldsType": "FieldsV1", "fieldsV1": fields}


def managed(made: Object, *entries: Object) -> Object:
    return {**made, "metadata": {"name": "x", "managedFields": list(entries)}}


def kept(made: Object) -> list[tuple[str, Object]]:
    return [(each["manager"], each["fieldsV1"]) for each in made["metadata"].get("managedFields", ())]


@pytest.mark.parametrize(
    ("tree", "node", "expected"),
    [
        pytest.param(PART, GRANULAR, PART, id="granular as before"),
        pytest.param(PART, ATOMIC, WHOLE, id="atomic now"),
        pytest.param(WHOLE, GRANULAR, WHOLE, id="atomic before"),
        pytest.param({"f:gone": {"f:x": {}}}, ATOMIC, {"f:gone": {"f:x": {}}}, id="not there"),
        pytest.param(
            {"f:spec": {".": {}, **PART["f:spec"]}},
            ATOMIC,
            {"f:spec": {".": {}, "f:list": {}}},
            id="beside others",
        ),
    ],
)
def test_sets(tree: Object, node: Node, expected: Object) -> None:
    assert trees.as_declared(tree, obj(A), node) == expected


def test_an_update_takes_the_whole() -> None:
    live = managed(obj(A), entry("ann", PART))
    new = obj(A, B)
    drive(track(live, new, ATOMIC, "bob", T2, schema_changes=True))
    assert kept(new) == [("bob", WHOLE)]


def test_an_update_of_something_else_leaves_the_whole() -> None:
    live = managed(obj(A), entry("ann", PART))
    new = obj(A, map={"k": "v"})
    drive(track(live, new, ATOMIC, "bob", T2, schema_changes=True))
    assert kept(new)[0] == ("ann", WHOLE)


def test_applies_conflict_over_the_whole() -> None:
    live = managed(obj(A), entry("ann", PART, "Apply"))
    before = copy.deepcopy(live)
    with pytest.raises(StatusError, match=r'conflict with "ann": \.spec\.list'):
        drive(apply(live, obj(B), ATOMIC, "bob", False, T2, schema_changes=True))
    made = drive(apply(live, obj(B), ATOMIC, "bob", True, T2, schema_changes=True))
    assert live == before
    assert kept(made) == [("bob", WHOLE)]


def test_what_is_not_applied_any_more_goes_as_a_whole() -> None:
    live = managed(obj(A, map={"k": "v"}), entry("ann", PART, "Apply"))
    config = {"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"map": {"k": "v"}}}
    made = drive(apply(live, config, ATOMIC, "ann", False, T2, schema_changes=True))
    assert made["spec"] == {"map": {"k": "v"}}

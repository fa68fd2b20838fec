"""RFC 6902 as kube-apiserver understands it."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.apiserver.patch import json_patch
from control_plane.apiserver.patch.errors import MalformedPatch, PatchDoesNotApply, PatchTooLarge
from control_plane.apiserver.patch.json_patch import MAX_OPERATIONS, apply_json_patch


def op(kind: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, **more}


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        pytest.param({}, [op("add", "/a", value=1)], {"a": 1}, id="add member"),
        pytest.param({"a": 1}, [op("add", "/a", value=2)], {"a": 2}, id="add replaces"),
        pytest.param({"a": [1, 3]}, [op("add", "/a/1", value=2)], {"a": [1, 2, 3]}, id="add inserts"),
        pytest.param({"a": [1]}, [op("add", "/a/1", value=2)], {"a": [1, 2]}, id="add at the end by index"),
        pytest.param({"a": [1]}, [op("add", "/a/-", value=2)], {"a": [1, 2]}, id="add appends"),
        pytest.param({"a": [1]}, [op("add", "/a/-1", value=2)], {"a": [1, 2]}, id="negative index"),
        pytest.param({"a": [1, 2]}, [op("remove", "/a/-1")], {"a": [1]}, id="remove the last"),
        pytest.param({"a": {"b/c": 1}}, [op("remove", "/a/b~1c")], {"a": {}}, id="escaped slash"),
        pytest.param({"a~b": 1}, [op("replace", "/a~0b", value=2)], {"a~b": 2}, id="escaped tilde"),
        pytest.param({"a": 1}, [op("replace", "", value={"b": 2})], {"b": 2}, id="replace the whole"),
        pytest.param(
            {"metadata": {}},
            [op("replace", "/metadata/annotations", value={"x": "y"})],
            {"metadata": {"annotations": {"x": "y"}}},
            id="replace of a missing member adds it",
        ),
        pytest.param({"a": 1}, [op("move", "/b", **{"from": "/a"})], {"b": 1}, id="move"),
        pytest.param(
            {"a": [1, 2]}, [op("move", "/a/1", **{"from": "/a/0"})], {"a": [2, 1]}, id="move in list"
        ),
        pytest.param(
            {"a": {"x": 1}}, [op("copy", "/b", **{"from": "/a"})], {"a": {"x": 1}, "b": {"x": 1}}, id="copy"
        ),
        pytest.param({"a": [1]}, [op("test", "/a", value=[1])], {"a": [1]}, id="test passes"),
        pytest.param({}, [op("test", "/a", value=None)], {}, id="a missing member tests as null"),
        pytest.param({}, [], {}, id="nothing to do"),
    ],
)
def test_applies(document: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(document)
    assert apply_json_patch(document, patch) == expected
    assert document == before


@pytest.mark.parametrize(
    ("document", "operation", "message"),
    [
        pytest.param({}, op("remove", "/a"), "Unable to remove nonexistent key: a", id="remove missing"),
        pytest.param({}, op("add", "/a/b", value=1), "doc is missing path", id="add below missing"),
        pytest.param(
            {"a": [1]}, op("add", "/a/3", value=1), "Unable to access invalid index: 3", id="past end"
        ),
        pytest.param({"a": [1]}, op("add", "/a/-3", value=1), "invalid index", id="before start"),
        pytest.param({"a": [1]}, op("replace", "/a/1", value=1), "doc is missing key", id="replace past end"),
        pytest.param({"a": [1]}, op("replace", "/a/x", value=1), "doc is missing key", id="no index"),
        pytest.param({"a": 1}, op("test", "/a", value=2), "testing value /a failed", id="test fails"),
        pytest.param({"a": 1}, op("test", "/a", value=True), "testing value /a failed", id="true is not one"),
        pytest.param(
            {"a": 1}, op("test", "/a", value="1"), "testing value /a failed", id="text is not a number"
        ),
        pytest.param({"a": 1}, op("add", "a", value=2), "doc is missing path", id="path without a slash"),
        pytest.param(
            {"a": 1}, op("replace", "", value=3), "must be object or array", id="replace by a scalar"
        ),
        pytest.param({"a": 1}, op("move", "/b"), "failed to decode from", id="move from nowhere"),
        pytest.param({"a": 1}, {"op": "add"}, "failed to decode path", id="no path"),
        pytest.param({"a": 1}, op("frobnicate", "/a"), "Unexpected kind: frobnicate", id="unknown operation"),
        pytest.param({"a": 1}, {"path": "/a"}, "Unexpected kind: unknown", id="no operation"),
    ],
)
def test_does_not_apply(document: Any, operation: Any, message: str) -> None:
    with pytest.raises(PatchDoesNotApply, match=message):
        apply_json_patch(document, [operation])


@pytest.mark.parametrize("patch", [{}, "add", None, [1], [["op", "add"]]], ids=repr)
def test_malformed(patch: Any) -> None:
    with pytest.raises(MalformedPatch):
        apply_json_patch({}, patch)


def test_operations_are_limited() -> None:
    assert apply_json_patch({}, [op("add", "/a", value=1)] * MAX_OPERATIONS) == {"a": 1}
    with pytest.raises(PatchTooLarge, match="maximum operations in a JSON patch is 10000, got 10001"):
        apply_json_patch({}, [op("add", "/a", value=1)] * (MAX_OPERATIONS + 1))


def test_copies_cannot_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_patch, "MAX_COPIED_NODES", 1000)
    doubling = [op("copy", f"/a/{i}", **{"from": "/a"}) for i in range(64)]
    with pytest.raises(PatchTooLarge, match="accumulated size increase of copy"):
        apply_json_patch({"a": {}}, doubling)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~0", max_size=2), inner, max_size=3)
    ),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text("ab/~0", max_size=2), JSON, max_size=3)


@given(OBJECTS, OBJECTS)
def test_a_diff_made_by_another_library_gives_the_target(source: Any, target: Any) -> None:
    patch = jsonpatch.make_patch(source, target).patch
    assert apply_json_patch(source, patch) == target

"""Strategic merge patch: every directive, every list strategy, the order of the result, and the diff
property."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.apiserver.patch.errors import PatchError
from control_plane.apiserver.patch.strategic import apply_strategic_merge_patch
from tests.control_plane.apiserver.patch.schemas import ITEM, kubernetes

a, b, c, d = ({"name": name} for name in "abcd")
A, B, C = ({"name": name, "value": "old"} for name in "abc")


def apply(original: Any, patch: Any) -> Any:
    before = copy.deepcopy((original, patch))
    result = apply_strategic_merge_patch(original, patch, ITEM)
    assert (original, patch) == before, "inputs were changed"
    return result


@pytest.mark.parametrize(
    ("original", "patch", "expected"),
    [
        pytest.param({"name": "x"}, {"value": "1"}, {"name": "x", "value": "1"}, id="add a field"),
        pytest.param({"name": "x", "value": "1"}, {"value": None}, {"name": "x"}, id="null deletes"),
        pytest.param({}, {"value": None}, {}, id="null of nothing"),
        pytest.param(
            {}, {"child": {"name": "x", "value": None}}, {"child": {"name": "x"}}, id="null in a new map"
        ),
        pytest.param(
            {"map": {"a": "1", "b": "2"}}, {"map": {"b": "3"}}, {"map": {"a": "1", "b": "3"}}, id="map"
        ),
        pytest.param(
            {"map": {"a": "1"}}, {"map": {"b": "2", "$patch": "replace"}}, {"map": {"b": "2"}}, id="replace"
        ),
        pytest.param({"map": {"a": "1"}}, {"map": {"$patch": "delete"}}, {"map": {}}, id="delete empties"),
        pytest.param(
            {"name": "x"}, {"$patch": "replace", "value": "1"}, {"value": "1"}, id="replace at the root"
        ),
        pytest.param({"name": "x"}, {"map": {"$patch": "delete"}}, {"name": "x"}, id="delete of nothing"),
        pytest.param(
            {"replaced": {"a": 1}}, {"replaced": {"b": 2}}, {"replaced": {"b": 2}}, id="strategy replace"
        ),
        pytest.param({"values": ["1"]}, {"values": ["2"]}, {"values": ["2"]}, id="list without a strategy"),
        pytest.param({"atomic": [a]}, {"atomic": [b]}, {"atomic": [b]}, id="list of maps without a strategy"),
        pytest.param({"stranger": [1]}, {"stranger": [2]}, {"stranger": [2]}, id="unknown field"),
        pytest.param({"name": "x"}, {"name": {"y": "z"}}, {"name": {"y": "z"}}, id="another type"),
    ],
)
def test_maps_and_fields(original: Any, patch: Any, expected: Any) -> None:
    assert apply(original, patch) == expected


@pytest.mark.parametrize(
    ("original", "patch", "expected"),
    [
        pytest.param(
            [A, B], [{"name": "b", "value": "new"}], [A, {"name": "b", "value": "new"}], id="merge by key"
        ),
        pytest.param([A], [b], [b, A], id="an addition without an order comes first"),
        pytest.param([A, B], [{"name": "a", "$patch": "delete"}], [B], id="delete by key"),
        pytest.param([A, A], [{"name": "a", "$patch": "delete"}], [], id="delete all of that key"),
        pytest.param([A], [{"name": "z", "$patch": "delete"}], [A], id="delete nothing"),
        pytest.param([A, B], [{"$patch": "replace"}, c], [c], id="replace the list"),
        pytest.param([A, B], [{"$patch": "replace"}], [], id="replace with nothing"),
        pytest.param([A], [], [A], id="an empty patch of a list"),
        pytest.param([], [a], [a], id="into an empty list"),
        pytest.param([A], [{"name": "a", "value": None}], [a], id="null in an element"),
    ],
)
def test_keyed_lists(original: Any, patch: Any, expected: Any) -> None:
    assert apply({"keyed": original}, {"keyed": patch}) == {"keyed": expected}


@pytest.mark.parametrize(
    ("original", "patch", "expected"),
    [
        pytest.param(
            ["1", "2"], {"set": ["3", "1"]}, ["3", "1", "2"], id="union; the patch's items in its order"
        ),
        pytest.param(["1", "2"], {"$deleteFromPrimitiveList/set": ["1", "9"]}, ["2"], id="delete values"),
        pytest.param(
            ["1", "2", "3"],
            {"$setElementOrder/set": ["3", "4"], "set": ["4"], "$deleteFromPrimitiveList/set": ["1"]},
            ["2", "3", "4"],
            id="order, addition and deletion together",
        ),
        pytest.param(["1", "2"], {"$setElementOrder/set": ["2", "1"]}, ["2", "1"], id="order alone"),
    ],
)
def test_sets_of_primitives(original: Any, patch: Any, expected: Any) -> None:
    assert apply({"set": original}, patch) == {"set": expected}


@pytest.mark.parametrize(
    ("original", "order", "patch", "expected"),
    [
        pytest.param([a, b, c], [c, a], [], [b, c, a], id="server-only item keeps its side of its neighbour"),
        pytest.param([a, b], [a, b, c], [c], [a, b, c], id="append"),
        pytest.param([a, b], [c, a, b], [c], [c, a, b], id="prepend"),
        pytest.param([a, d], [a, c], [c], [a, c, d], id="server-only after what was not there"),
        pytest.param(
            [a, b, d], [b, c], [c, {"name": "a", "$patch": "delete"}], [b, d, c], id="place of a deleted"
        ),
        pytest.param([a, b], [b, d, a], [], [b, a], id="the order may name strangers"),
    ],
)
def test_set_element_order(original: Any, order: Any, patch: Any, expected: Any) -> None:
    body = {"$setElementOrder/keyed": order, **({"keyed": patch} if patch else {})}
    assert apply({"keyed": original}, body) == {"keyed": expected}


@pytest.mark.parametrize(
    ("original", "patch", "expected"),
    [
        pytest.param(
            {}, {"$setElementOrder/keyed": [b, a], "keyed": [a, b]}, None, id="contradicts the list"
        ),
        pytest.param(
            {}, {"$setElementOrder/keyed": [b, a], "keyed": [b, a]}, {"keyed": [b, a]}, id="a new list"
        ),
        pytest.param({}, {"$setElementOrder/keyed": [a]}, {}, id="of nothing"),
        pytest.param(
            {"keyed": [A]}, {"$setElementOrder/keyed": [a], "keyed": None}, {}, id="of a deleted list"
        ),
    ],
)
def test_set_element_order_without_a_list(original: Any, patch: Any, expected: Any) -> None:
    if expected is None:
        with pytest.raises(PatchError, match="doesn't match"):
            apply(original, patch)
    else:
        assert apply(original, patch) == expected


@pytest.mark.parametrize(
    ("original", "patch", "expected"),
    [
        pytest.param(
            {"union": {"name": "rolling", "child": {"name": "x"}}},
            {"union": {"$retainKeys": ["name"], "name": "recreate"}},
            {"union": {"name": "recreate"}},
            id="in a map",
        ),
        pytest.param(
            {"unions": [{"name": "a", "value": "1", "map": {"x": "y"}}]},
            {"unions": [{"name": "a", "$retainKeys": ["name", "map"], "map": {"z": "w"}}]},
            {"unions": [{"name": "a", "map": {"x": "y", "z": "w"}}]},
            id="in an element",
        ),
        pytest.param(
            {}, {"union": {"$retainKeys": ["name"], "name": "x"}}, {"union": {"name": "x"}}, id="in a new map"
        ),
    ],
)
def test_retain_keys(original: Any, patch: Any, expected: Any) -> None:
    assert apply(original, patch) == expected


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        pytest.param(
            {"keyed": [{"value": "x"}]}, "does not contain declared merge key: name", id="no merge key"
        ),
        pytest.param({"keyed": [{"$patch": "delete"}]}, "declared merge key: name", id="delete without key"),
        pytest.param(
            {"keyed": [{"name": "a", "$patch": "merge"}]}, "cannot yet be specified", id="merge a list"
        ),
        pytest.param(
            {"keyed": [{"name": "a", "$patch": "x"}]}, "unknown patch type: x", id="directive in a list"
        ),
        pytest.param({"map": {"$patch": "x"}}, "unknown patch type: x", id="unknown directive"),
        pytest.param({"keyed": ["a"]}, "list element types are not identical", id="mixed types"),
        pytest.param({"keyed": [["a"]]}, "lists of lists", id="list of lists"),
        pytest.param({"unkeyed": [a]}, "cannot merge lists without merge key", id="schema has no key"),
        pytest.param(
            {"map": {"$retainKeys": "a"}}, "invalid patch format of retainKeys", id="retainKeys no list"
        ),
        pytest.param({"map": {"$retainKeys": [], "a": "1"}}, "patch format of retainKeys", id="not retained"),
        pytest.param({"$setElementOrder": []}, "format of setElementOrder", id="order of what"),
        pytest.param({"$setElementOrder/keyed": "a"}, "expected a array", id="order no list"),
        pytest.param(
            {"$deleteFromPrimitiveList/set": "a"}, "format of primitive list", id="deletion no list"
        ),
        pytest.param({"$deleteFromPrimitiveList": []}, "format of primitive list", id="deletion of what"),
    ],
)
def test_malformed(patch: Any, message: str) -> None:
    original = {"keyed": [A], "unkeyed": [A], "map": {"k": "v"}, "set": ["1"]}
    with pytest.raises(PatchError, match=message):
        apply(original, patch)


class TestKubernetesObjects:
    """What kubectl really sends."""

    def test_set_image(self) -> None:
        containers = [
            {"name": "c", "image": "nginx:1", "ports": [{"containerPort": 80}]},
            {"name": "s", "image": "s:1"},
        ]
        deployment = {"spec": {"template": {"spec": {"containers": containers}}}}
        inner = {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "s"}],
            "containers": [{"name": "c", "image": "2"}],
        }
        patched = apply_strategic_merge_patch(
            deployment, {"spec": {"template": {"spec": inner}}}, kubernetes("apps.v1.Deployment")
        )
        assert patched["spec"]["template"]["spec"]["containers"] == [
            {**containers[0], "image": "2"},
            containers[1],
        ]

    def test_strategy_is_a_union(self) -> None:
        deployment = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
        patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
        patched = apply_strategic_merge_patch(deployment, patch, kubernetes("apps.v1.Deployment"))
        assert patched == {"spec": {"strategy": {"type": "Recreate"}}}

    def test_taints_are_replaced_as_a_list(self) -> None:
        node = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
        patch = {"spec": {"taints": [{"key": "b", "effect": "NoSchedule"}]}}
        assert apply_strategic_merge_patch(node, patch, kubernetes("core.v1.Node")) == patch

    def test_finalizers_are_a_set(self) -> None:
        pod = {"metadata": {"finalizers": ["x/y", "z/w"]}}
        patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/y"]}}
        patched = apply_strategic_merge_patch(pod, patch, kubernetes("core.v1.Pod"))
        assert patched == {"metadata": {"finalizers": ["z/w"]}}

    def test_one_merge_key_takes_the_first_of_two_service_ports(self) -> None:
        ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
        patch = {"spec": {"ports": [{"port": 53, "name": "dns"}]}}
        patched = apply_strategic_merge_patch(
            {"spec": {"ports": ports}}, patch, kubernetes("core.v1.Service")
        )
        assert patched["spec"]["ports"] == [{**ports[0], "name": "dns"}, ports[1]]


NAMES = st.sampled_from("abcde")
VALUES = st.sampled_from(["1", "2", "3"])
DOCUMENTS = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "value": VALUES,
            "map": st.dictionaries(NAMES, VALUES, max_size=3),
            "values": st.lists(VALUES, max_size=3),
            "set": st.lists(VALUES, max_size=3, unique=True),
            "keyed": st.lists(ELEMENTS, max_size=4, unique_by=lambda item: item["name"]),
        },
    )
)
ELEMENTS = st.fixed_dictionaries(
    {"name": NAMES}, optional={"value": VALUES, "set": st.lists(VALUES, unique=True)}
)


def diff(source: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """A strategic merge patch as kubectl makes it: changes, deletions, and the order of every changed
    list."""
    patch: dict[str, Any] = {key: None for key in source if key not in target}
    for key, wanted in target.items():
        if key not in source:
            patch[key] = wanted
        elif key == "set" and wanted != source[key]:
            patch["$setElementOrder/set"] = wanted
            patch["set"] = [item for item in wanted if item not in source[key]]
            patch["$deleteFromPrimitiveList/set"] = [item for item in source[key] if item not in wanted]
        elif key == "keyed" and wanted != source[key]:
            patch["$setElementOrder/keyed"] = [{"name": item["name"]} for item in wanted]
            patch["keyed"] = _diff_elements(source[key], wanted)
        elif isinstance(wanted, dict):
            patch[key] = diff(source[key], wanted)
        elif wanted != source[key]:
            patch[key] = wanted
    return patch


def _diff_elements(source: list[Any], target: list[Any]) -> list[Any]:
    present = {item["name"]: item for item in source}
    wanted = {item["name"] for item in target}
    changed = [{**diff(present.get(item["name"], {}), item), "name": item["name"]} for item in target]
    return changed + [{"name": name, "$patch": "delete"} for name in present if name not in wanted]


@given(DOCUMENTS, DOCUMENTS)
def test_applying_a_diff_gives_the_target(source: Any, target: Any) -> None:
    assert apply(source, diff(source, target)) == target


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_a_diff_leaves_what_others_added(source: Any, target: Any, other: Any) -> None:
    """The server's own keys of a map survive a patch that does not name them."""
    live = (
        apply(source, {"map": {f"server-{key}": "x" for key in other.get("map", {})}})
        if "map" in source
        else source
    )
    patched = apply(live, diff(source, target))
    if "map" in target:
        added = {key: value for key, value in live.get("map", {}).items() if key.startswith("server-")}
        assert patched["map"] == {**target["map"], **added}


@given(DOCUMENTS)
def test_an_empty_patch_changes_nothing(document: Any) -> None:
    assert apply(document, {}) == document

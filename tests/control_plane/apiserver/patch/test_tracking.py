"""The bookkeeping of creates and updates: what FieldsV1 says, who loses what, bounds, resets."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.api.errors import StatusError
from control_plane.api.schema import Node, from_openapi, lookup
from control_plane.apiserver.patch.apply import apply, declared, track, track_create, trees
from control_plane.apiserver.patch.apply.fields import flatten, from_fields_v1, show
from control_plane.apiserver.patch.apply.tracking import MAX_UPDATE_MANAGERS
from tests.control_plane.apiserver.patch.drive import drive

Object = dict[str, Any]
T1, T2 = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"


def node(group: str, kind: str) -> Node:
    found = lookup(group, "v1", kind)
    assert found is not None
    return found


CONFIG_MAP, POD, SERVICE = node("", "ConfigMap"), node("", "Pod"), node("", "Service")


def config_map(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def created(obj: Object, schema: Node | None, reset: str = "status") -> Any:
    made = copy.deepcopy(obj)
    track_create(made, schema, "ann", T1, reset)
    [entry] = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["time"]) == ("ann", "Update", T1)
    return entry["fieldsV1"]


def write(live: Object, new: Object, manager: str = "bob", now: str = T2, subresource: str = "") -> Object:
    made = copy.deepcopy(new)
    made["metadata"].setdefault("managedFields", copy.deepcopy(live["metadata"].get("managedFields", [{}])))
    before = copy.deepcopy(live)
    drive(track(live, made, CONFIG_MAP, manager, now, subresource))
    assert live == before, "the old object was changed"
    return made


def tracked(**data: str) -> Object:
    made = config_map(**data)
    track_create(made, CONFIG_MAP, "ann", T1)
    return made


def owners(obj: Object) -> dict[str, set[str]]:
    """What each manager owns but for fields that hold others."""
    leaves = set(flatten({k: v for k, v in obj.items() if k != "metadata"}, CONFIG_MAP))
    return {
        entry["manager"]: {show(path) for path in from_fields_v1(entry["fieldsV1"]) if path in leaves}
        for entry in obj["metadata"].get("managedFields", ())
    }


@pytest.mark.parametrize(
    ("obj", "schema", "expected"),
    [
        pytest.param(
            {"metadata": {"name": "c", "labels": {"a": "b"}, "uid": "u"}, "data": {"k": "v"}},
            CONFIG_MAP,
            {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:data": {".": {}, "f:k": {}}},
            id="maps that were not there are owned themselves, identity by nobody",
        ),
        pytest.param(
            {
                "metadata": {"ownerReferences": [{"uid": "u", "name": "n"}], "finalizers": ["x/y"]},
                "data": {},
            },
            CONFIG_MAP,
            {
                "f:metadata": {
                    "f:ownerReferences": {".": {}, 'k:{"uid":"u"}': {}},
                    "f:finalizers": {".": {}, 'v:"x/y"': {}},
                },
                "f:data": {},
            },
            id="atomic elements, sets, an empty map",
        ),
        pytest.param(
            {
                "metadata": {},
                "spec": {"containers": [{"name": "c", "resources": {}}]},
                "status": {"phase": "x"},
            },
            POD,
            {"f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:resources": {}}}}},
            id="structs and lists that Go always has are there already; status is not written here",
        ),
        pytest.param(
            {"metadata": {}, "spec": {"ports": [{"port": 80, "protocol": "TCP"}]}},
            SERVICE,
            {
                "f:spec": {
                    "f:ports": {
                        ".": {},
                        'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}},
                    }
                }
            },
            id="a list that Go leaves out is owned itself",
        ),
        pytest.param(
            {"metadata": {}, "spec": {"a": [1], "b": {"c": 1}}},
            from_openapi({"type": "object", "properties": {"spec": {"type": "object"}}}),
            {"f:spec": {".": {}, "f:a": {}, "f:b": {".": {}, "f:c": {}}}},
            id="a custom resource starts from nothing",
        ),
        pytest.param(
            {"metadata": {}, "a": {"b": 1}}, None, {"f:a": {".": {}, "f:b": {}}}, id="without a schema"
        ),
    ],
)
def test_what_a_creator_owns(obj: Object, schema: Node | None, expected: Object) -> None:
    assert created({"apiVersion": "v1", **obj}, schema) == expected


class TestTrack:
    def test_a_writer_owns_what_it_changes(self) -> None:
        live = tracked(a="1", b="2")
        made = write(live, config_map(a="1", b="3", c="4"))
        assert owners(made) == {"ann": {".data.a"}, "bob": {".data.b", ".data.c"}}
        assert [e["time"] for e in made["metadata"]["managedFields"]] == [T1, T2]

    def test_a_change_of_ones_own_field_moves_the_time(self) -> None:
        made = write(tracked(a="1"), config_map(a="2"), "ann")
        assert owners(made) == {"ann": {".data.a"}}
        assert made["metadata"]["managedFields"][0]["time"] == T2

    def test_what_is_deleted_is_owned_by_nobody(self) -> None:
        made = write(tracked(a="1", b="2"), config_map(a="1"))
        assert owners(made) == {"ann": {".data.a"}}

    def test_writing_the_same_owns_nothing(self) -> None:
        live = tracked(a="1")
        assert write(live, live) == live

    def test_a_conflict_names_the_version_of_a_writer(self) -> None:
        made = write(tracked(a="1", b="2"), config_map(a="1", b="3"))
        with pytest.raises(StatusError, match=r'conflict with "bob" using v1: \.data\.b'):
            drive(apply(made, config_map(b="2"), CONFIG_MAP, "carl", False, T2))

    def test_an_apply_keeps_the_containers_of_others(self) -> None:
        made = drive(apply(tracked(a="1"), config_map(b="2"), CONFIG_MAP, "carl", False, T2))
        assert {e["manager"]: e["fieldsV1"] for e in made["metadata"]["managedFields"]} == {
            "ann": {"f:data": {".": {}, "f:a": {}}},
            "carl": {"f:data": {"f:b": {}}},
        }

    def test_what_has_no_managers_is_not_tracked(self) -> None:
        made = write(config_map(a="1"), config_map(a="2"))
        assert "managedFields" not in made["metadata"]

    @pytest.mark.parametrize("empty", [[], [{}]], ids=["nothing", "one empty entry"])
    def test_a_client_resets(self, empty: list[Object]) -> None:
        new = config_map(a="2")
        new["metadata"]["managedFields"] = empty
        assert "managedFields" not in write(tracked(a="1"), new)["metadata"]

    def test_but_not_through_a_subresource(self) -> None:
        live = tracked(a="1")
        new = config_map(a="1")
        new["metadata"]["managedFields"] = []
        assert owners(write(live, new, subresource="status")) == owners(live)

    def test_a_client_that_knows_nothing_of_managers(self) -> None:
        live, new = tracked(a="1"), config_map(a="1", b="2")
        new["metadata"]["managedFields"] = None
        assert owners(write(live, new)) == {"ann": {".data.a"}, "bob": {".data.b"}}

    def test_a_client_edits(self) -> None:
        live = tracked(a="1")
        new = copy.deepcopy(live)
        new["metadata"]["managedFields"][0]["manager"] = "carl"
        assert owners(write(live, new)) == {"carl": {".data.a"}}

    @pytest.mark.parametrize(
        "sent", [[{}, {}], [{"fieldsV1": {"f:data": 1}}], [{"fieldsV1": []}], ["x"], {"a": "b"}]
    )
    def test_what_is_no_list_of_managers_changes_nothing(self, sent: Any) -> None:
        live, new = tracked(a="1"), config_map(a="1")
        new["metadata"]["managedFields"] = sent
        assert owners(write(live, new)) == owners(live)

    def test_a_list_without_keys_is_not_for_bookkeeping_to_refuse(self) -> None:
        live: Object = {"apiVersion": "v1", "metadata": {}, "spec": {"containers": [{"name": "c"}]}}
        track_create(live, POD, "ann", T1)
        new = {**copy.deepcopy(live), "spec": {"containers": [{"image": "x"}]}}
        drive(track(live, new, POD, "bob", T2))
        assert new["metadata"] == live["metadata"]

    def test_the_subresource_is_a_manager_of_its_own(self) -> None:
        made = write(tracked(a="1"), config_map(a="9"), "ann", subresource="status")
        assert [e.get("subresource") for e in made["metadata"]["managedFields"]] == [None, "status"]

    def test_managers_are_bounded(self) -> None:
        made = tracked(a="1")
        for index in range(MAX_UPDATE_MANAGERS + 5):
            data = {**made["data"], f"k{index}": "x"}
            made = write(made, config_map(**data), f"m{index}", f"2024-02-{index + 1:02}T00:00:00Z")
        names = [entry["manager"] for entry in made["metadata"]["managedFields"]]
        assert len(names) == MAX_UPDATE_MANAGERS
        assert names[0] == "ancient-changes"
        owned = set().union(*owners(made).values())
        assert owned == {f".data.k{index}" for index in range(MAX_UPDATE_MANAGERS + 5)} | {".data.a"}

    def test_only_what_is_of_one_version_is_merged(self) -> None:
        made = tracked(a="1")
        other = {"f:data": {"f:z": {}}}
        entry = {
            **made["metadata"]["managedFields"][0],
            "manager": "old",
            "apiVersion": "v0",
            "fieldsV1": other,
        }
        made["metadata"]["managedFields"].insert(0, {**entry, "time": "2023-01-01T00:00:00Z"})
        for index in range(MAX_UPDATE_MANAGERS):
            data = {**made["data"], f"k{index}": "x"}
            made = write(made, config_map(**data), f"m{index}", f"2024-02-{index + 1:02}T00:00:00Z")
        found = [(e["manager"], e["apiVersion"]) for e in made["metadata"]["managedFields"]]
        assert found[0] == ("old", "v0")
        assert ("ancient-changes", "v1") in found
        assert len(found) == len(set(found)) == MAX_UPDATE_MANAGERS


KEYS = st.sampled_from("abcd")
NESTED = st.recursive(
    st.sampled_from(["1", "2"]), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, NESTED, max_size=4)


@given(OBJECTS, OBJECTS)
def test_the_last_writers_together_own_every_field(first: Object, second: Object) -> None:
    live: Object = {"apiVersion": "v1", "metadata": {}, "root": first}
    track_create(live, None, "ann", T1)
    new: Object = {"apiVersion": "v1", "metadata": {}, "root": second}
    drive(track(live, new, None, "bob", T2))
    owned = set().union(
        *(from_fields_v1(entry["fieldsV1"]) for entry in new["metadata"].get("managedFields", ()))
    )
    there = set(flatten({"root": second}, None))
    assert there <= owned
    assert all(any(path == leaf[: len(path)] for leaf in there) for path in owned)


@given(OBJECTS, OBJECTS)
def test_sets_of_fields(first: Object, second: Object) -> None:
    one, other = ({"f:r": trees._added(each, None)} for each in (first, second))
    union = trees.united(one, other)
    paths = [from_fields_v1(each) for each in (one, other, union)]
    assert paths[2] == paths[0] | paths[1]
    assert from_fields_v1(trees.without(union, other) or {}) == paths[0] - paths[1]


@pytest.mark.parametrize(
    ("unknown", "told"),
    [
        (["foo"], ".foo: field not declared in schema"),
        (
            ["spec.containers[0].foo", "spec.tolerations[0].bar"],
            'errors:\n  .spec.containers[name="c"].foo: field not declared in schema'
            "\n  .spec.tolerations[0].bar: field not declared in schema",
        ),
    ],
    ids=["one", "several, in lists with and without keys"],
)
def test_fields_that_are_not_declared(unknown: list[str], told: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "foo": 1}], "tolerations": [{"bar": 1}]},
    }
    head = "failed to create typed patch object (n/p; v1, Kind=Pod): "
    assert declared.message(config, POD, unknown, "n") == head + told

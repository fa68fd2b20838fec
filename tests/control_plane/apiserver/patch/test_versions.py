"""Managers that wrote through different versions: each entry keeps the words of its own.

`v1` has `spec.hostPort`, `v2` has `spec.host` and `spec.port`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from control_plane.api.errors import StatusError
from control_plane.apiserver.patch.apply import Shown, apply, track, track_create
from tests.control_plane.apiserver.patch.drive import drive

Object = dict[str, Any]
T1, T2 = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"
OWNS_V1 = {"f:spec": {"f:hostPort": {}}}
OWNS_V2 = {"f:spec": {"f:host": {}, "f:port": {}}}


def v1(**spec: Any) -> Object:
    return {"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "a"}, "spec": spec}


def v2(**spec: Any) -> Object:
    return {**v1(**spec), "apiVersion": "x/v2"}


def entry(manager: str, version: str, fields: Object, operation: str = "Update") -> Object:
    head = {"manager": manager, "operation": operation, "apiVersion": version, "time": T1}
    return {**head, "fieldsType": "FieldsV1", "fieldsV1": fields}


def managed(obj: Object, *entries: Object) -> Object:
    made = copy.deepcopy(obj)
    made["metadata"]["managedFields"] = list(entries)
    return made


async def show(objects: Sequence[Object], api_version: str) -> Shown | None:
    if api_version not in ("x/v1", "x/v2"):
        return None
    assert not any("managedFields" in each["metadata"] for each in objects), "bookkeeping is not converted"
    return [converted(each, api_version) for each in objects], None


def converted(obj: Object, api_version: str) -> Object:
    if obj["apiVersion"] == api_version:
        return obj
    given = obj.get("spec", {})
    spec = {key: value for key, value in given.items() if key not in ("host", "port", "hostPort")}
    if api_version == "x/v2" and "hostPort" in given:
        spec["host"], _, spec["port"] = given["hostPort"].partition(":")
    elif "host" in given:
        spec["hostPort"] = f"{given['host']}:{given.get('port', '')}"
    return {**obj, "apiVersion": api_version, "spec": spec}


def kept(obj: Object) -> list[tuple[str, str, Object]]:
    entries = obj["metadata"].get("managedFields", ())
    return [(each["manager"], each["apiVersion"], each["fieldsV1"]) for each in entries]


@pytest.mark.parametrize(
    ("live", "new", "expected"),
    [
        pytest.param(
            managed(v2(host="h", port="1"), entry("ann", "x/v1", OWNS_V1)),
            v2(host="h", port="1", more=1),
            [("ann", "x/v1", OWNS_V1), ("bob", "x/v2", {"f:spec": {"f:more": {}}})],
            id="what did not change stays with who wrote it through another version",
        ),
        pytest.param(
            managed(v2(host="h", port="1"), entry("ann", "x/v1", OWNS_V1)),
            v2(host="h", port="2"),
            [("bob", "x/v2", {"f:spec": {"f:port": {}}})],
            id="a part of it is changed: in the other version it is the whole",
        ),
        pytest.param(
            managed(v1(hostPort="h:1"), entry("ann", "x/v2", OWNS_V2)),
            v1(hostPort="h:2"),
            [("ann", "x/v2", {"f:spec": {"f:host": {}}}), ("bob", "x/v1", OWNS_V1)],
            id="the whole is changed: in the other version it is a part",
        ),
        pytest.param(
            managed(v1(hostPort="h:1", more=1), entry("ann", "x/v2", OWNS_V2)),
            v1(more=1),
            [],
            id="what is gone nobody owns, in no version",
        ),
        pytest.param(
            managed(v1(hostPort="h:1"), entry("ann", "x/v0", OWNS_V1)),
            v1(hostPort="h:1", more=1),
            [("bob", "x/v1", {"f:spec": {"f:more": {}}})],
            id="who wrote through a version that is gone owns nothing",
        ),
        pytest.param(
            managed(v1(hostPort="h:1", more=1), entry("bob", "x/v2", {"f:spec": {"f:more": {}}})),
            v1(hostPort="h:2", more=1),
            [("bob", "x/v2", {"f:spec": {"f:more": {}}}), ("bob", "x/v1", OWNS_V1)],
            id="who updates through two versions has two entries",
        ),
    ],
)
def test_updates(live: Object, new: Object, expected: list[tuple[str, str, Object]]) -> None:
    new["metadata"] = {"name": "a"}
    drive(track(live, new, None, "bob", T2, show=show))
    assert kept(new) == expected


def test_what_changes_nothing_converts_nothing() -> None:
    async def refuse(objects: Sequence[Object], api_version: str) -> Shown | None:
        raise AssertionError("not asked for")

    live = managed(v1(hostPort="h:1"), entry("ann", "x/v2", OWNS_V2))
    new = copy.deepcopy(live)
    drive(track(live, new, None, "bob", T2, show=refuse))
    assert new == live


def ssa(live: Object | None, config: Object, manager: str = "ann", force: bool = False) -> Object:
    before = copy.deepcopy((live, config))
    made = drive(apply(live, config, None, manager, force, T2, show=show))
    assert (live, config) == before, "inputs were changed"
    return made


class TestApplies:
    def test_an_applier_is_the_same_in_every_version(self) -> None:
        first = ssa(None, v1(hostPort="h:1"))
        made = ssa(converted(first, "x/v2"), v2(host="h", port="1"))
        assert kept(made) == [("ann", "x/v2", OWNS_V2)]
        assert made["spec"] == {"host": "h", "port": "1"}

    def test_what_it_applied_before_goes_as_that_version_says(self) -> None:
        first = ssa(None, v1(hostPort="h:1", more=1))
        made = ssa(converted(first, "x/v2"), v2(more=1))
        assert made["spec"] == {"more": 1}
        assert kept(made) == [("ann", "x/v2", {"f:spec": {"f:more": {}}})]

    def test_unless_another_owns_it_in_its_own_version(self) -> None:
        first = ssa(None, v1(hostPort="h:1", more=1))
        both = ssa(converted(first, "x/v2"), v2(host="h"), "bob")
        made = ssa(converted(both, "x/v1"), v1(more=1))
        assert made["spec"] == {"hostPort": "h:1", "more": 1}  # it holds bob's host: it stays as it is
        assert sorted(kept(made)) == [
            ("ann", "x/v1", {"f:spec": {"f:more": {}}}),
            ("bob", "x/v2", {"f:spec": {"f:host": {}}}),
        ]

    def test_conflicts_are_told_in_the_words_of_the_other(self) -> None:
        live = managed(v2(host="h", port="1"), entry("bob", "x/v1", OWNS_V1))
        with pytest.raises(StatusError) as refused:
            ssa(live, v2(port="2"))
        assert str(refused.value.message) == (
            'Apply failed with 1 conflict: conflict with "bob" using x/v1: .spec.hostPort'
        )
        made = ssa(live, v2(port="2"), force=True)
        assert kept(made) == [("ann", "x/v2", {"f:spec": {"f:port": {}}})]

    def test_agreeing_is_no_conflict(self) -> None:
        live = managed(v2(host="h", port="1"), entry("bob", "x/v1", OWNS_V1))
        assert kept(ssa(live, v2(port="1"))) == [
            ("bob", "x/v1", OWNS_V1),
            ("ann", "x/v2", {"f:spec": {"f:port": {}}}),
        ]

    def test_a_version_that_is_gone(self) -> None:
        live = managed(
            v1(hostPort="h:1", more=1),
            entry("bob", "x/v0", OWNS_V1),
            entry("ann", "x/v0", {"f:spec": {"f:more": {}}}, "Apply"),
        )
        made = ssa(live, v1(hostPort="h:2"))
        assert kept(made) == [("ann", "x/v1", OWNS_V1)]
        assert made["spec"] == {"hostPort": "h:2", "more": 1}  # what was applied then cannot be told any more


def test_a_new_object_speaks_the_words_of_the_request() -> None:
    made = v2(host="h")
    track_create(made, None, "ann", T1)
    assert kept(made) == [("ann", "x/v2", {"f:spec": {".": {}, "f:host": {}}})]

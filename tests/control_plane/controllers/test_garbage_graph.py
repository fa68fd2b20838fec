"""The graph of owners, and what is judged of an object."""

from __future__ import annotations

import pytest

from control_plane.controllers.garbage_collector.graph import FOREGROUND, ORPHAN, Graph, Identity
from control_plane.controllers.garbage_collector.verdict import OwnerState, Verdict, judge
from tests.control_plane.controllers.objects import Obj


def identity(uid: str) -> Identity:
    return Identity("v1", "Thing", "default", uid, uid)


def thing(
    uid: str, owners: tuple[str, ...] = (), finalizers: tuple[str, ...] = (), deleting: bool = False
) -> Obj:
    references = [
        {"apiVersion": "v1", "kind": "Thing", "name": each, "uid": each, "blockOwnerDeletion": True}
        for each in owners
    ]
    metadata: Obj = {"name": uid, "uid": uid, "ownerReferences": references, "finalizers": list(finalizers)}
    if deleting:
        metadata["deletionTimestamp"] = "2023-11-14T22:13:20Z"
    return {"metadata": metadata}


def observed(*things: Obj) -> Graph:
    graph = Graph()
    for each in things:
        graph.observe(identity(each["metadata"]["uid"]), each)
    return graph


def test_an_owner_that_was_never_seen_is_looked_up() -> None:
    assert Graph().observe(identity("child"), thing("child", ("owner",))).look == {"owner"}


def test_a_dependent_that_is_seen_after_its_owner_went_is_judged_too() -> None:
    graph = observed(thing("owner"), thing("first", ("owner",)))
    assert graph.remove("owner").look == {"first"}
    assert graph.observe(identity("late"), thing("late", ("owner",))).look == {"owner"}
    assert graph.remove("owner").look == {"first", "late"}


def test_a_change_of_a_dependent_asks_for_no_second_look() -> None:
    graph = observed(thing("child", ("owner",)))
    assert graph.observe(identity("child"), thing("child", ("owner",))).look == set()


def test_a_known_owner_costs_no_look() -> None:
    graph = observed(thing("owner"))
    assert graph.observe(identity("child"), thing("child", ("owner",))).look == set()


def test_when_the_owner_goes_its_dependents_are_looked_at() -> None:
    graph = observed(thing("owner"), thing("a", ("owner",)), thing("b", ("owner",)))
    assert graph.remove("owner").look == {"a", "b"}


def test_foreground_deletion_looks_at_both_and_then_at_the_owner_again() -> None:
    graph = observed(thing("owner"), thing("child", ("owner",)))
    going = thing("owner", finalizers=(FOREGROUND,), deleting=True)
    assert graph.observe(identity("owner"), going).look == {"owner", "child"}
    assert graph.remove("child").look == {"owner"}


def test_orphaning_is_work_of_its_own() -> None:
    graph = observed(thing("owner"), thing("child", ("owner",)))
    assert graph.observe(identity("owner"), thing("owner", finalizers=(ORPHAN,), deleting=True)).orphan == {
        "owner"
    }


def test_the_graph_forgets_what_is_gone() -> None:
    graph = observed(thing("owner"), thing("child", ("owner",)))
    graph.remove("owner")
    graph.remove("child")
    assert graph.nodes == {}


SOLID, ABSENT, WAITING = OwnerState.SOLID, OwnerState.ABSENT, OwnerState.WAITING


@pytest.mark.parametrize(
    ("states", "has_dependents", "expected"),
    [
        pytest.param({"a": SOLID}, False, Verdict(), id="its owner is there"),
        pytest.param({"a": SOLID, "b": ABSENT}, False, Verdict(cut=frozenset("b")), id="one of two is gone"),
        pytest.param(
            {"a": SOLID, "b": WAITING}, False, Verdict(cut=frozenset("b")), id="one of two is going"
        ),
        pytest.param({"a": ABSENT}, False, Verdict(delete="Background"), id="all gone"),
        pytest.param({"a": WAITING}, True, Verdict(delete="Foreground"), id="foreground goes down the tree"),
        pytest.param(
            {"a": WAITING}, False, Verdict(delete="Background"), id="a leaf of a foreground deletion"
        ),
    ],
)
def test_verdict(states: dict[str, OwnerState], has_dependents: bool, expected: Verdict) -> None:
    assert judge(thing("x", tuple(states)), states, False, has_dependents) == expected

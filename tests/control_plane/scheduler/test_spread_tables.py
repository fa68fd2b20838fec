"""PodTopologySpread as the tables of kube-scheduler's own tests have it, case by case: `2/~1~/0` means two
pods on the first node, one on the second, which is no candidate, and none on the third."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from control_plane.api.selectors import from_set
from control_plane.client.types import Obj
from tests.control_plane.scheduler.build import HOST, World, expression, node_terms, pod
from tests.control_plane.scheduler.notation import nodes_of, pods_of

FOO, BAR = {"foo": ""}, {"bar": ""}


def soft(key: str, labels: Mapping[str, str] | None = FOO, skew: int = 1, **more: Any) -> Obj:
    selector = None if labels is None else {"matchLabels": dict(labels)}
    return {
        "maxSkew": skew,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": selector,
        **more,
    }


FOUR = ["a", "b", "c", "d"]
ZONES = ["a zone=1", "b zone=1", "x zone=2", "y zone=2"]
MARKED = ["a node=a foo=", "b node=b foo=", "c node=c"]
THREE = ["a foo", "a foo", "b foo", "c foo"]
TWO_ONE_NONE_THREE = ["a foo", "a foo", "b foo", "d foo", "d foo", "d foo"]
FOUR_THREE_TWO_ONE = ["a foo"] * 4 + ["b foo"] * 3 + ["c foo"] * 2 + ["d foo"]
FOUR_TWO_ONE_THREE = ["a foo"] * 4 + ["b foo"] * 2 + ["x foo"] + ["y foo"] * 3
MIXED = ["a foo", "b foo bar", "y foo", "y bar"]
ONLY_FOO: Obj = {"nodeSelector": {"foo": ""}}

SPREAD_CASES = [
    ("nobody there", [soft(HOST)], ["a", "b"], "", [], {"a": 100, "b": 100}),
    ("one candidate", [soft(HOST)], ["a", "b"], "b", ["a foo", "a foo", "b foo"], {"a": 100}),
    ("as many everywhere", [soft(HOST)], ["a", "b"], "", ["a foo", "b foo"], {"a": 100, "b": 100}),
    ("2/1/0/3", [soft(HOST)], FOUR, "", TWO_ONE_NONE_THREE, {"a": 20, "b": 60, "c": 100, "d": 0}),
    ("no selector", [soft(HOST, None)], FOUR, "", TWO_ONE_NONE_THREE, dict.fromkeys("abcd", 100)),
    (
        "2/1/0/3, skew 2",
        [soft(HOST, skew=2)],
        FOUR,
        "",
        TWO_ONE_NONE_THREE,
        {"a": 33, "b": 66, "c": 100, "d": 16},
    ),
    (
        "4/3/2/1, skew 3",
        [soft(HOST, skew=3)],
        FOUR,
        "",
        FOUR_THREE_TWO_ONE,
        {"a": 44, "b": 66, "c": 77, "d": 100},
    ),
    (
        "4/2/1/~3~",
        [soft(HOST)],
        ["a", "b", "x", "y"],
        "y",
        FOUR_TWO_ONE_THREE,
        {"a": 33, "b": 83, "x": 100},
    ),
    (
        "4/?2?/1/~3~",
        [soft(HOST)],
        ["a", "b n=b -host", "x", "y"],
        "y",
        FOUR_TWO_ONE_THREE,
        {"a": 16, "b": 0, "x": 100},
    ),
    ("zones, 4/2/1/~3~", [soft("zone")], ZONES, "y", FOUR_TWO_ONE_THREE, {"a": 75, "b": 75, "x": 100}),
    (
        "zones and nodes, 2/~1~/2/~4~",
        [soft("zone"), soft(HOST)],
        ZONES,
        "by",
        ["a foo"] * 2 + ["b foo"] + ["x foo"] * 2 + ["y foo"] * 4,
        {"a": 100, "x": 63},
    ),
    (
        "zones twice",
        [soft("zone"), soft("zone", BAR)],
        [f"{each} -host" for each in ZONES],
        "by",
        ["a foo bar", "a foo", "b foo bar", "y foo", "y foo bar", "y foo"],
        {"a": 85, "x": 100},
    ),
    (
        "two selectors",
        [soft("zone"), soft(HOST, BAR)],
        ZONES,
        "",
        MIXED,
        {"a": 60, "b": 20, "x": 100, "y": 60},
    ),
    (
        "two selectors, some nodes without pods",
        [soft("zone"), soft(HOST, BAR)],
        ZONES,
        "",
        ["b bar", "x foo", "y foo bar"],
        {"a": 100, "b": 60, "x": 40, "y": 0},
    ),
    (
        "two selectors, three candidates",
        [soft("zone"), soft(HOST, BAR)],
        ZONES,
        "y",
        MIXED,
        {"a": 50, "b": 25, "x": 100},
    ),
    (
        "another namespace does not count",
        [soft(HOST)],
        ["a", "b"],
        "",
        ["a@ns1 foo", "a foo", "b foo", "b foo"],
        {"a": 100, "b": 33},
    ),
    (
        "who is being deleted does not count",
        [soft(HOST)],
        ["a", "b"],
        "",
        ["a! foo", "b foo"],
        {"a": 100, "b": 0},
    ),
    (
        "minDomains means nothing here",
        [soft("node", skew=2, minDomains=10)],
        MARKED,
        "",
        ["a foo", "a foo", "b foo", "b foo", "c foo"],
        {"a": 75, "b": 75, "c": 100},
    ),
    (
        "taints honoured",
        [soft("node", nodeTaintsPolicy="Honor")],
        ["a node=a", "b node=b", "c node=c tainted"],
        "",
        THREE,
        {"a": 0, "b": 33, "c": 100},
    ),
    (
        "taints ignored",
        [soft("node")],
        ["a node=a", "b node=b", "c node=c tainted"],
        "",
        THREE,
        {"a": 66, "b": 100, "c": 100},
    ),
    (
        "matchLabelKeys with an empty selector",
        [soft("zone", {}, matchLabelKeys=["foo"]), soft(HOST, {}, matchLabelKeys=["bar"])],
        ["a zone=1", "b zone=1", "c zone=2", "d zone=2"],
        "",
        ["a foo", "b foo bar", "c foo", "c bar"],
        {"a": 60, "b": 20, "c": 60, "d": 100},
    ),
    (
        "matchLabelKeys with a selector",
        [soft("zone"), soft(HOST, BAR, matchLabelKeys=["baz"])],
        ["a zone=1", "b zone=1", "c zone=2", "d zone=2"],
        "",
        ["a foo", "b foo bar baz", "c foo", "c bar", "c bar baz"],
        {"a": 60, "b": 20, "c": 60, "d": 100},
    ),
]


@pytest.mark.parametrize(
    ("constraints", "nodes", "failed", "there", "expected"),
    [pytest.param(*case[1:], id=case[0]) for case in SPREAD_CASES],
)
def test_spread(
    constraints: list[Obj], nodes: list[str], failed: str, there: list[str], expected: dict[str, int]
) -> None:
    labels = dict.fromkeys(["foo", "bar", "baz"], "")
    world = World(nodes_of(nodes), pods_of(there))
    obj = pod(labels=labels, topologySpreadConstraints=constraints)
    assert world.scores("PodTopologySpread", obj, failed=failed) == expected


@pytest.mark.parametrize("by", ["selector", "affinity"])
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(None, {"a": 0, "b": 33, "c": 100}, id="honoured"),
        pytest.param("Ignore", {"a": 66, "b": 100, "c": 100}, id="ignored"),
    ],
)
def test_spread_with_the_nodes_that_the_pod_asks_for(
    by: str, policy: str | None, expected: dict[str, int]
) -> None:
    asked: Obj = ONLY_FOO if by == "selector" else {"affinity": node_terms(expression("foo", "In", ""))}
    constraint = soft("node", **({"nodeAffinityPolicy": policy} if policy else {}))
    obj = pod(labels=FOO, topologySpreadConstraints=[constraint], **asked)
    assert World(nodes_of(MARKED), pods_of(THREE)).scores("PodTopologySpread", obj) == expected


def test_system_defaults_on_nodes_without_zones() -> None:
    """As if there were the constraint on hosts alone."""
    world = World(nodes_of(FOUR), pods_of(FOUR_THREE_TWO_ONE))
    world.workloads.selector = from_set(FOO)
    scores = world.scores("PodTopologySpread", pod(labels=FOO))
    assert scores == {"a": 44, "b": 66, "c": 77, "d": 100}


# ---- which nodes fit


def hard(key: str, labels: Mapping[str, str] | None = FOO, skew: int = 1, **more: Any) -> Obj:
    return {**soft(key, labels, skew, **more), "whenUnsatisfiable": "DoNotSchedule"}


NODES = ["a zone=1 node=a", "b zone=1 node=b", "x zone=2 node=x", "y zone=2 node=y"]
PLAIN = ["a node=a", "b node=b", "c node=c"]
SOME = ["a zone=1 node=a foo=", "b zone=1 node=b foo=", "x zone=2 node=x foo="]
NOT_Y, TAINTED_Y = [*SOME, "y zone=2 node=y"], [*SOME, "y zone=2 node=y tainted"]
THREE_THREE = ["a foo", "a foo", "b foo", "y foo", "y foo", "y foo"]
TWO_TWO_ONE = ["a foo", "a foo", "b foo", "b foo", "c foo"]
ONES = ["a foo", "b foo", "y foo"]
IGNORE: Obj = {"nodeAffinityPolicy": "Ignore"}

FIT_CASES = [
    ("nobody there", "foo", [hard("zone")], NODES, [], "abxy"),
    ("it does not match itself", "foo", [hard("zone", BAR)], NODES, [], "abxy"),
    (
        "other namespaces do not count",
        "foo",
        [hard("zone")],
        NODES,
        ["a@ns1 foo", "a@ns2 foo", "x foo", "y foo"],
        "ab",
    ),
    ("no selector", "foo", [hard("zone", None)], NODES, ["x foo", "y foo"], "abxy"),
    ("zones 3/3", "foo", [hard("zone")], NODES, THREE_THREE, "abxy"),
    (
        "zones 1/2, a node without the label",
        "foo",
        [hard("zone")],
        [NODES[0], "b zon=1 node=b", *NODES[2:]],
        ["a foo", "b foo", "x foo", "y foo"],
        "a",
    ),
    ("nobody has the label", "foo", [hard("rack")], NODES, [], ""),
    ("nodes 2/1/0/3", "foo", [hard("node")], NODES, THREE_THREE, "x"),
    ("nodes 2/1/0/3, skew 2", "foo", [hard("node", skew=2)], NODES, THREE_THREE, "bx"),
    ("nodes 2/1/0/3, not itself", "bar", [hard("node")], NODES, THREE_THREE, "bx"),
    ("who is being deleted", "foo", [hard("node")], PLAIN[:2], ["a! foo", "b foo"], "a"),
    ("2/2/1, fewer domains", "foo", [hard("node", skew=2, minDomains=4)], PLAIN, TWO_TWO_ONE, "c"),
    ("2/2/1, enough domains", "foo", [hard("node", skew=2, minDomains=2)], PLAIN, TWO_TWO_ONE, "abc"),
    ("2/1, fewer domains", "foo", [hard("zone", skew=2, minDomains=3)], NODES, ONES, "xy"),
    ("2/1, enough domains", "foo", [hard("zone", skew=2, minDomains=1)], NODES, ONES, "abxy"),
    ("selected nodes, 1/1/0/~1~", "foo =foo", [hard("node")], NOT_Y, ONES, "xy"),
    ("all nodes, 1/1/0/1", "foo =foo", [hard("node", **IGNORE)], NOT_Y, ONES, "x"),
    ("tolerated nodes, 1/1/0/~1~", "foo", [hard("node", nodeTaintsPolicy="Honor")], TAINTED_Y, ONES, "xy"),
    ("tainted nodes too, 1/1/0/1", "foo", [hard("node")], TAINTED_Y, ONES, "x"),
    ("3/3 and 2/1/0/3", "foo", [hard("zone"), hard("node")], NODES, THREE_THREE, "x"),
    ("3/4 and 2/1/0/4", "foo", [hard("zone"), hard("node")], NODES, [*THREE_THREE, "y foo"], ""),
    ("1/0 and 0/0/0/1", "foo bar", [hard("zone"), hard("node", BAR)], NODES, ["a foo", "y bar"], "x"),
    ("1/0 and 0/0/1/1", "foo bar", [hard("zone"), hard("node", BAR)], NODES, ["a foo", "x bar", "y bar"], ""),
    (
        "2/3 and 1/0/0/1",
        "foo bar",
        [hard("zone"), hard("node", BAR)],
        NODES,
        ["a foo", "a foo bar", "y foo", "y foo bar", "y foo"],
        "b",
    ),
    ("1/0, not itself", "bar", [hard("zone"), hard("node", BAR)], NODES, ["a foo", "x bar", "y bar"], "ab"),
    (
        "1/1 and 1/0/?/1",
        "foo",
        [hard("zone"), hard("node")],
        [*NODES[:2], "x zone=2", NODES[3]],
        ["a foo", "y foo"],
        "b",
    ),
    ("zones selected, nodes not", "foo =foo", [hard("zone"), hard("node", **IGNORE)], NOT_Y, ONES, "x"),
    (
        "zones tolerated, nodes not",
        "foo",
        [hard("zone", nodeTaintsPolicy="Honor"), hard("node")],
        TAINTED_Y,
        ONES,
        "x",
    ),
]


@pytest.mark.parametrize(
    ("wanted", "constraints", "nodes", "there", "fit"),
    [pytest.param(*case[1:], id=case[0]) for case in FIT_CASES],
)
def test_fit(wanted: str, constraints: list[Obj], nodes: list[str], there: list[str], fit: str) -> None:
    """Of `wanted`, `=label` asks for nodes with that label."""
    words = wanted.split()
    labels = dict.fromkeys((word for word in words if word[0] != "="), "")
    asked = {"nodeSelector": dict.fromkeys((word[1:] for word in words if word[0] == "="), "")}
    obj = pod(labels=labels, topologySpreadConstraints=constraints, **asked)
    said = World(nodes_of(nodes), pods_of(there)).feasible("PodTopologySpread", obj)
    assert "".join(name for name, reason in said.items() if not reason) == fit


@pytest.mark.parametrize(
    ("required", "key", "there", "fit"),
    [
        pytest.param(expression("node", "In", "a", "y"), "node", THREE_THREE, "abx", id="2/~1~/~0~/3"),
        pytest.param(
            expression("node", "NotIn", "b"), "zone", ["b foo", "b foo", "y foo"], "ab", id="0/~2~/0/1"
        ),
    ],
)
def test_fit_among_the_nodes_of_an_affinity(required: Obj, key: str, there: list[str], fit: str) -> None:
    """This filter alone: nodes that the affinity rules out pass it."""
    obj = pod(labels=FOO, affinity=node_terms(required), topologySpreadConstraints=[hard(key)])
    said = World(nodes_of(NODES), pods_of(there)).feasible("PodTopologySpread", obj)
    assert "".join(name for name, reason in said.items() if not reason) == fit

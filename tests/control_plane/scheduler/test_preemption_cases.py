"""The cases of kube-scheduler's table tests of preemption: who would go from each node, and which node is best.

A node is written as its pods: priority (`n`egative, `l`ow, `m`id, `h`igh, `v`ery high), size in tenths of a CPU of
the node's five, and for some the minute in which it started: `m3@2`.
"""

from __future__ import annotations

import pytest

from control_plane.client.types import Obj
from control_plane.scheduler.framework.fit_error import FitError
from control_plane.scheduler.framework.pod_info import pod_info
from control_plane.scheduler.preemption import Candidate, best
from tests.control_plane.scheduler.build import HOST, ZONE, World, node, pod

PRIORITIES = {"n": -100, "l": 0, "m": 100, "h": 1000, "v": 10000}
FOO = {"app": "foo"}


def a_pod(text: str, name: str, on: str = "", **fields: Obj) -> Obj:
    what, _, minute = text.partition("@")
    started = {"startTime": f"2026-01-01T00:{int(minute or 0):02}:00Z", "phase": "Running"}
    amount = f"{int(what[1:]) * 100}m"
    return pod(name, on=on, cpu=amount, priority=PRIORITIES[what[0]], status=started, **fields)  # type: ignore[arg-type]


def cluster(*nodes: str, labels: dict[str, str] | None = None) -> World:
    pods = [
        a_pod(text, f"{number}.{index}", f"n{number}", **({"labels": dict(labels)} if labels else {}))
        for number, texts in enumerate(nodes, 1)
        for index, text in enumerate(texts.split(), 1)
    ]
    return World([node(f"n{number}", cpu="500m") for number, _ in enumerate(nodes, 1)], pods)


def candidates(world: World, obj: Obj) -> list[Candidate]:
    info = pod_info(obj)
    try:
        world.algorithm.place(world.profile, info)
    except FitError as error:
        state = world.algorithm.state_for(world.profile, info)
        (plugin,) = (each for each in world.profile.post_filters if each.name == "DefaultPreemption")
        found, _ = plugin.candidates(state, info, error.diagnosis.statuses)  # type: ignore[attr-defined]
        return list(found)
    raise AssertionError("it fits")


def victims(world: World, obj: Obj) -> dict[str, list[str]]:
    return {each.node_name: sorted(victim.name for victim in each.victims) for each in candidates(world, obj)}


@pytest.mark.parametrize(
    ("wanted", "nodes", "expected"),
    [
        pytest.param("h3", ["m3", "m3"], {"n1": ["1.1"], "n2": ["2.1"]}, id="either"),
        pytest.param("l3", ["m3", "m3"], {}, id="all are more important"),
        pytest.param(
            "h3", ["l1 m3", "m3"], {"n1": ["1.2"], "n2": ["2.1"]}, id="a small one of low priority stays"
        ),
        pytest.param("h3", ["m1 l1 m2 h1", "h3"], {"n1": ["1.2", "1.3"]}, id="mixed priorities"),
        pytest.param(
            "h3", ["l1@5 l1@4 m2@3 h1@2", "h3@1"], {"n1": ["1.1", "1.3"]}, id="the later of two equals"
        ),
    ],
)
def test_victims_on_each_node(wanted: str, nodes: list[str], expected: dict[str, list[str]]) -> None:
    assert victims(cluster(*nodes), a_pod(wanted, "p")) == expected


@pytest.mark.parametrize(
    ("wanted", "nodes", "expected"),
    [
        pytest.param("h5", ["m2 m3", "m2 l2", "l2 l2"], "n3", id="the least highest priority"),
        pytest.param("h5", ["m2 m3", "m3 l2", "m2 m2"], "n2", id="then the least sum"),
        pytest.param("h5", ["m1 n1 m1 n1", "m3 n2", "m2 n1 l1"], "n2", id="then the fewest"),
        pytest.param(
            "h5", ["m1 n1 n1", "m3 n2", "m2 n1 l1"], "n2", id="a sum that counts negative ones as victims"
        ),
        pytest.param(
            "v5", ["m1 l1 l1", "h3", "m2 l1 l1 l2", "m2 m1 m1 n1"], "n1", id="none is best in everything"
        ),
        pytest.param("h5", ["m2@2 m2@2", "m2@3 m2@3", "m2@1 m2@1"], "n2", id="then the latest start"),
        pytest.param(
            "h5", ["m2@4 m2@2", "m2@5 m2@1", "m2@3 m2@6"], "n3", id="... of the one that started first"
        ),
        pytest.param(
            "h5", ["l2@4 m2@2", "m2@6 l2@1", "l2@3 m2@5"], "n2", id="... of those of highest priority"
        ),
    ],
)
def test_the_best_node(wanted: str, nodes: list[str], expected: str) -> None:
    assert best(candidates(cluster(*nodes), a_pod(wanted, "p"))).node_name == expected


@pytest.mark.parametrize(
    ("nodes", "disrupted", "gone", "violations"),
    [
        pytest.param("m2 m2", [], ["1.1", "1.2"], 1, id="one budget, both victims"),
        pytest.param("m2 m2", ["other"], ["1.1", "1.2"], 1, id="another one's eviction is under way"),
        pytest.param("m2 m2", ["1.2"], ["1.1", "1.2"], 0, id="the victim's own eviction is under way"),
        pytest.param("m1 m2 m2", ["1.1", "1.2"], ["1.1", "1.2", "1.3"], 0, id="of two"),
    ],
)
def test_budgets(nodes: str, disrupted: list[str], gone: list[str], violations: int) -> None:
    world = cluster(nodes, labels=FOO)
    world.budgets = [
        {
            "metadata": {"name": "pdb", "namespace": "default", "uid": "pdb"},
            "spec": {"selector": {"matchLabels": FOO}},
            "status": {
                "disruptionsAllowed": 1,
                "disruptedPods": dict.fromkeys(disrupted, "2026-01-01T00:00:00Z"),
            },
        }
    ]
    (found,) = candidates(world, a_pod("h5", "p"))
    assert (sorted(victim.name for victim in found.victims), found.violations) == (gone, violations)


def test_a_pod_that_keeps_it_away_goes() -> None:
    term = {
        "topologyKey": HOST,
        "labelSelector": {"matchExpressions": [{"key": "foo", "operator": "Exists"}]},
    }
    anti = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    foo = {"labels": {"foo": ""}}
    pods = [
        a_pod("l1", "1.1", "n1", affinity=anti, **foo),
        a_pod("m1", "1.2", "n1"),
        a_pod("h1", "1.3", "n1"),
        a_pod("h5", "2.1", "n2"),
    ]
    world = World([node("n1", cpu="500m"), node("n2", cpu="500m")], pods)
    assert victims(world, a_pod("h1", "p", **foo)) == {"n1": ["1.1"]}


def test_room_in_a_topology() -> None:
    def constraint(key: str) -> Obj:
        selector = {"matchExpressions": [{"key": "foo", "operator": "Exists"}]}
        return {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": selector,
        }

    foo = {"labels": {"foo": ""}}
    nodes = [node("a", labels={ZONE: "1"}), node("b", labels={ZONE: "1"}), node("x", labels={ZONE: "2"})]
    where = {"a1": ("m1", "a"), "a2": ("l1", "a"), "b1": ("l1", "b"), "x1": ("h1", "x"), "x2": ("h1", "x")}
    world = World(nodes, [a_pod(text, name, on, **foo) for name, (text, on) in where.items()])
    spread = {"topologySpreadConstraints": [constraint(ZONE), constraint(HOST)]}
    assert victims(world, a_pod("h1", "p", **foo, **spread)) == {"a": ["a2"], "b": ["b1"]}  # type: ignore[arg-type]


def test_so_many_nodes_are_tried_and_no_more() -> None:
    plugins = cluster(*["l5"] * 30)
    (plugin,) = (each for each in plugins.profile.post_filters if each.name == "DefaultPreemption")
    plugin._percentage, plugin._absolute = 40, 2  # type: ignore[attr-defined]
    assert len(candidates(plugins, a_pod("h5", "p"))) == 12
    plugin._percentage = 5  # type: ignore[attr-defined]
    assert len(candidates(plugins, a_pod("h5", "p"))) == 2

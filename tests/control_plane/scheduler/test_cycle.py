"""Whole cycles: the node that wins, the words when none does, and that tables change nothing but the time."""

from __future__ import annotations

import random

import pytest

from control_plane.client.types import Obj
from control_plane.scheduler.config import ProfileConfig
from control_plane.scheduler.cycle import feasible_nodes_to_find
from control_plane.scheduler.framework.fit_error import FitError
from control_plane.scheduler.framework.pod_info import pod_info
from control_plane.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from control_plane.scheduler.plugins.pod_topology_spread import PodTopologySpread
from tests.control_plane.scheduler.build import (
    HOST,
    ZONE,
    World,
    expression,
    near,
    node,
    node_terms,
    pod,
    spread,
)


def test_no_nodes() -> None:
    assert World().why_not(pod()) == "no nodes available to schedule pods"


def test_reasons_are_counted_and_sorted_as_text() -> None:
    nodes = [node("t", taints=["k=v:NoSchedule"]), *(node(f"n{i}", cpu="1") for i in range(12))]
    assert World(nodes).why_not(pod(cpu="2")) == (
        "0/13 nodes are available: 1 node(s) had untolerated taint(s), 12 Insufficient cpu."
    )


def test_daemon_pods_name_the_node_they_want() -> None:
    wanted = node_terms(fields=[expression("metadata.name", "In", "b")])
    nodes = [node("a"), node("b", cpu="1"), node("c")]
    assert World(nodes).place(pod(affinity=wanted)).node_name == "b"
    assert World(nodes).why_not(pod(cpu="2", affinity=wanted)) == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_conflicting_terms() -> None:
    fields = [expression("metadata.name", "In", "a"), expression("metadata.name", "In", "b")]
    said = World([node("a"), node("b")]).why_not(pod(affinity=node_terms(fields=fields)))
    assert said == "0/2 nodes are available: pod affinity terms conflict."


def test_the_best_score_wins() -> None:
    assert (
        World([node("full"), node("empty")], [pod(on="full", cpu="3")]).place(pod(cpu="1")).node_name
        == "empty"
    )


@pytest.mark.parametrize(
    ("nodes", "percentage", "expected"),
    [
        (10, 0, 10),
        (99, 30, 99),
        (1000, 0, 420),
        (5000, 0, 500),
        (6250, 0, 312),
        (1000, 40, 400),
        (200, 10, 100),
    ],
)
def test_how_many_feasible_nodes_are_looked_for(nodes: int, percentage: int, expected: int) -> None:
    assert feasible_nodes_to_find(nodes, percentage) == expected


def test_sampling_starts_where_the_last_cycle_stopped() -> None:
    world = World(
        [node(f"n{i:03}") for i in range(300)], profile=ProfileConfig(percentage_of_nodes_to_score=34)
    )
    starts = []
    for _ in range(4):
        placement = world.place(pod(cpu="1"))
        assert placement.evaluated == 102
        starts.append(placement.node_name)
    assert starts == ["n000", "n102", "n204", "n006"]


def test_promised_places_are_kept() -> None:
    world = World([node("n", cpu="2")])
    world.nominator.nominate(pod_info(pod("vip", cpu="2", priority=10)), "n")
    assert "Insufficient cpu" in world.why_not(pod(cpu="1"))
    assert world.place(pod(cpu="1", priority=11)).node_name == "n"


def test_a_promised_node_is_tried_first() -> None:
    world = World([node("a"), node("b")], [pod(on="b", cpu="3")])
    promised = pod(cpu="1", status={"nominatedNodeName": "b"})
    assert world.place(promised).node_name == "b"


# ---- equivalence of tables


def random_node(rng: random.Random, name: str) -> Obj:
    labels = {ZONE: f"z{rng.randrange(3)}", "disk": rng.choice(["ssd", "hdd"])}
    taints = [t for t in ("k=v:NoSchedule", "p=q:PreferNoSchedule") if rng.random() < 0.2]
    cpu = str(rng.randrange(1, 9))
    images = {"image:latest": 500_000_000} if rng.random() < 0.3 else {}
    return node(
        name, cpu=cpu, memory=f"{rng.randrange(1, 17)}Gi", labels=labels, taints=taints, images=images
    )


def random_pod(rng: random.Random, name: str) -> Obj:
    app = {"app": rng.choice("abc")}
    fields: Obj = {"labels": app, "priority": rng.randrange(3)}
    if rng.random() < 0.8:
        fields |= {"cpu": f"{rng.randrange(1, 8) * 250}m", "memory": f"{rng.randrange(1, 4)}Gi"}
    if rng.random() < 0.3:
        fields["nodeSelector"] = {"disk": rng.choice(["ssd", "hdd"])}
    if rng.random() < 0.3:
        fields["tolerations"] = [{"key": rng.choice("kp"), "operator": "Exists"}]
    if rng.random() < 0.3:
        fields["topologySpreadConstraints"] = [
            spread(rng.choice([ZONE, HOST]), rng.randrange(1, 3), app, soft=rng.random() < 0.5)
        ]
    if rng.random() < 0.2:
        kind = "requiredDuringSchedulingIgnoredDuringExecution"
        fields["affinity"] = {rng.choice(["podAffinity", "podAntiAffinity"]): {kind: [near(ZONE, app)]}}
    if rng.random() < 0.1:
        fields["host_ports"] = [80]
    return pod(name, **fields)


def straight(world: World, obj: Obj) -> tuple[str, int] | str:
    """A cycle without any table, as a definition would have it."""
    world.profile.tables._tables.clear()
    return remembered(world, obj)


def remembered(world: World, obj: Obj) -> tuple[str, int] | str:
    try:
        placement = world.place(obj)
    except FitError as error:
        return str(error)
    return placement.node_name, placement.score


@pytest.mark.parametrize("seed", range(15))
def test_tables_change_nothing_but_the_time(seed: int) -> None:
    """Two schedulers side by side through a random history: one remembers, one computes everything anew."""
    rng = random.Random(seed)
    nodes = [random_node(rng, f"n{i}") for i in range(12)]
    one, other = World(nodes), World(nodes)
    templates = [random_pod(rng, f"t{i}") for i in range(6)]
    placed: list[Obj] = []
    for step in range(120):
        action = rng.random()
        if action < 0.1:
            changed = random_node(rng, f"n{rng.randrange(14)}")
            one.cache.set_node(changed)
            other.cache.set_node(changed)
        elif action < 0.2 and placed:
            uid = placed.pop(rng.randrange(len(placed)))["metadata"]["uid"]
            one.cache.remove_pod(uid)
            other.cache.remove_pod(uid)
        else:
            template = rng.choice(templates)
            obj = {
                **template,
                "metadata": {**template["metadata"], "name": f"p{step}", "uid": f"{seed}-{step}"},
            }
            first, second = remembered(one, obj), straight(other, obj)
            assert first == second, f"seed {seed} step {step}"
            if isinstance(first, tuple):
                bound = {**obj, "spec": {**obj["spec"], "nodeName": first[0]}}
                one.cache.add_pod(pod_info(bound))
                other.cache.add_pod(pod_info(bound))
                placed.append(bound)


@pytest.mark.parametrize("seed", range(15))
def test_affinity_by_counters_is_affinity_by_looking_at_every_pod(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    nodes = [random_node(rng, f"n{i}") for i in range(10)]
    existing = []
    for index in range(40):
        leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if rng.random() < 0.2 else {}
        on, labels = f"n{rng.randrange(10)}", {"app": rng.choice("abc")}
        existing.append(
            pod(
                f"e{index}",
                on=on,
                labels=labels,
                metadata=leaving,
                namespace=rng.choice(["default", "other"]),
            )
        )
    app = {"app": rng.choice("abc")}
    terms = [
        near(
            rng.choice([ZONE, HOST, "none"]),
            app,
            namespaces=rng.choice([[], ["other"], ["default", "other"]]),
        )
    ]
    side = rng.choice(["podAffinity", "podAntiAffinity"])
    weighted = [{"weight": rng.randrange(1, 9), "podAffinityTerm": term} for term in terms]
    affinity = {
        side: {
            "requiredDuringSchedulingIgnoredDuringExecution": terms,
            "preferredDuringSchedulingIgnoredDuringExecution": weighted,
        }
    }
    wanted = pod(labels=app, affinity=affinity)
    quick = World(nodes, existing)
    answers = quick.feasible("InterPodAffinity", wanted), quick.scores("InterPodAffinity", wanted)
    monkeypatch.setattr(InterPodAffinity, "_by_value", lambda *_: None)
    slow = World(nodes, existing)
    assert answers == (slow.feasible("InterPodAffinity", wanted), slow.scores("InterPodAffinity", wanted))


@pytest.mark.parametrize("seed", range(15))
def test_hard_spreading_by_counters_is_spreading_by_looking_at_every_node(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    nodes = [random_node(rng, f"n{i}") for i in range(10)]
    app = {"app": rng.choice("abc")}
    constraints = [
        spread(key, rng.randrange(1, 3), app) for key in rng.sample([ZONE, HOST], rng.randrange(1, 3))
    ]
    wanted = pod(labels=app, topologySpreadConstraints=constraints)
    existing = [
        pod(f"e{i}", on=f"n{rng.randrange(10)}", labels={"app": rng.choice("abc")}) for i in range(30)
    ]
    quick = World(nodes, existing)
    quick.cache.add_pod(pod_info(pod("on an unknown node", on="gone", labels=app)))
    answer = quick.feasible("PodTopologySpread", wanted)
    monkeypatch.setattr(PodTopologySpread, "_everywhere", lambda *_: False)
    assert answer == quick.feasible("PodTopologySpread", wanted)

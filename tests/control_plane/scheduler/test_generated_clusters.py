"""Generated clusters, pod after pod: what the scheduler decides with its tables and counters is what comes out the
long way (see `oracle`). A failure names its seed."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from control_plane.client.types import Obj
from control_plane.scheduler.framework.fit_error import FitError
from control_plane.scheduler.framework.pod_info import pod_info
from tests.control_plane.scheduler import oracle
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

CLUSTERS, PODS, TEMPLATES = 200, 16, 4
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
APPS, KEYS, TAINTS = (
    ("a", "b", "c"),
    (HOST, ZONE, "rack"),
    ("x=1:NoSchedule", "y=1:PreferNoSchedule", "z=1:NoExecute"),
)
MB = 1024 * 1024


def a_node(rng: random.Random, index: int) -> Obj:
    labels = {ZONE: rng.choice("123"), "rack": rng.choice("pq"), "size": str(rng.randint(1, 9))}
    return node(
        f"n{index}",
        cpu=str(rng.randint(2, 8)),
        memory=f"{rng.randint(2, 16)}Gi",
        pods=rng.choice((4, 110)),
        labels={key: value for key, value in labels.items() if rng.random() < 0.85},
        taints=[taint for taint in TAINTS if rng.random() < 0.15],
        unschedulable=rng.random() < 0.05,
        images={f"{app}:latest": rng.randint(50, 1500) * MB for app in APPS if rng.random() < 0.4},
    )


def term(rng: random.Random) -> Obj:
    namespaces = rng.choice(({}, {}, {"namespaces": ["default", "other"]}, {"namespaceSelector": {}}))
    return near(rng.choice(KEYS), {"app": rng.choice(APPS)}, **namespaces)


def pod_affinity(rng: random.Random) -> Obj:
    weighted = [{"weight": rng.randint(1, 100), "podAffinityTerm": term(rng)} for _ in range(2)]
    kinds: Obj = {}
    if rng.random() < 0.3:
        kinds["podAffinity"] = {REQUIRED: [term(rng) for _ in range(rng.randint(1, 2))]}
    if rng.random() < 0.3:
        kinds["podAntiAffinity"] = {REQUIRED: [term(rng)]}
    if rng.random() < 0.5:
        kinds.setdefault(rng.choice(("podAffinity", "podAntiAffinity")), {})[PREFERRED] = weighted
    return kinds


def constraint(rng: random.Random) -> Obj:
    more: Obj = {}
    hard = rng.random() < 0.5
    if hard and rng.random() < 0.3:
        more["minDomains"] = rng.randint(1, 4)
    if rng.random() < 0.3:
        more["nodeAffinityPolicy"] = rng.choice(("Honor", "Ignore"))
    if rng.random() < 0.3:
        more["nodeTaintsPolicy"] = rng.choice(("Honor", "Ignore"))
    if rng.random() < 0.2:
        more["matchLabelKeys"] = ["version"]
    return spread(rng.choice(KEYS), rng.randint(1, 3), {"app": rng.choice(APPS)}, soft=not hard, **more)


def template(rng: random.Random) -> dict[str, Any]:
    app = rng.choice(APPS)
    fields: dict[str, Any] = {
        "labels": {"app": app, "version": rng.choice("12")},
        "namespace": rng.choice(("default", "default", "other")),
        "images": [app],
        "cpu": rng.choice(("", "100m", "1", "3")),
        "memory": rng.choice(("", "200Mi", "2Gi")),
    }
    affinity = pod_affinity(rng) if rng.random() < 0.5 else {}
    if rng.random() < 0.2:
        affinity |= node_terms(expression("size", "Gt", str(rng.randint(1, 4))))
    if rng.random() < 0.3:
        preference = {"matchExpressions": [expression("rack", "In", "p")]}
        affinity.setdefault("nodeAffinity", {})[PREFERRED] = [{"weight": 7, "preference": preference}]
    if affinity:
        fields["affinity"] = affinity
    if rng.random() < 0.2:
        fields["nodeSelector"] = {ZONE: rng.choice("123")}
    if rng.random() < 0.5:
        constraints = [constraint(rng) for _ in range(rng.randint(1, 2))]
        fields["topologySpreadConstraints"] = list(
            {(c["topologyKey"], c["whenUnsatisfiable"]): c for c in constraints}.values()
        )
    if rng.random() < 0.3:
        fields["tolerations"] = [{"key": rng.choice("xyz"), "operator": "Exists"}]
    if rng.random() < 0.1:
        fields["host_ports"] = [8080]
    return fields


@pytest.mark.parametrize("block", range(4))
def test_decisions(block: int) -> None:
    for seed in range(block, CLUSTERS, 4):
        _replay(seed)


def _replay(seed: int) -> None:
    rng = random.Random(seed)
    nodes = [a_node(rng, index) for index in range(rng.randint(3, 9))]
    templates = [template(rng) for _ in range(TEMPLATES)]
    world, placed = World(nodes), []
    for number in range(PODS):
        obj = pod(f"p{number}", **copy.deepcopy(rng.choice(templates)))
        expected = oracle.judge(World(nodes, placed), pod_info(obj))
        try:
            found = world.place(obj)
        except FitError:
            assert not expected, f"seed {seed}, pod {number}: {sorted(expected)} would do"
            continue
        best = [name for name, score in expected.items() if score == max(expected.values())]
        where = f"seed {seed}, pod {number}: {found.node_name} of {expected}"
        assert found.feasible == len(expected), where
        assert found.node_name in best, where
        if len(expected) > 1:
            assert found.score == expected[found.node_name], where
        obj["spec"]["nodeName"] = found.node_name
        world.cache.assume(pod_info(obj))
        placed.append(obj)
        if placed and rng.random() < 0.1:
            gone = placed.pop(rng.randrange(len(placed)))
            world.cache.remove_pod(gone["metadata"]["uid"])

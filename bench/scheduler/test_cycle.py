"""What one scheduling cycle costs: filter and score of a pod, by the size of the cluster.

    pytest bench/scheduler/test_cycle.py

*replica*: one of many alike, after the first, with the binding of the one before it (the common case).
*stranger*: a pod unlike any before, so that every node looked at is judged anew.
*spread*: a replica with the default spreading constraints of its owner.
*even*: a replica that must spread over zones and hosts (DoNotSchedule).
*apart*: a replica with required anti-affinity to others on its host.
*nowhere*: a pod that fits nowhere, so that all nodes are looked at.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from control_plane.api.selectors import from_set
from control_plane.scheduler.framework.fit_error import FitError
from control_plane.scheduler.framework.pod_info import pod_info
from tests.control_plane.scheduler.build import HOST, ZONE, World, near, node, pod, spread

SIZES = [100, 1000, 5000]
APP = {"app": "web"}
OTHERS = {"requiredDuringSchedulingIgnoredDuringExecution": [near(HOST, {"app": "apart"})]}
MORE: dict[str, Any] = {
    "even": {"topologySpreadConstraints": [spread(ZONE, 5, APP), spread(HOST, 5, APP)]},
    "apart": {"affinity": {"podAntiAffinity": OTHERS}, "labels": {"app": "apart"}},
}


def world_of(nodes: int, pods_per_node: int = 2) -> World:
    names = [f"n{index:05}" for index in range(nodes)]
    return World(
        [node(name, cpu="32", memory="64Gi", labels={ZONE: f"z{i % 3}"}) for i, name in enumerate(names)],
        [
            pod(on=name, cpu="100m", memory="500Mi", labels=APP)
            for name in names
            for _ in range(pods_per_node)
        ],
    )


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("kind", ["replica", "stranger", "spread", "even", "apart", "nowhere"])
def test_cycle(benchmark: Any, kind: str, nodes: int) -> None:
    world = world_of(nodes)
    numbers = itertools.count(1)
    if kind == "spread":
        world.workloads.selector = from_set(APP)

    def cycle() -> None:
        cpu = {"stranger": f"{next(numbers)}m", "nowhere": "64"}.get(kind, "100m")
        info = pod_info(pod(cpu=cpu, memory="500Mi", **{"labels": APP, **MORE.get(kind, {})}))
        try:
            placement = world.algorithm.place(world.profile, info)
        except FitError:
            return
        world.cache.assume(info.on(placement.node_name))

    cycle()
    benchmark.pedantic(cycle, rounds=200 if kind != "stranger" else 50, warmup_rounds=2)

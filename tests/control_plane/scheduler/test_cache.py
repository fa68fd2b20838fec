"""The cache: what counts where, what an assumption is worth, what changed since."""

from __future__ import annotations

import random

import pytest

from control_plane.api.selectors import from_set
from control_plane.client.types import Obj
from control_plane.scheduler.cache import Cache
from control_plane.scheduler.framework.affinity import FORMER_ZONE, REGION
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import pod_info
from control_plane.scheduler.node_tree import zone_key
from tests.control_plane.scheduler.build import HOST, ZONE, near, node, pod
from tests.control_plane.virtual_clock import VirtualClock

APP = {"app": "x"}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def cache(clock: VirtualClock) -> Cache:
    cache = Cache(clock, assumed_ttl_s=30)
    cache.set_node(node("a"))
    return cache


def used(cache: Cache, name: str = "a") -> int:
    found = cache.get(name)
    assert found is not None
    return found.requested.milli_cpu


def test_assumed_pods_count_and_are_forgotten(cache: Cache) -> None:
    info = pod_info(pod(cpu="1")).on("a")
    cache.assume(info)
    assert used(cache) == 1000
    assert cache.is_assumed(info.uid)
    with pytest.raises(ValueError, match="already"):
        cache.assume(info)
    cache.forget(info.uid)
    assert used(cache) == 0


def test_the_api_wins_over_an_assumption(cache: Cache) -> None:
    cache.set_node(node("b"))
    obj = pod(cpu="1")
    info = pod_info(obj)
    cache.assume(info.on("a"))
    cache.add_pod(pod_info({**obj, "spec": {**obj["spec"], "nodeName": "b"}}))
    assert (used(cache, "a"), used(cache, "b")) == (0, 1000)
    cache.forget(info.uid)
    assert used(cache, "b") == 1000


async def test_unconfirmed_bindings_expire(cache: Cache, clock: VirtualClock) -> None:
    binding, bound = pod_info(pod(cpu="1")).on("a"), pod_info(pod(cpu="2")).on("a")
    cache.assume(binding)
    cache.assume(bound)
    cache.finish_binding(bound.uid)
    await clock.advance(29)
    assert cache.expire() == []
    await clock.advance(2)
    assert cache.expire() == [bound]
    assert used(cache) == 1000


SAME = {
    "confirmed": {},
    "started": {"status": {"startTime": "2026-01-01T00:00:00Z", "phase": "Running"}},
    "written again": {"metadata": {"resourceVersion": "7"}},
}
OTHER = {
    "labelled": {"metadata": {"labels": {"app": "y"}}},
    "annotated": {"metadata": {"annotations": {"a": "b"}}},
    "terminating": {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
    "tolerating": {"spec": {"tolerations": [{"operator": "Exists"}]}},
    "resized": {"spec": {"containers": [{"name": "c0", "resources": {"requests": {"cpu": "2"}}}]}},
    "promised more": {
        "status": {
            "containerStatuses": [{"name": "c0", "resources": {}, "allocatedResources": {"cpu": "3"}}]
        },
    },
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_a_pod_that_counts_the_same_changes_no_node(cache: Cache, change: Obj) -> None:
    """What was computed of the node still holds; the pod itself is the new one."""
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near(HOST, APP)]}}
    obj = pod(cpu="1", labels=APP, affinity=apart)
    cache.assume(pod_info(obj).on("a"))
    before = cache.generation
    seen = pod_info(merged({**obj, "spec": {**obj["spec"], "nodeName": "a"}}, change))
    cache.add_pod(seen)
    found = cache.get("a")
    assert found is not None
    assert (cache.generation, found.generation) == (before, before)
    assert cache.pod(seen.uid) is seen
    assert not cache.is_assumed(seen.uid)
    for pods in (found.pods, found.pods_with_affinity, found.pods_with_required_anti_affinity):
        assert list(pods.values()) == [seen]


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_a_pod_that_counts_otherwise_changes_its_node(cache: Cache, change: Obj) -> None:
    obj = pod(cpu="1", labels=APP, on="a")
    cache.add_pod(pod_info(obj))
    before = cache.generation
    cache.add_pod(pod_info(merged(obj, change)))
    assert cache.generation > before
    assert list(cache.changed_since(before)) == [cache.get("a")]


def merged(obj: Obj, change: Obj) -> Obj:
    return {**obj, **{key: {**obj.get(key, {}), **value} for key, value in change.items()}}


def test_a_confirmed_pod_does_not_expire(cache: Cache) -> None:
    obj = pod(cpu="1", on="a")
    info = pod_info(obj)
    cache.assume(info)
    cache.finish_binding(info.uid)
    cache.add_pod(info)
    assert not cache.is_assumed(info.uid)
    assert cache.expire() == []


def test_a_node_may_go_before_its_pods(cache: Cache) -> None:
    info = pod_info(pod(cpu="1", on="a"))
    cache.add_pod(info)
    cache.remove_node("a")
    assert cache.get("a") is None
    assert list(cache.all()) == []
    cache.set_node(node("a"))
    assert used(cache) == 1000
    cache.remove_node("a")
    cache.remove_pod(info.uid)
    cache.set_node(node("a"))
    assert used(cache) == 0


def test_pods_may_come_before_their_node(cache: Cache) -> None:
    cache.add_pod(pod_info(pod(cpu="1", on="new")))
    assert cache.get("new") is None
    cache.set_node(node("new"))
    assert used(cache, "new") == 1000


def test_zones_take_turns(cache: Cache) -> None:
    cache.remove_node("a")
    for name, zone in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c"), ("c2", "c")):
        cache.set_node(node(name, labels={ZONE: zone}))
    assert [each.name for each in cache.all()] == ["a1", "b1", "c1", "a2", "c2", "a3"]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(
            ["a1 a", "b1 b", "a2 a", "-a1"], "a2 b1", id="a zone keeps its place while it has nodes"
        ),
        pytest.param(["a1 a", "b1 b", "-a1", "a1 a"], "b1 a1", id="and comes last when it comes back"),
        pytest.param(["a1 a", "b1 b", "b2 b", "a1 b"], "b1 b2 a1", id="who moves comes last"),
        pytest.param(["a1 a", "b1 b", "a2 a", "a1 a"], "a1 b1 a2", id="who does not move stays"),
    ],
)
def test_nodes_come_in_the_order_of_their_zones(steps: list[str], expected: str) -> None:
    cache = Cache(VirtualClock())
    for step in steps:
        name, _, zone = step.partition(" ")
        if zone:
            cache.set_node(node(name, labels={ZONE: zone}))
        else:
            cache.remove_node(name[1:])
    assert " ".join(each.name for each in cache.all()) == expected


def test_pods_do_not_order_their_nodes() -> None:
    cache = Cache(VirtualClock())
    cache.add_pod(pod_info(pod(on="b")))
    cache.set_node(node("a"))
    cache.set_node(node("b"))
    assert [each.name for each in cache.all()] == ["a", "b"]


def test_former_zone_labels_come_first() -> None:
    assert zone_key({FORMER_ZONE: "x", ZONE: "y"}) == ":\x00:x"
    assert zone_key({ZONE: "y", REGION: "r"}) == "r:\x00:y"
    assert zone_key({HOST: "n"}) == ""


def test_changes_are_named_newest_first(cache: Cache) -> None:
    cache.set_node(node("b"))
    cache.set_node(node("c"))
    before = cache.generation
    cache.add_pod(pod_info(pod(on="b")))
    cache.add_pod(pod_info(pod(on="a")))
    assert [each.name for each in cache.changed_since(before)] == ["a", "b"]
    assert list(cache.changed_since(cache.generation)) == []


def test_order_changes_with_the_set_of_nodes_only(cache: Cache) -> None:
    order = cache.order
    cache.add_pod(pod_info(pod(on="a")))
    cache.set_node(node("a", cpu="8"))
    assert cache.order == order
    cache.set_node(node("b"))
    assert cache.order != order


def test_affinity_lists(cache: Cache) -> None:
    term = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near(ZONE, APP)]}}
    info = pod_info(pod(on="a", affinity=term))
    cache.add_pod(info)
    assert [each.name for each in cache.with_affinity()] == ["a"]
    assert [each.name for each in cache.with_required_anti_affinity()] == ["a"]
    cache.remove_pod(info.uid)
    assert list(cache.with_affinity()) == []


def recount(cache: Cache, namespace: str, labels: dict[str, str]) -> dict[str, int]:
    """The slow way."""
    counts: dict[str, int] = {}
    for each in cache.all():
        for info in each.pods.values():
            if info.namespace == namespace and not info.terminating and from_set(labels).matches(info.labels):
                counts[each.name] = counts.get(each.name, 0) + 1
    return counts


@pytest.mark.parametrize("seed", range(10))
def test_counters_and_sums_agree_with_counting_again(seed: int) -> None:
    """Random pods, nodes and labels: what is kept up to date equals what is computed from scratch."""
    rng = random.Random(seed)
    cache = Cache(VirtualClock())
    live: dict[str, Obj] = {}
    for _ in range(300):
        name, action = f"n{rng.randrange(5)}", rng.randrange(6)
        if action == 0:
            cache.set_node(node(name, labels={ZONE: f"z{rng.randrange(3)}"}))
        elif action == 1 and live:
            uid = rng.choice(list(live))
            cache.remove_pod(uid)
            del live[uid]
        elif action == 2 and live:
            obj = rng.choice(list(live.values()))
            obj["metadata"] = {**obj["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
            cache.add_pod(pod_info(obj))
        elif action == 3:
            cache.matching("default", from_set(APP)).by_value(ZONE)
        elif cache.get(name) is not None:
            labels = APP if rng.random() < 0.7 else {"app": "y"}
            obj = pod(on=name, cpu=f"{rng.randrange(5)}", labels=labels, host_ports=[rng.randrange(1, 9)])
            live[obj["metadata"]["uid"]] = obj
            cache.add_pod(pod_info(obj))
    counter = cache.matching("default", from_set(APP))
    assert dict(counter.by_node) == recount(cache, "default", APP)
    by_zone: dict[str, int] = {}
    for each in cache.all():
        count = counter.by_node.get(each.name, 0)
        zone = each.labels.get(ZONE, "")
        by_zone[zone] = by_zone.get(zone, 0) + count
        assert each.requested.milli_cpu == sum(info.requests.milli_cpu for info in each.pods.values())
        assert sum(each.ports.values()) == sum(len(info.ports) for info in each.pods.values())
    totals = counter.by_value(ZONE)
    assert {zone: totals.get(zone, 0) for zone in by_zone} == by_zone


def test_trying_out_leaves_the_node_alone() -> None:
    real = NodeInfo("n")
    real.set_node(node("n"))
    real.add_pod(pod_info(pod(on="n", cpu="1")))
    copy = real.copy()
    copy.add_pod(pod_info(pod(on="n", cpu="2", host_ports=[80])))
    copy.remove_pod(next(iter(real.pods)))
    assert real.requested.milli_cpu == 1000
    assert len(real.pods) == 1
    assert not real.ports

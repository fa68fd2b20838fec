"""How fast nodes are evicted, by the state of their zones; then the loop over an API in memory."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.client.gvr import NODES, PODS
from control_plane.controllers.context import Options
from control_plane.controllers.main import Manager
from control_plane.controllers.node_lifecycle import NodeLifecycleController
from control_plane.controllers.node_zones import State, Zones, rate_of, state_of
from control_plane.controllers.taint_eviction import TaintEvictionController
from tests.control_plane.controllers.objects import Obj, pod
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle

ZONE = "topology.kubernetes.io/zone"


def node(name: str, zone: str = "a", ready: str = "True") -> Obj:
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": "t"}]
    return {
        "metadata": {"name": name, "uid": name, "labels": {ZONE: zone}},
        "spec": {},
        "status": {"conditions": conditions},
    }


@pytest.mark.parametrize(
    ("ready", "not_ready", "expected"),
    [
        pytest.param(3, 0, State.NORMAL, id="all are ready"),
        pytest.param(0, 0, State.NORMAL, id="there is none"),
        pytest.param(0, 1, State.FULL, id="none is ready"),
        pytest.param(1, 2, State.NORMAL, id="two do not make a disruption"),
        pytest.param(2, 3, State.PARTIAL, id="just enough"),
        pytest.param(3, 3, State.NORMAL, id="half is not enough"),
    ],
)
def test_state(ready: int, not_ready: int, expected: State) -> None:
    assert state_of(ready, not_ready, 0.55) is expected


@pytest.mark.parametrize(
    ("state", "size", "expected"),
    [
        (State.NORMAL, 5, 0.1),
        (State.FULL, 5, 0.1),
        (State.PARTIAL, 50, 0.0),
        (State.PARTIAL, 51, 0.01),
    ],
)
def test_rate(state: State, size: int, expected: float) -> None:
    assert rate_of(state, size, Options()) == expected


def zones_of(nodes: Sequence[Obj]) -> Zones:
    zones = Zones(Options())
    for each in nodes:
        zones.observe(each)
    return zones


def test_nodes_of_a_zone_go_one_by_one() -> None:
    dead = [node(f"dead{n}", ready="Unknown") for n in range(2)]
    zones = zones_of([*dead, node("alive1"), node("alive2")])
    assert zones.may_evict(dead[0], 0)
    assert not zones.may_evict(dead[1], 0)
    assert not zones.may_evict(dead[1], 9)
    assert zones.may_evict(dead[1], 10)
    assert zones.may_evict(dead[0], 10), "once granted, it stays so"


def test_zones_do_not_wait_for_each_other() -> None:
    dead = [node("x", "a", "False"), node("y", "b", "Unknown")]
    zones = zones_of([*dead, node("z", "a"), node("w", "b")])
    assert all(zones.may_evict(each, 0) for each in dead)


def test_a_zone_that_is_gone_is_evicted_where_others_live() -> None:
    dead = [node(f"d{n}", "a", "Unknown") for n in range(4)]
    zones = zones_of([*dead, node("alive", "b")])
    assert zones.state(":a") is State.FULL
    assert zones.may_evict(dead[0], 0)


def test_a_small_zone_that_is_half_dead_is_left_alone() -> None:
    dead = [node(f"d{n}", "a", "Unknown") for n in range(4)]
    zones = zones_of([*dead, node("alive", "a"), node("other", "b")])
    assert zones.state(":a") is State.PARTIAL
    assert not zones.may_evict(dead[0], 1e6)


def test_where_nothing_speaks_nothing_is_evicted() -> None:
    dead = [node("x", "a", "Unknown"), node("y", "b", "Unknown")]
    zones = zones_of(dead)
    assert zones.all_disrupted
    assert not zones.may_evict(dead[0], 1e6)
    zones.observe(node("y", "b"))
    assert zones.may_evict(dead[0], 1e6)


history = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from("ab"), st.sampled_from(["True", "Unknown", "gone"]))
)


@given(history)
def test_only_what_is_there_counts(events: list[tuple[int, str, str]]) -> None:
    zones = Zones(Options())
    nodes: dict[str, Obj] = {}
    for number, zone, what in events:
        name = f"n{number}"
        if what == "gone":
            zones.forget(name)
            nodes.pop(name, None)
        else:
            nodes[name] = node(name, zone, what)
            zones.observe(nodes[name])
    fresh = zones_of(list(nodes.values()))
    assert [zones.state(f":{zone}") for zone in "ab"] == [fresh.state(f":{zone}") for zone in "ab"]
    assert zones.all_disrupted == fresh.all_disrupted


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_never_faster_than_the_rate(waits: list[float]) -> None:
    dead = [node(f"d{n}", ready="Unknown") for n in range(len(waits))]
    zones = zones_of([*dead, *(node(f"a{n}") for n in range(len(waits)))])
    now, granted = 0.0, 0
    for each, wait in zip(dead, waits, strict=True):
        now += wait
        granted += zones.may_evict(each, now)
        assert granted <= 1 + now * 0.1 + 1e-6


# ---- the loop


@asynccontextmanager
async def loop(api: FakeApi, clock: VirtualClock) -> AsyncIterator[None]:
    options = Options(node_monitor_grace_period_s=10, node_eviction_rate=0.1)
    manager = Manager(api.client(clock=clock), options, [NodeLifecycleController, TaintEvictionController])
    running = asyncio.ensure_future(manager.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.stop()


def beat(api: FakeApi, clock: VirtualClock, *names: str) -> None:
    for name in names:
        found = copy.deepcopy(api.get(NODES, name))
        assert found is not None
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": str(clock.wall())}
        found["status"]["conditions"] = [ready]
        api.update(NODES, found)


def evicted(api: FakeApi) -> set[str]:
    """Nodes that are marked."""
    return {
        each["metadata"]["name"]
        for each in api.list(NODES)
        if any(taint["effect"] == "NoExecute" for taint in each["spec"].get("taints") or ())
    }


async def pass_time(api: FakeApi, clock: VirtualClock, seconds: int, *alive: str) -> None:
    for _ in range(seconds):
        beat(api, clock, *alive)
        await clock.advance(1)
        await settle()


async def test_dead_nodes_are_marked_one_after_another_and_their_pods_go() -> None:
    clock = VirtualClock()
    api = FakeApi(now=clock.wall)
    for name in ("d1", "d2", "alive1", "alive2"):
        api.create(NODES, node(name))
        api.create(PODS, pod(f"on-{name}", node=name))
    async with loop(api, clock):
        await pass_time(api, clock, 13, "alive1", "alive2")
        assert len(evicted(api)) == 1
        both = [each for each in api.list(NODES) if each["metadata"]["name"].startswith("d")]
        assert all(each["spec"]["taints"] for each in both), "no new pods for either, at once"
        await pass_time(api, clock, 12, "alive1", "alive2")
        assert evicted(api) == {"d1", "d2"}
        gone = {
            each["metadata"]["name"] for each in api.list(PODS) if each["metadata"].get("deletionTimestamp")
        }
        assert gone == {"on-d1", "on-d2"}
        await pass_time(api, clock, 3, "d1", "d2", "alive1", "alive2")
        assert evicted(api) == set(), "who speaks again is unmarked"


async def test_when_all_fall_silent_the_marks_go() -> None:
    clock = VirtualClock()
    api = FakeApi(now=clock.wall)
    for name in ("n1", "n2", "n3"):
        api.create(NODES, node(name))
    async with loop(api, clock):
        await pass_time(api, clock, 13, "n1", "n2")
        assert evicted(api) == {"n3"}
        await pass_time(api, clock, 30)
        assert evicted(api) == set()
        await pass_time(api, clock, 3, "n1")
        assert len(evicted(api)) == 1, "one of the others, now that there is somewhere to go"
        await pass_time(api, clock, 12, "n1")
        assert evicted(api) == {"n2", "n3"}

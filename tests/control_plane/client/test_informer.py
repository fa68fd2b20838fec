"""The informer's contract: nothing missed, nothing told twice, whatever happens to the connection."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from control_plane.api import errors
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import CONFIGMAPS, PODS
from control_plane.client.informer import LOOK_FOR_API_S, Informer, InformerFactory
from control_plane.client.types import Obj
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle


def configmap(name: str, value: str = "", **labels: str) -> Obj:
    return {"metadata": {"name": name, "namespace": "default", "labels": labels}, "data": {"v": value}}


class Told:
    """A handler that remembers."""

    def __init__(self, informer: Informer) -> None:
        self.events: list[str] = []
        informer.add_handler(self.added, self.updated, self.deleted)

    def added(self, obj: Obj) -> None:
        self.events.append(f"+{obj['metadata']['name']}={obj['data']['v']}")

    def updated(self, old: Obj, new: Obj) -> None:
        self.events.append(f"~{new['metadata']['name']}={old['data']['v']}>{new['data']['v']}")

    def deleted(self, obj: Obj) -> None:
        self.events.append(f"-{obj['metadata']['name']}={obj['data']['v']}")


class World:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = VirtualClock()
        self.factory = InformerFactory(self.api.client(clock=self.clock))
        self.informer = self.factory.informer(CONFIGMAPS)
        self.told = Told(self.informer)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.factory.stop()


async def test_list_then_watch(world: World) -> None:
    world.api.create(CONFIGMAPS, configmap("a", "1"))
    await world.factory.start()
    await world.factory.wait_synced()
    assert world.told.events == ["+a=1"]
    world.api.update(CONFIGMAPS, configmap("a", "2"))
    world.api.create(CONFIGMAPS, configmap("b", "1"))
    world.api.delete(CONFIGMAPS, "a", "default")
    await settle()
    assert world.told.events[1:] == ["~a=1>2", "+b=1", "-a=2"]
    assert [obj["metadata"]["name"] for obj in world.informer.list()] == ["b"]
    assert world.informer.get("default", "a") is None


async def test_managed_fields_are_dropped(world: World) -> None:
    obj = configmap("a")
    obj["metadata"]["managedFields"] = [{"manager": "x"}]
    world.api.create(CONFIGMAPS, obj)
    await world.factory.start()
    await world.factory.wait_synced()
    cached = world.informer.get("default", "a")
    assert cached is not None
    assert "managedFields" not in cached["metadata"]


async def test_relist_tells_what_the_gap_hid(world: World) -> None:
    """Deleted, replaced and changed while nobody watched, and history compacted."""
    for name in ("kept", "gone", "changed", "replaced"):
        world.api.create(CONFIGMAPS, configmap(name, "1"))
    await world.factory.start()
    await world.factory.wait_synced()
    await settle()
    world.told.events.clear()
    world.api.break_watches()
    world.api.delete(CONFIGMAPS, "gone", "default")
    world.api.update(CONFIGMAPS, configmap("changed", "2"))
    world.api.delete(CONFIGMAPS, "replaced", "default")
    world.api.create(CONFIGMAPS, configmap("replaced", "2"))
    world.api.compact()
    await world.clock.advance(5)
    expected = ["-gone=1", "+replaced=2", "-replaced=1", "~changed=1>2"]
    assert sorted(world.told.events) == sorted(expected)
    assert world.told.events.index("-replaced=1") < world.told.events.index("+replaced=2")
    assert len(world.informer) == 3


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(lambda: ConnectionFailed("down"), id="no connection"),
        pytest.param(lambda: errors.internal("x"), id="500"),
        pytest.param(lambda: errors.forbidden("", "configmaps", "", "rbac"), id="403"),
        pytest.param(lambda: errors.resource_version_too_large(9, 1), id="lagging replica"),
    ],
)
async def test_a_failing_list_is_tried_again(world: World, failure: object) -> None:
    world.api.create(CONFIGMAPS, configmap("a", "1"))
    world.api.fail_next(lambda method, _: method == "GET", failure, times=20)  # type: ignore[arg-type]
    await world.factory.start()
    await world.clock.advance(1)
    assert not world.informer.synced
    await world.clock.advance(300)
    assert world.told.events == ["+a=1"]


async def test_pages_of_a_long_list(world: World) -> None:
    for number in range(1203):
        world.api.create(CONFIGMAPS, configmap(f"c{number}"))
    await world.factory.start()
    await world.factory.wait_synced()
    assert len(world.informer) == 1203
    assert len(world.api.requests("GET")) == 3


async def test_one_watch_per_kind_and_late_handlers(world: World) -> None:
    world.api.create(CONFIGMAPS, configmap("a", "1"))
    assert world.factory.informer(CONFIGMAPS) is world.informer
    await world.factory.start()
    late = world.factory.informer(PODS)
    await world.factory.wait_synced()
    await settle()
    assert late.synced
    assert world.api.watch_count == 2
    assert Told(world.informer).events == ["+a=1"]


async def test_a_failing_handler_harms_nobody(world: World) -> None:
    def broken(_: Obj) -> None:
        raise RuntimeError("boom")

    world.informer.add_handler(on_add=broken)
    after = Told(world.informer)
    world.api.create(CONFIGMAPS, configmap("a", "1"))
    await world.factory.start()
    await world.factory.wait_synced()
    assert after.events == ["+a=1"]


async def test_indexes_follow(world: World) -> None:
    world.informer.add_index("app", lambda obj: obj["metadata"]["labels"].values())
    await world.factory.start()
    world.api.create(CONFIGMAPS, configmap("a", app="x"))
    world.api.create(CONFIGMAPS, configmap("b", app="x"))
    await settle()
    assert len(world.informer.by_index("app", "x")) == 2
    world.api.update(CONFIGMAPS, configmap("a", app="y"))
    world.api.delete(CONFIGMAPS, "b", "default")
    await settle()
    assert world.informer.by_index("app", "x") == []
    assert [obj["metadata"]["name"] for obj in world.informer.by_index("app", "y")] == ["a"]


async def test_resync_tells_everything_again() -> None:
    api, clock = FakeApi(), VirtualClock()
    factory = InformerFactory(api.client(clock=clock), resync_period_s=60)
    told = Told(factory.informer(CONFIGMAPS))
    api.create(CONFIGMAPS, configmap("a", "1"))
    await factory.start()
    await clock.advance(121)
    await factory.stop()
    assert told.events == ["+a=1", "~a=1>1", "~a=1>1"]


@pytest.mark.parametrize("seed", range(20))
async def test_any_history_ends_in_the_servers_state(seed: int) -> None:
    """Random writes, broken streams, compactions: what the handlers were told adds up to what there is."""
    world = World()
    rng = random.Random(seed)
    await world.factory.start()
    for step in range(200):
        name = f"c{rng.randrange(8)}"
        exists = world.api.get(CONFIGMAPS, name, "default") is not None
        action = rng.randrange(12)
        if action < 5 and not exists:
            world.api.create(CONFIGMAPS, configmap(name, str(step)))
        elif action < 5:
            world.api.update(CONFIGMAPS, configmap(name, str(step)))
        elif action < 8 and exists:
            world.api.delete(CONFIGMAPS, name, "default")
        elif action == 8:
            world.api.break_watches()
        elif action == 9:
            world.api.compact()
        elif action == 10:
            world.api.bookmark()
        else:
            await world.clock.advance(rng.random())
    await world.clock.advance(30)
    await world.factory.stop()
    model: dict[str, str] = {}
    for event in world.told.events:
        name, _, value = event[1:].partition("=")
        if event[0] == "+":
            assert name not in model
            model[name] = value
        elif event[0] == "~":
            old, _, model_new = value.partition(">")
            assert model[name] == old
            model[name] = model_new
        else:
            del model[name]
    truth = {obj["metadata"]["name"]: obj["data"]["v"] for obj in world.api.list(CONFIGMAPS)}
    assert model == truth
    assert {obj["metadata"]["name"]: obj["data"]["v"] for obj in world.informer.list()} == truth


async def test_a_kind_that_need_not_be_served() -> None:
    api, clock = FakeApi(), VirtualClock()
    factory = InformerFactory(api.client(clock=clock))
    informer = factory.informer(CONFIGMAPS, optional=True)
    told = Told(informer)
    api.create(CONFIGMAPS, configmap("a", "1"))
    api.fail_next(lambda method, target: "configmaps" in target, errors.path_not_found, 2)
    await factory.start()
    await factory.wait_synced()
    assert told.events == []
    await clock.advance(LOOK_FOR_API_S - 1)
    await settle()
    assert len(api.requests("GET", "configmaps")) == 1, "it is looked for from time to time"
    await clock.advance(LOOK_FOR_API_S + 2)
    await settle()
    assert told.events == ["+a=1"]
    await factory.stop()

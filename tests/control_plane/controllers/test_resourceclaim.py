"""Claims of pods: what is made, kept, given back and deleted; then the loop over an API in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.api import errors, meta
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import EVENTS, PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS
from control_plane.controllers.context import Options
from control_plane.controllers.device_taint_eviction import DeviceTaintEvictionController
from control_plane.controllers.main import Manager
from control_plane.controllers.resourceclaim import ResourceClaimController, plan
from tests.control_plane.controllers.objects import NOW, Obj
from tests.control_plane.controllers.objects import pod as any_pod
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle

TEMPLATE: Obj = {
    "metadata": {"name": "gpu", "namespace": "default"},
    "spec": {
        "metadata": {"labels": {"tier": "gold"}, "annotations": {"a": "b"}},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}},
    },
}
FROM_TEMPLATE = {"name": "gpu", "resourceClaimTemplateName": "gpu"}
DIRECT = {"name": "shared", "resourceClaimName": "c"}
RESULT = {"request": "r", "driver": "d.io", "pool": "p", "device": "d1"}
ALLOCATION: Obj = {"devices": {"results": [RESULT]}}


def pod(name: str = "p", *entries: Obj, node: str = "", phase: str = "Pending", **more: Any) -> Obj:
    made = any_pod(name, node=node, phase=phase, spec={"resourceClaims": list(entries)}, **more)
    return {"apiVersion": "v1", "kind": "Pod", **made}


def user(name: str = "p", uid: str = "") -> Obj:
    return {"resource": "pods", "name": name, "uid": uid or f"uid-{name}"}


def claim(
    *users: Obj, allocated: bool = True, owner: Obj | None = None, deleting: bool = False, name: str = "c"
) -> Obj:
    metadata: Obj = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    if owner is not None:
        metadata["ownerReferences"] = [meta.controller_reference(owner)]
    if allocated:
        metadata["finalizers"] = [plan.FINALIZER]
    if deleting:
        metadata["deletionTimestamp"] = meta.rfc3339(NOW)
    status: Obj = {"allocation": ALLOCATION} if allocated else {}
    if users:
        status["reservedFor"] = list(users)
    return {"metadata": metadata, "spec": {}, "status": status}


def test_a_claim_as_the_template_says() -> None:
    made = plan.claim_for(pod("p", FROM_TEMPLATE), FROM_TEMPLATE, TEMPLATE)
    assert made["metadata"]["labels"] == {"tier": "gold"}
    assert made["metadata"]["annotations"] == {"a": "b", plan.ENTRY: "gpu"}
    assert made["metadata"]["name"].startswith("p-gpu-")
    assert meta.is_controlled_by(made, pod("p"))
    assert made["spec"] == TEMPLATE["spec"]["spec"]


def test_names_are_of_the_pod_and_the_entry() -> None:
    first = plan.claim_name(pod("p"), FROM_TEMPLATE)
    assert first == plan.claim_name(pod("p"), FROM_TEMPLATE)
    again = pod("p")
    again["metadata"]["uid"] = "another"
    assert first != plan.claim_name(again, FROM_TEMPLATE)
    assert len(plan.claim_name(pod("p" * 200), FROM_TEMPLATE)) == 63


RUNNING = pod("p", node="n1", phase="Running")
ENDED = pod("p", node="n1", phase="Succeeded")
NEVER_RAN = pod("p", deleting=True)
GOING = pod("p", node="n1", phase="Running", deleting=True)
OTHER_KIND = {"apiGroup": "example.com", "resource": "things", "name": "p", "uid": "u"}


@pytest.mark.parametrize(
    ("obj", "its_pod", "users", "allocated", "release", "delete"),
    [
        pytest.param(claim(), None, [], True, False, False, id="unused from the start: kept"),
        pytest.param(claim(user()), RUNNING, ["p"], True, False, False, id="used"),
        pytest.param(claim(user()), GOING, ["p"], True, False, False, id="its pod still ends"),
        pytest.param(claim(user()), ENDED, [], False, True, False, id="its pod has ended"),
        pytest.param(claim(user()), NEVER_RAN, [], False, True, False, id="its pod never ran"),
        pytest.param(claim(user()), None, [], False, True, False, id="its pod is gone"),
        pytest.param(claim(user(uid="old")), RUNNING, [], False, True, False, id="its pod was replaced"),
        pytest.param(claim(user(), user("q")), RUNNING, ["p"], True, False, False, id="one of two has ended"),
        pytest.param(claim(OTHER_KIND), None, ["p"], True, False, False, id="used by something else"),
        pytest.param(claim(deleting=True), None, [], False, True, False, id="deleted, unused"),
        pytest.param(claim(user(), deleting=True), RUNNING, ["p"], True, False, False, id="deleted, used"),
        pytest.param(claim(user(), owner=RUNNING), RUNNING, ["p"], True, False, False, id="generated, used"),
        pytest.param(claim(owner=RUNNING), RUNNING, [], True, False, False, id="generated, not used yet"),
        pytest.param(claim(user(), owner=ENDED), ENDED, [], False, True, True, id="generated, pod ended"),
        pytest.param(
            claim(allocated=False, owner=ENDED), ENDED, [], False, False, True, id="generated for nothing"
        ),
        pytest.param(
            claim(allocated=False, owner=ENDED), None, [], False, False, False, id="left to the collector"
        ),
    ],
)
def test_what_becomes_of_a_claim(
    obj: Obj, its_pod: Obj | None, users: list[str], allocated: bool, release: bool, delete: bool
) -> None:
    wanted = plan.plan(obj, lambda _, name: its_pod if name == "p" else None)
    after = wanted.status or obj
    assert [each["name"] for each in plan.reserved_for(after)] == users
    assert ("allocation" in after["status"]) == allocated
    assert (wanted.release, wanted.delete) == (release, delete)
    again = plan.plan(after, lambda _, name: its_pod if name == "p" else None)
    assert again.status is None, "one look is enough"


# ---- the loops


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.api = FakeApi(now=self.clock.wall)
        self._start()

    def _start(self) -> None:
        loops = [ResourceClaimController, DeviceTaintEvictionController]
        self._manager = Manager(self.api.client(clock=self.clock), Options(), list(loops))
        self._running = asyncio.ensure_future(self._manager.run())

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._manager.stop()

    async def restart(self) -> None:
        await self.stop()
        self._start()

    async def turn(self, seconds: float = 1.0) -> None:
        await self.clock.advance(seconds)
        await settle()

    def claims(self) -> list[str]:
        return sorted(meta.name_of(each) for each in self.api.list(RESOURCE_CLAIMS))

    def status(self, name: str) -> Obj:
        return dict((self.api.get(RESOURCE_CLAIMS, name, "default") or {}).get("status") or {})

    def allocate(self, name: str, by: str) -> None:
        """As the scheduler does."""
        found = self.api.get(RESOURCE_CLAIMS, name, "default")
        its_pod = self.api.get(PODS, by, "default")
        assert found is not None
        assert its_pod is not None
        metadata = {**found["metadata"], "finalizers": [plan.FINALIZER]}
        status = {"allocation": ALLOCATION, "reservedFor": [user(by, meta.uid_of(its_pod))]}
        self.api.update(RESOURCE_CLAIMS, {**found, "metadata": metadata, "status": status})

    def end(self, name: str) -> None:
        found = self.api.get(PODS, name, "default")
        assert found is not None
        self.api.update(PODS, {**found, "status": {**found["status"], "phase": "Succeeded"}})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.stop()


async def test_a_claim_lives_as_long_as_its_pod(world: World) -> None:
    world.api.create(RESOURCE_CLAIM_TEMPLATES, TEMPLATE)
    made = world.api.create(PODS, pod("p", FROM_TEMPLATE))
    await world.turn()
    (name,) = world.claims()
    assert name == plan.claim_name(made, FROM_TEMPLATE)
    found = world.api.get(PODS, "p", "default")
    assert found is not None
    assert found["status"]["resourceClaimStatuses"] == [{"name": "gpu", "resourceClaimName": name}]
    world.allocate(name, "p")
    await world.turn()
    assert world.claims() == [name]
    world.end("p")
    await world.turn()
    assert world.claims() == []


async def test_a_template_that_comes_late_is_waited_for(world: World) -> None:
    world.api.create(PODS, pod("p", FROM_TEMPLATE))
    await world.turn()
    assert world.claims() == []
    said = [each["message"] for each in world.api.list(EVENTS)]
    assert any("PodResourceClaim gpu" in each and "not found" in each for each in said)
    world.api.create(RESOURCE_CLAIM_TEMPLATES, TEMPLATE)
    await world.turn(35)
    assert len(world.claims()) == 1


async def test_a_shared_claim_is_given_back_and_stays(world: World) -> None:
    world.api.create(RESOURCE_CLAIMS, claim(allocated=False))
    world.api.create(PODS, pod("p", DIRECT, node="n1"))
    world.allocate("c", "p")
    await world.turn()
    assert plan.reserved_for({"status": world.status("c")})
    world.end("p")
    await world.turn()
    assert world.claims() == ["c"]
    assert world.status("c") == {}
    found = world.api.get(RESOURCE_CLAIMS, "c", "default")
    assert found is not None
    assert meta.finalizers(found) == []


async def test_a_claim_is_freed_of_a_pod_that_did_not_know_it(world: World) -> None:
    """As last seen: its status was written just before it went."""
    made = world.api.create(PODS, pod("p", node="n1", phase="Running"))
    world.api.create(RESOURCE_CLAIMS, claim(user("p", meta.uid_of(made))))
    await world.turn()
    assert "allocation" in world.status("c")
    world.api.delete(PODS, "p", "default")
    await world.turn()
    assert world.status("c") == {}


async def test_a_pod_that_needs_no_scheduler_gets_its_place(world: World) -> None:
    world.api.create(RESOURCE_CLAIMS, claim())
    world.api.create(PODS, pod("p", DIRECT, node="n1", phase="Running"))
    await world.turn()
    assert [each["name"] for each in world.status("c")["reservedFor"]] == ["p"]


async def test_somebody_elses_claim_of_that_name_is_not_used(world: World) -> None:
    mine = pod("p", FROM_TEMPLATE)
    made = world.api.create(PODS, mine)
    world.api.create(RESOURCE_CLAIMS, claim(allocated=False, name=plan.claim_name(made, FROM_TEMPLATE)))
    world.api.create(RESOURCE_CLAIM_TEMPLATES, TEMPLATE)
    await world.turn()
    found = world.api.get(PODS, "p", "default")
    assert found is not None
    assert not found["status"].get("resourceClaimStatuses")
    assert "FailedResourceClaimCreation" in {each["reason"] for each in world.api.list(EVENTS)}


STEPS = [
    "create",
    "allocate",
    "end",
    "remove",
    "drop claim",
    "conflict",
    "reset",
    "break",
    "compact",
    "restart",
]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 2)), max_size=25))
def test_random_histories_converge(history: list[tuple[str, int]]) -> None:
    asyncio.run(_play(history))


async def _play(history: list[tuple[str, int]]) -> None:
    world = World()
    try:
        world.api.create(RESOURCE_CLAIM_TEMPLATES, TEMPLATE)
        for what, number in history:
            await _step(world, what, f"p{number}")
            await world.turn(0.5)
        await world.turn(100)
        await world.turn(100)
        _check(world)
    finally:
        await world.stop()


async def _step(world: World, what: str, name: str) -> None:
    api = world.api
    its_pod = api.get(PODS, name, "default")
    its_claim = plan.names(its_pod).get("gpu") if its_pod else None
    match what:
        case "create" if its_pod is None:
            api.create(PODS, pod(name, FROM_TEMPLATE, node="n1"))
        case "allocate" if its_claim and api.get(RESOURCE_CLAIMS, its_claim, "default"):
            world.allocate(its_claim, name)
        case "end" if its_pod is not None:
            world.end(name)
        case "remove" if its_pod is not None:
            api.update(PODS, {**its_pod, "status": {"phase": "Failed"}})
            api.delete(PODS, name, "default")
        case "drop claim" if its_claim and api.get(RESOURCE_CLAIMS, its_claim, "default"):
            api.delete(RESOURCE_CLAIMS, its_claim, "default")
        case "conflict":
            api.fail_next(lambda method, _: method != "GET", lambda: errors.conflict("", "x", "x"))
        case "reset":
            api.fail_next(lambda method, _: method == "POST", lambda: ConnectionFailed("reset"))
        case "break":
            api.break_watches()
        case "compact":
            api.compact()
        case "restart":
            await world.restart()


def _check(world: World) -> None:
    """Each pod that may run has its claim, by its name; nothing is held for anybody else."""
    pods = {meta.name_of(each): each for each in world.api.list(PODS)}
    for name, each in pods.items():
        if not plan.is_done(each) and not meta.is_deleting(each):
            mine = world.api.get(RESOURCE_CLAIMS, plan.names(each).get("gpu", ""), "default")
            assert mine is not None, name
            assert meta.is_controlled_by(mine, each)
    for each in world.api.list(RESOURCE_CLAIMS):
        owner = pods.get((meta.controller_of(each) or {}).get("name", ""))
        assert owner is None or not plan.is_done(owner), "the claim of an ended pod"
        for who in plan.reserved_for(each):
            assert who["name"] in pods
            assert not plan.is_done(pods[who["name"]])

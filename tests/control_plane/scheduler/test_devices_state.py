"""Which devices count as taken, while the watch lags behind what was written; what rules make of them."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.client.gvr import DEVICE_TAINT_RULES, RESOURCE_CLAIMS, RESOURCE_SLICES
from control_plane.client.informer import InformerFactory
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.state import InformedDevices
from control_plane.scheduler.framework.events import Action, ClusterEvent, Kind
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.scheduler.devices import D1 as D1_OBJ
from tests.control_plane.scheduler.devices import D2, A, B, claim, node, slice_of, taken
from tests.control_plane.virtual_clock import settle

D1 = (A, "p1", "d1")


def seen(uid: str, version: int, allocation: Obj | None = None) -> Obj:
    made: dict[str, Any] = claim(name="c")
    made["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
    return {**made, "status": {"allocation": allocation} if allocation else {}}


async def test_late_news_of_a_former_claim_frees_nothing() -> None:
    """It had the same name; the claim that took its place has devices that the watch does not show yet."""
    devices = InformedDevices(InformerFactory(FakeApi().client()))
    devices.settle("new", seen("new", 10, taken("d1")))
    assert devices.usage.uses(D1)
    devices._claim_changed(seen("old", 3), seen("old", 4))
    devices._claim_gone(seen("old", 5))
    devices._claim_seen(seen("new", 8))
    assert devices.usage.uses(D1)
    devices._claim_seen(seen("new", 10, taken("d1")))
    devices._claim_gone(seen("new", 11, taken("d1")))
    assert not devices.usage.uses(D1)


async def test_a_claim_that_came_and_went_unseen_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch was broken meanwhile, and the list after it does not show the claim."""
    devices = InformedDevices(InformerFactory(FakeApi().client()))
    informer = devices._informers[RESOURCE_CLAIMS]
    devices.settle("new", seen("new", 10, taken("d1")))
    monkeypatch.setattr(informer, "_applied_version", 9)
    assert devices.claim("default", "c") is not None
    assert devices.usage.uses(D1)
    monkeypatch.setattr(informer, "_applied_version", 10)
    assert not devices.usage.uses(D1)
    assert devices.claim("default", "c") is None


async def test_what_is_about_to_be_written_stays_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = InformedDevices(InformerFactory(FakeApi().client()))
    claim_ = seen("new", 10)
    devices.settle("new", claim_)
    devices.pend(claim_, taken("d1"))
    monkeypatch.setattr(devices._informers[RESOURCE_CLAIMS], "_applied_version", 11)
    assert devices.usage.uses(D1)


def rule(key: str, **selector: str) -> Obj:
    spec = {"deviceSelector": selector, "taint": {"key": key, "effect": "NoSchedule"}}
    return {"metadata": {"name": key}, "spec": spec}


async def test_rules_taint_the_devices_that_they_select() -> None:
    api = FakeApi()
    factory = InformerFactory(api.client())
    devices = InformedDevices(factory)
    happened: list[ClusterEvent] = []
    api.create(RESOURCE_SLICES, slice_of(D1_OBJ, {**D2, "taints": [{"key": "own", "effect": "NoSchedule"}]}))
    await factory.start()
    await factory.wait_synced()
    devices.attach(lambda event, old, new: happened.append(event))
    happened.clear()

    def keys() -> dict[str, list[str]]:
        pools = [view.pool for view in devices.inventory().views(node())]
        return {each.id[2]: [taint.key for taint in each.taints] for pool in pools for each in pool.devices}

    assert keys() == {"d1": [], "d2": ["own"]}
    made = api.create(DEVICE_TAINT_RULES, rule("all"))
    api.create(DEVICE_TAINT_RULES, rule("one", device="d1"))
    api.create(DEVICE_TAINT_RULES, rule("other", driver=B))
    await settle()
    assert keys() == {"d1": ["all", "one"], "d2": ["own", "all"]}
    changed = ClusterEvent(Kind.RESOURCE_SLICE, Action.UPDATE_OTHER)
    assert happened == [changed] * 3, "pods that wait are told"
    api.update(DEVICE_TAINT_RULES, {**made, "status": {"conditions": []}})
    await settle()
    assert happened == [changed] * 3, "what a rule says of itself changes nothing"
    api.delete(DEVICE_TAINT_RULES, "all")
    await settle()
    assert keys() == {"d1": ["one"], "d2": ["own"]}
    assert happened == [changed] * 4
    await factory.stop()

"""Which devices count as taken, while the watch lags behind what was written."""

from __future__ import annotations

from typing import Any

from control_plane.client.informer import InformerFactory
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.state import InformedDevices
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.scheduler.devices import A, claim, taken

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

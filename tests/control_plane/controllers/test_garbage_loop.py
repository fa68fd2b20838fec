"""The garbage collector over an API in memory: what it watches, and that this is enough."""

from __future__ import annotations

import asyncio

import pytest

from control_plane.client.client import Client
from control_plane.client.gvr import CONFIGMAPS, GVR, PODS
from control_plane.controllers.context import Context, Options
from control_plane.controllers.controller import Controller
from control_plane.controllers.discovery import Served
from control_plane.controllers.garbage_collector import loop
from control_plane.controllers.garbage_collector.loop import GarbageCollector
from control_plane.controllers.main import Manager
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock

VERBS = frozenset({"list", "watch", "delete"})


class PodReader(Controller):
    name = account = "pod-reader"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.informer(PODS)

    async def reconcile(self, key: str) -> float | None:
        return None


@pytest.mark.parametrize("others", [[], [PodReader]], ids=["alone", "beside a loop that reads pods"])
async def test_each_kind_is_watched_once(
    monkeypatch: pytest.MonkeyPatch, others: list[type[Controller]]
) -> None:
    async def served(_: Client) -> list[Served]:
        return [Served(PODS, "Pod", VERBS), Served(CONFIGMAPS, "ConfigMap", VERBS)]

    monkeypatch.setattr(loop, "served_resources", served)
    api, clock = FakeApi(), VirtualClock()
    for gvr in (PODS, CONFIGMAPS):
        api.create(gvr, owned("orphan"))
    manager = Manager(api.client(clock=clock), Options(), [GarbageCollector, *others])
    running = asyncio.ensure_future(manager.run())
    try:
        await clock.advance(5)
        api.create(PODS, owned("late orphan"))
        await clock.advance(5)
        watched = [each.path for each in api.log if each.params.get("watch")]
        assert sorted(watched) == [collection(CONFIGMAPS), collection(PODS)]
        assert [api.list(gvr) for gvr in (PODS, CONFIGMAPS)] == [[], []]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.stop()


def owned(name: str) -> dict[str, object]:
    """By something that is not there."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "gone"}
    return {
        "metadata": {"name": name, "namespace": "default", "ownerReferences": [owner]},
        "spec": {},
    }


def collection(gvr: GVR) -> str:
    return gvr.path()

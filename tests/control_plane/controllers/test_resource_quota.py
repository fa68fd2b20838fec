"""A quota's status follows what is there, and waits for what has just been charged."""

from __future__ import annotations

import asyncio
from typing import Any

from control_plane.client.gvr import PODS, RESOURCE_QUOTAS
from control_plane.controllers.context import Options
from control_plane.controllers.main import Manager
from control_plane.controllers.resource_quota import SETTLE_S, ResourceQuotaController
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle

Obj = dict[str, Any]


def pod(name: str) -> Obj:
    requests = {"requests": {"cpu": "1"}}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"resources": requests}]},
    }


def quota() -> Obj:
    hard = {"pods": "5", "requests.cpu": "4"}
    return {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard}}


def used(api: FakeApi) -> Any:
    [found] = api.list(RESOURCE_QUOTAS)
    return (found.get("status") or {}).get("used")


async def test_a_quota_is_counted_and_released() -> None:
    clock = VirtualClock()
    api = FakeApi()
    for name in ("a", "b"):
        api.create(PODS, pod(name))
    api.create(RESOURCE_QUOTAS, quota())
    manager = Manager(api.client(clock=clock), Options(), [ResourceQuotaController])
    running = asyncio.ensure_future(manager.run())
    try:
        await settle()
        await clock.advance(SETTLE_S + 1)
        assert used(api) == {"pods": "2", "requests.cpu": "2"}
        api.delete(PODS, "a", "default")
        await settle()
        await clock.advance(SETTLE_S + 1)
        assert used(api) == {"pods": "1", "requests.cpu": "1"}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.stop()

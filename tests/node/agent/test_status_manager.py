"""Writing pod statuses through an API that fails, conflicts and forgets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from control_plane.api import errors
from control_plane.client import gvr
from control_plane.client.errors import ConnectionFailed
from node.agent.status_manager import StatusManager
from tests.control_plane.fakeapi import FakeApi
from tests.node.agent.conftest import eventually, make_pod

Obj = dict[str, Any]
RUNNING: Obj = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


class Api:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.client = self.api.client("agent")
        self.manager = StatusManager(self.client)
        pod = make_pod()
        del pod["metadata"]["uid"]
        self.pod = self.api.create(gvr.PODS, pod)

    def stored(self) -> Obj | None:
        return self.api.get(gvr.PODS, "web", "default")

    def phase(self) -> str:
        return str(((self.stored() or {}).get("status") or {}).get("phase"))


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    yield made
    await made.manager.close(timeout_s=0.1)
    await made.client.close()


async def test_a_status_is_written_once(api: Api) -> None:
    for _ in range(5):
        api.manager.set(api.pod, RUNNING)
    await eventually(lambda: api.phase() == "Running")
    api.manager.set(api.pod, dict(RUNNING))
    assert len(api.api.requests("PATCH")) == 1


@pytest.mark.parametrize(
    "failure",
    [errors.internal("no"), errors.too_many_requests(), ConnectionFailed("gone")],
    ids=["internal error", "too many requests", "no answer"],
)
async def test_it_is_tried_until_it_is_written(api: Api, failure: Exception) -> None:
    api.api.fail_next(lambda method, target: method == "PATCH", lambda: failure, times=2)
    api.manager.set(api.pod, RUNNING)
    await eventually(lambda: api.phase() == "Running", timeout_s=10)


async def test_conditions_of_others_stay(api: Api) -> None:
    gate = {"type": "lb", "status": "True"}
    await api.client.patch(
        gvr.PODS, "web", {"status": {"conditions": [gate]}}, "default", "strategic", subresource="status"
    )
    api.manager.set(api.pod, RUNNING)
    await eventually(lambda: api.phase() == "Running")
    kinds = {each["type"] for each in (api.stored() or {})["status"]["conditions"]}
    assert kinds == {"lb", "Ready"}


async def test_what_others_make_of_our_conditions_is_undone(api: Api) -> None:
    api.manager.set(api.pod, RUNNING)
    await eventually(lambda: api.phase() == "Running")
    lost = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    changed = await api.client.patch(gvr.PODS, "web", lost, "default", "strategic", subresource="status")
    api.manager.set(changed, dict(RUNNING))
    await eventually(lambda: (api.stored() or {})["status"]["conditions"] == RUNNING["conditions"])


async def test_a_finished_pod_is_deleted_after_its_last_status(api: Api) -> None:
    await api.client.delete(gvr.PODS, "web", "default")
    pod = api.stored() or {}
    api.manager.set(pod, {"phase": "Failed"})
    api.manager.finish(pod)
    await eventually(lambda: api.stored() is None)
    assert [each.method for each in api.api.log if each.method in ("PATCH", "DELETE")][-2:] == [
        "PATCH",
        "DELETE",
    ]


async def test_being_created_may_wait_for_something_better(api: Api) -> None:
    state = {"waiting": {"reason": "ContainerCreating"}}
    api.manager.set(api.pod, {"phase": "Pending", "containerStatuses": [{"name": "main", "state": state}]})
    api.manager.set(api.pod, RUNNING)
    await eventually(lambda: api.phase() == "Running")
    assert len(api.api.requests("PATCH")) == 1

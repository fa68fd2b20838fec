"""The workload loops over an API in memory, with a hand that plays scheduler and node: whatever order things happen
in, the world ends up as the deployment says."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from control_plane.api import errors
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import DEPLOYMENTS, PODS, REPLICA_SETS
from control_plane.controllers.context import Options
from control_plane.controllers.deployment import DeploymentController
from control_plane.controllers.main import Manager
from control_plane.controllers.replicaset import ReplicaSetController
from tests.control_plane.controllers.objects import Obj, with_image
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle

TURN_S = 1.0
TURNS = 200
TROUBLED_TURNS = 20  # then the world calms down, and must converge


def deployment(replicas: int, kind: str = "RollingUpdate") -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": with_image("web:1"),
            "strategy": {"type": kind},
        },
    }


@asynccontextmanager
async def loops(api: FakeApi, clock: VirtualClock) -> AsyncIterator[None]:
    client = api.client(clock=clock)
    manager = Manager(client, Options(), [DeploymentController, ReplicaSetController])
    running = asyncio.ensure_future(manager.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.stop()


def play_node(api: FakeApi) -> None:
    """Every pod becomes ready; every deleted one goes."""
    for pod in api.list(PODS):
        if pod["metadata"].get("deletionTimestamp"):
            api.delete(PODS, pod["metadata"]["name"], "default")
        elif not pod.get("status", {}).get("conditions"):
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z"}
            changed = copy.deepcopy(pod)
            changed["status"] = {"phase": "Running", "conditions": [ready]}
            api.update(PODS, changed)


async def until_done(
    api: FakeApi, clock: VirtualClock, image: str, replicas: int, chaos: random.Random | None
) -> None:
    for turn in range(TURNS):
        if chaos is not None and turn < TROUBLED_TURNS:
            disturb(api, chaos)
        if chaos is None or chaos.random() < 0.7:
            play_node(api)
        await clock.advance(TURN_S)
        await settle()
        if is_done(api, image, replicas):
            return
    raise AssertionError([(pod["metadata"]["name"], pod.get("status")) for pod in api.list(PODS)])


def is_done(api: FakeApi, image: str, replicas: int) -> bool:
    pods = [pod for pod in api.list(PODS) if not pod["metadata"].get("deletionTimestamp")]
    images = {pod["spec"]["containers"][0]["image"] for pod in pods}
    status = (api.get(DEPLOYMENTS, "web", "default") or {}).get("status", {})
    return (
        len(pods) == replicas
        and images <= {image}
        and status.get("availableReplicas", 0) == status.get("updatedReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
    )


def disturb(api: FakeApi, chaos: random.Random) -> None:
    match chaos.randrange(6):
        case 0:
            api.break_watches()
        case 1:
            api.compact()
        case 2:
            api.fail_next(lambda method, _: method != "GET", lambda: errors.conflict("", "x", "x"))
        case 3:
            api.fail_next(lambda method, _: method == "POST", lambda: ConnectionFailed("reset"))
        case 4 if pods := api.list(PODS):
            api.delete(PODS, chaos.choice(pods)["metadata"]["name"], "default")


def set_image(api: FakeApi, image: str, replicas: int) -> None:
    current = copy.deepcopy(api.get(DEPLOYMENTS, "web", "default"))
    assert current is not None
    current["spec"].update(template=with_image(image), replicas=replicas)
    api.update(DEPLOYMENTS, current)


@pytest.mark.parametrize("kind", ["RollingUpdate", "Recreate"])
async def test_rollout_and_scaling(kind: str) -> None:
    api, clock = FakeApi(), VirtualClock()
    async with loops(api, clock):
        api.create(DEPLOYMENTS, deployment(3, kind))
        await until_done(api, clock, "web:1", 3, None)
        set_image(api, "web:2", 5)
        await until_done(api, clock, "web:2", 5, None)
        set_image(api, "web:2", 0)
        await until_done(api, clock, "web:2", 0, None)
    revisions = {
        each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
        for each in api.list(REPLICA_SETS)
    }
    assert revisions == {"1", "2"}


@pytest.mark.parametrize("seed", range(8))
async def test_converges_whatever_happens(seed: int) -> None:
    chaos = random.Random(seed)
    api, clock = FakeApi(), VirtualClock()
    async with loops(api, clock):
        api.create(DEPLOYMENTS, deployment(chaos.randrange(1, 6)))
        for number in range(3):
            image, replicas = f"web:{number}", chaos.randrange(1, 7)
            set_image(api, image, replicas)
            await until_done(api, clock, image, replicas, chaos)

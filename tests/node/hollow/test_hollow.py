"""The process's parts on an API in memory: nodes and pods as others see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from control_plane.api import errors, meta
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import LEASES, NODES, PODS
from control_plane.client.informer import InformerFactory
from node.hollow.behaviour import PREFIX, Defaults
from node.hollow.main import names
from node.hollow.nodes import HollowNodes, Shape, renewal_interval_s
from node.hollow.pods import HollowPods
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock

SPACE = "default"


@asynccontextmanager
async def playing(api: FakeApi, clock: VirtualClock, count: int = 2) -> AsyncIterator[HollowNodes]:
    client = api.client(clock=clock)
    informers = InformerFactory(client)
    nodes = HollowNodes(client, informers, names("hollow-", count), Shape(), "v1")
    pods = HollowPods(client, informers, nodes.address_of, nodes.is_silent, Defaults())
    await informers.start()
    tasks = [asyncio.create_task(nodes.run()), asyncio.create_task(pods.run())]
    try:
        await clock.advance(1)
        yield nodes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await informers.stop()


def pod(name: str, node: str = "hollow-0001", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": SPACE, **metadata},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}], "restartPolicy": "Always"},
    }


def phase(api: FakeApi, name: str) -> str:
    return ((api.get(PODS, name, SPACE) or {}).get("status") or {}).get("phase", "")


def ready(api: FakeApi, name: str) -> str:
    return (meta.condition(api.get(NODES, name) or {}, "Ready") or {}).get("status", "")


async def test_nodes_are_registered_and_renew_their_leases() -> None:
    api, clock = FakeApi(), VirtualClock()
    async with playing(api, clock) as nodes:
        assert nodes.missing() is None
        assert [ready(api, name) for name in names("hollow-", 2)] == ["True", "True"]
        before = (api.get(LEASES, "hollow-0001", "kube-node-lease") or {})["spec"]["renewTime"]
        await clock.advance(15)
        lease = api.get(LEASES, "hollow-0001", "kube-node-lease") or {}
        assert lease["spec"]["renewTime"] > before
        assert lease["metadata"]["ownerReferences"][0]["uid"] == meta.uid_of(
            api.get(NODES, "hollow-0001") or {}
        )


async def test_a_node_that_was_marked_lost_is_ready_again_after_a_restart() -> None:
    api, clock = FakeApi(), VirtualClock()
    async with playing(api, clock):
        pass
    lost = api.get(NODES, "hollow-0002") or {}
    lost["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    api.update(NODES, lost)
    async with playing(api, clock) as nodes:
        assert (nodes.missing(), ready(api, "hollow-0002")) == (None, "True")


async def test_a_node_fails_on_request() -> None:
    api, clock = FakeApi(), VirtualClock()
    async with playing(api, clock):
        node = api.get(NODES, "hollow-0001") or {}
        node["metadata"]["annotations"] = {PREFIX + "not-ready": "tired"}
        api.update(NODES, node)
        await clock.advance(1)
        assert (meta.condition(api.get(NODES, "hollow-0001") or {}, "Ready") or {})["message"] == "tired"
        node = api.get(NODES, "hollow-0001") or {}
        node["metadata"]["annotations"] = {}
        api.update(NODES, node)
        await clock.advance(1)
        assert ready(api, "hollow-0001") == "True"


async def test_a_silent_node_says_nothing() -> None:
    api, clock = FakeApi(), VirtualClock()
    async with playing(api, clock):
        node = api.get(NODES, "hollow-0001") or {}
        node["metadata"]["annotations"] = {PREFIX + "silent": "true"}
        api.update(NODES, node)
        await clock.advance(1)
        api.create(PODS, pod("p"))
        writes = len([each for each in api.log if each.method != "GET" and "hollow-0001" in each.path])
        await clock.advance(60)
        assert (
            len([each for each in api.log if each.method != "GET" and "hollow-0001" in each.path]) == writes
        )
        assert phase(api, "p") == ""


async def test_pods_run_and_go() -> None:
    api, clock = FakeApi(), VirtualClock()
    async with playing(api, clock):
        api.create(PODS, pod("server"))
        api.create(PODS, pod("elsewhere", node="node-1"))
        api.create(PODS, pod("held", finalizers=["batch.kubernetes.io/job-tracking"]))
        await clock.advance(1)
        assert [phase(api, name) for name in ("server", "elsewhere", "held")] == ["Running", "", "Running"]
        ips = {(api.get(PODS, name, SPACE) or {})["status"]["podIP"] for name in ("server", "held")}
        assert len(ips) == 2
        client = api.client(clock=clock)
        for name in ("server", "held"):
            await client.delete(PODS, name, SPACE)
        await clock.advance(1)
        assert api.get(PODS, "server", SPACE) is None
        assert phase(api, "held") == "Failed", "who holds it can see how it ended"


async def test_a_pod_whose_image_is_missing_says_so() -> None:
    api, clock = FakeApi(), VirtualClock()
    async with playing(api, clock):
        api.create(PODS, pod("p", annotations={PREFIX + "waiting": "ImagePullBackOff"}))
        await clock.advance(1)
        (container,) = (api.get(PODS, "p", SPACE) or {})["status"]["containerStatuses"]
        assert container["state"] == {"waiting": {"reason": "ImagePullBackOff"}}


async def test_a_write_that_fails_is_made_good() -> None:
    api, clock = FakeApi(), VirtualClock()
    async with playing(api, clock):
        api.fail_next(lambda method, _: method == "PATCH", lambda: ConnectionFailed("reset"))
        api.fail_next(lambda method, _: method == "PATCH", lambda: errors.internal("no"))
        api.create(PODS, pod("p"))
        await clock.advance(10)
        assert phase(api, "p") == "Running"


def test_leases_are_renewed_as_often_as_is_sensible() -> None:
    assert [renewal_interval_s(count, 40) for count in (3, 1000, 1500, 5000)] == [10, 10, 15, 20]

"""Extended resources for which devices stand: which requests they become, and which pods get them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from control_plane.api import errors, meta
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import DEVICE_CLASSES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.extended import IMPLICIT, asked, backing, claim_for
from tests.control_plane.scheduler.build import node, pod
from tests.control_plane.scheduler.devices import A, device, device_class, slice_of
from tests.control_plane.scheduler.test_scheduler import Cluster
from tests.control_plane.virtual_clock import settle

GPU = "example.com/gpu"


def backed(name: str, resource: str = GPU, created: str = "2024-01-01T00:00:00Z") -> Obj:
    made = device_class(name, A)
    made = {**made, "metadata": {"name": name, "creationTimestamp": created}, "spec": {**made["spec"]}}
    if resource:
        made["spec"]["extendedResourceName"] = resource
    return made


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        pytest.param([backed("a", "")], {IMPLICIT + "a": "a"}, id="by its own name"),
        pytest.param([backed("a")], {IMPLICIT + "a": "a", GPU: "a"}, id="by the name it says"),
        pytest.param(
            [backed("a", created="2025-01-01T00:00:00Z"), backed("b")],
            {IMPLICIT + "a": "a", IMPLICIT + "b": "b", GPU: "a"}, id="the younger of two",
        ),
        pytest.param(
            [backed("b"), backed("a")],
            {IMPLICIT + "a": "a", IMPLICIT + "b": "b", GPU: "a"}, id="the first of two",
        ),
    ],
)  # fmt: skip
def test_backing(classes: list[Obj], expected: dict[str, str]) -> None:
    assert backing(classes) == expected


def container(name: str, count: int, **more: Any) -> Obj:
    amounts = {"cpu": "1", **({GPU: str(count)} if count else {})}
    return {"name": name, "resources": {"requests": amounts}, **more}


SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("init", "containers", "requests", "mappings"),
    [
        pytest.param([], [container("a", 2)], {"container-0-request-1": 2}, ["a 0"], id="one container"),
        pytest.param(
            [], [container("a", 1), container("b", 0), container("c", 3)],
            {"container-0-request-1": 1, "container-2-request-1": 3}, ["a 0", "c 2"], id="one each",
        ),
        pytest.param(
            [container("i", 2)], [container("a", 3)], {"container-1-request-1": 3}, ["a 1", "i 1"],
            id="an init container takes over",
        ),
        pytest.param(
            [container("i", 4)], [container("a", 3)],
            {"container-0-request-1": 1, "container-1-request-1": 3}, ["a 1", "i 0", "i 1"],
            id="and needs more",
        ),
        pytest.param(
            [container("i", 2), container("j", 3)], [container("a", 0)],
            {"container-1-request-1": 3}, ["i 1", "j 1"], id="init containers share",
        ),
        pytest.param(
            [container("s", 1, **SIDECAR), container("i", 1)], [container("a", 0)],
            {"container-0-request-1": 1, "container-1-request-1": 1}, ["i 1", "s 0"],
            id="not what a sidecar before it has",
        ),
    ],
)  # fmt: skip
def test_requests(
    init: list[Obj], containers: list[Obj], requests: dict[str, int], mappings: list[str]
) -> None:
    found = asked({"spec": {"initContainers": init, "containers": containers}}, [GPU], {GPU: "a"})
    assert {each["name"]: each["exactly"]["count"] for each in found.requests} == requests
    shown = [f"{each['containerName']} {each['requestName'].split('-')[1]}" for each in found.mappings]
    assert sorted(shown) == mappings


# ---- the scheduler


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster()
    cluster.add(node("n1"), node("n2"))
    await cluster.start()
    yield cluster
    await cluster.stop()


def with_devices(cluster: Cluster, on: str = "n2", count: int = 2) -> None:
    cluster.api.create(DEVICE_CLASSES, backed("a"))
    found = slice_of(*(device(f"d{n}") for n in range(count)), name=on, pool=on, nodeName=on)
    cluster.api.create(RESOURCE_SLICES, found)


def wants(name: str, count: int = 1) -> Obj:
    return pod(name, requests={GPU: str(count)})


async def test_devices_stand_for_a_resource(cluster: Cluster) -> None:
    with_devices(cluster)
    cluster.add(wants("p", 2))
    await settle()
    assert cluster.node_of("p") == "n2"
    (claim,) = cluster.api.list(RESOURCE_CLAIMS)
    assert meta.is_controlled_by(claim, cluster.pod("p"))
    results = claim["status"]["allocation"]["devices"]["results"]
    assert [each["device"] for each in results] == ["d0", "d1"]
    assert [each["name"] for each in claim["status"]["reservedFor"]] == ["p"]
    assert cluster.pod("p")["status"]["extendedResourceClaimStatus"] == {
        "resourceClaimName": meta.name_of(claim),
        "requestMappings": [
            {"containerName": "c0", "resourceName": GPU, "requestName": "container-0-request-0"}
        ],
    }


async def test_a_class_that_comes_later_helps(cluster: Cluster) -> None:
    cluster.add(wants("p"))
    await settle()
    assert "2 Insufficient example.com/gpu" in cluster.condition("p")["message"]
    with_devices(cluster)
    await cluster.clock.advance(15)
    assert cluster.node_of("p") == "n2"


async def test_a_device_plugin_comes_first(cluster: Cluster) -> None:
    with_devices(cluster, "n1", 0)
    offering = node("n3")
    offering["status"]["allocatable"][GPU] = "1"
    cluster.add(offering, wants("p"))
    await settle()
    assert cluster.node_of("p") == "n3"
    assert cluster.api.list(RESOURCE_CLAIMS) == []


async def test_there_are_only_so_many(cluster: Cluster) -> None:
    with_devices(cluster)
    cluster.add(*(wants(f"p{n}") for n in range(3)))
    await cluster.clock.advance(5)
    waiting = [f"p{n}" for n in range(3) if not cluster.node_of(f"p{n}")]
    assert len(waiting) == 1
    assert "cannot allocate all claims" in cluster.condition(waiting[0])["message"]


@pytest.mark.parametrize("where", ["/resourceclaims", "/resourceclaims/p", "/pods/p/status", "/binding"])
async def test_what_a_failed_try_leaves_is_deleted(cluster: Cluster, where: str) -> None:
    with_devices(cluster, count=1)
    cluster.api.fail_next(
        lambda method, target: method != "GET" and where in target, lambda: errors.internal("lost"), 2
    )
    cluster.add(wants("p"))
    await cluster.clock.advance(60)
    assert cluster.node_of("p") == "n2"
    (claim,) = cluster.api.list(RESOURCE_CLAIMS)
    name = cluster.api.get(PODS, "p", "default")
    assert name is not None
    assert name["status"]["extendedResourceClaimStatus"]["resourceClaimName"] == meta.name_of(claim)
    assert claim["status"]["reservedFor"]


async def test_a_watch_that_lags_is_waited_for(cluster: Cluster) -> None:
    """What a former try has left is deleted once, and not looked for again and again until the watch shows it."""
    with_devices(cluster)
    made = wants("p")
    left = claim_for(made, [])
    left["metadata"]["uid"] = "left"
    cluster.api.create(RESOURCE_CLAIMS, left)
    await settle()
    cluster.api.fail_next(_follows_claims, lambda: ConnectionFailed("the watch lags"), 10_000)
    cluster.api.break_watches()
    await settle()
    cluster.add(made)
    await cluster.clock.advance(3)
    await settle()
    assert cluster.node_of("p") == ""
    assert len(cluster.api.requests("", "/resourceclaims/")) < 10


def _follows_claims(method: str, target: str) -> bool:
    return "resourceclaims" in target and (method == "WATCH" or "resourceclaims/" not in target)

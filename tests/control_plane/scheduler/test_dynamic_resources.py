"""Pods with resource claims: what the plugin says of nodes, and what the scheduler writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from control_plane.api import errors, meta
from control_plane.client.errors import ConnectionFailed
from control_plane.client.gvr import DEVICE_CLASSES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES
from control_plane.client.types import Obj
from tests.control_plane.scheduler.build import node, pod
from tests.control_plane.scheduler.devices import (
    CLASSES,
    LOCAL,
    ask,
    claim,
    device,
    slice_of,
    taken,
)
from tests.control_plane.scheduler.test_scheduler import Cluster
from tests.control_plane.virtual_clock import settle


def with_claims(name: str, *claims: str, **more: Any) -> Obj:
    entries = [{"name": f"e{n}", "resourceClaimName": each} for n, each in enumerate(claims)]
    return pod(name, resourceClaims=entries, **more)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster()
    cluster.api.create(DEVICE_CLASSES, CLASSES["a"])
    cluster.add(node("n1"), node("n2"))
    await cluster.start()
    yield cluster
    await cluster.stop()


def create(cluster: Cluster, *claims: Obj) -> None:
    for each in claims:
        cluster.api.create(RESOURCE_CLAIMS, each)


def devices_on(cluster: Cluster, node_name: str, *names: str) -> None:
    found = slice_of(*map(device, names), name=node_name, pool=node_name, nodeName=node_name)
    cluster.api.create(RESOURCE_SLICES, found)


def status(cluster: Cluster, name: str) -> Obj:
    found = cluster.api.get(RESOURCE_CLAIMS, name, "default")
    assert found is not None
    return dict(found.get("status") or {})


async def test_a_claim_is_allocated_and_reserved(cluster: Cluster) -> None:
    devices_on(cluster, "n2", "d1")
    create(cluster, claim(ask(), name="c"))
    cluster.add(with_claims("p", "c"))
    await settle()
    assert cluster.node_of("p") == "n2"
    written = status(cluster, "c")
    chosen = {"request": "r", "driver": "a.example.com", "pool": "n2", "device": "d1"}
    assert written["allocation"]["devices"] == {"results": [chosen]}
    assert written["allocation"]["nodeSelector"] == {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]
    }
    uid = meta.uid_of(cluster.pod("p"))
    assert written["reservedFor"] == [{"resource": "pods", "name": "p", "uid": uid}]
    saved = cluster.api.get(RESOURCE_CLAIMS, "c", "default")
    assert saved is not None
    assert meta.finalizers(saved) == ["resource.kubernetes.io/delete-protection"]


async def test_pods_wait_for_devices(cluster: Cluster) -> None:
    devices_on(cluster, "n1", "d1", "d2")
    create(cluster, *(claim(ask(), name=f"c{n}") for n in range(3)))
    cluster.add(*(with_claims(f"p{n}", f"c{n}") for n in range(3)))
    await settle()
    waiting = [name for name in ("p0", "p1", "p2") if not cluster.node_of(name)]
    assert len(waiting) == 1
    message = cluster.condition(waiting[0])["message"]
    assert message.startswith("0/2 nodes are available: 2 cannot allocate all claims.")
    done = next(name for name in ("p0", "p1", "p2") if cluster.node_of(name))
    free = cluster.api.get(RESOURCE_CLAIMS, f"c{done[1:]}", "default")
    assert free is not None
    cluster.api.update(RESOURCE_CLAIMS, {**free, "status": {}})
    await cluster.clock.advance(15)
    assert cluster.node_of(waiting[0]) == "n1"


async def test_a_shared_claim_ties_pods_to_its_node(cluster: Cluster) -> None:
    devices_on(cluster, "n2", "d1")
    create(cluster, claim(ask(), name="c"))
    cluster.add(*(with_claims(f"p{n}", "c") for n in range(4)))
    await cluster.clock.advance(15)
    assert [cluster.node_of(f"p{n}") for n in range(4)] == ["n2"] * 4
    assert {each["name"] for each in status(cluster, "c")["reservedFor"]} == {"p0", "p1", "p2", "p3"}


async def test_devices_that_do_not_help_are_given_back(cluster: Cluster) -> None:
    """The claim has its device on n1, but the pod must go to n2."""
    devices_on(cluster, "n1", "d1")
    devices_on(cluster, "n2", "d1")
    held = {**claim(ask(), name="c"), "status": {"allocation": {**taken("d1"), "nodeSelector": LOCAL}}}
    create(cluster, held)
    cluster.add(with_claims("p", "c", nodeSelector={"kubernetes.io/hostname": "n2"}))
    await cluster.clock.advance(30)
    assert cluster.node_of("p") == "n2"
    assert status(cluster, "c")["allocation"]["devices"]["results"][0]["pool"] == "n2"


async def test_devices_that_others_use_are_kept(cluster: Cluster) -> None:
    held = {
        **claim(ask(), name="c"),
        "status": {
            "allocation": {**taken("d1"), "nodeSelector": LOCAL},
            "reservedFor": [{"resource": "pods", "name": "other", "uid": "u"}],
        },
    }
    create(cluster, held)
    cluster.add(with_claims("p", "c", nodeSelector={"kubernetes.io/hostname": "n2"}))
    await cluster.clock.advance(30)
    assert cluster.node_of("p") == ""
    assert "1 resourceclaim not available on the node" in cluster.condition("p")["message"]
    assert status(cluster, "c")["reservedFor"][0]["name"] == "other"


async def test_a_generated_claim_is_waited_for(cluster: Cluster) -> None:
    devices_on(cluster, "n1", "d1")
    entry = {"name": "gpu", "resourceClaimTemplateName": "t"}
    cluster.add(pod("p", resourceClaims=[entry]))
    await cluster.clock.advance(5)
    assert cluster.node_of("p") == ""
    mine = claim(ask(), name="p-gpu-x")
    mine["metadata"]["ownerReferences"] = [meta.controller_reference(cluster.pod("p"))]
    create(cluster, mine)
    statuses = [{"name": "gpu", "resourceClaimName": "p-gpu-x"}]
    cluster.api.update(PODS, {**cluster.pod("p"), "status": {"resourceClaimStatuses": statuses}})
    await cluster.clock.advance(5)
    assert cluster.node_of("p") == "n1"


async def test_a_template_may_ask_for_nothing(cluster: Cluster) -> None:
    entry = {"name": "gpu", "resourceClaimTemplateName": "t"}
    cluster.add(pod("p", resourceClaims=[entry], status={"resourceClaimStatuses": [{"name": "gpu"}]}))
    await settle()
    assert cluster.node_of("p")


async def test_somebody_elses_claim_is_not_used(cluster: Cluster) -> None:
    create(cluster, claim(ask(), name="c"))
    entry = {"name": "gpu", "resourceClaimTemplateName": "t"}
    status_ = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "c"}]}
    cluster.add(pod("p", resourceClaims=[entry], status=status_))
    await cluster.clock.advance(5)
    assert cluster.node_of("p") == ""


@pytest.mark.parametrize(
    ("method", "where"), [("PUT", "/status"), ("PUT", "/resourceclaims/c"), ("POST", "/binding")],
    ids=["status", "finalizer", "binding"],
)  # fmt: skip
async def test_a_failed_write_is_tried_again(cluster: Cluster, method: str, where: str) -> None:
    devices_on(cluster, "n1", "d1")
    create(cluster, claim(ask(), name="c"))
    cluster.api.fail_next(
        lambda m, target: m == method and where in target, lambda: errors.internal("lost"), 1
    )
    cluster.add(with_claims("p", "c"))
    await cluster.clock.advance(30)
    assert cluster.node_of("p") == "n1"
    assert [each["name"] for each in status(cluster, "c")["reservedFor"]] == ["p"]


async def test_a_conflict_is_read_again(cluster: Cluster) -> None:
    devices_on(cluster, "n1", "d1")
    create(cluster, claim(ask(), name="c"))
    conflict = errors.conflict("resource.k8s.io", "resourceclaims", "c")
    cluster.api.fail_next(lambda m, target: m == "PUT" and "resourceclaims" in target, lambda: conflict, 2)
    cluster.add(with_claims("p", "c"))
    await settle()
    assert cluster.node_of("p") == "n1"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ([], ""),
        ([claim(ask(klass="nope"), name="c")], "request r: device class nope does not exist"),
    ],
    ids=["no claim", "no class"],
)
async def test_why_not(cluster: Cluster, claims: list[Obj], said: str) -> None:
    create(cluster, *claims)
    cluster.add(with_claims("p", "c"))
    await settle()
    assert cluster.node_of("p") == ""
    assert said in (cluster.condition("p")["message"] or "")


async def test_devices_are_never_given_twice(cluster: Cluster) -> None:
    """Many at once, and a scheduler that starts anew in the middle."""
    devices_on(cluster, "n1", *(f"d{n}" for n in range(8)))
    create(cluster, *(claim(ask(count=1 + n % 2), name=f"c{n}") for n in range(8)))
    cluster.add(*(with_claims(f"p{n}", f"c{n}") for n in range(8)))
    await settle()
    given = [
        result["device"]
        for each in cluster.api.list(RESOURCE_CLAIMS)
        for result in (each.get("status") or {}).get("allocation", {}).get("devices", {}).get("results", ())
    ]
    assert len(given) == len(set(given)) >= 7


async def test_devices_stay_promised_while_nobody_knows(cluster: Cluster) -> None:
    """The allocation was written, but its answer is lost, and the watch does not show it either."""
    devices_on(cluster, "n1", "d1")
    create(cluster, claim(ask(), name="c0"), claim(ask(), name="c1"))
    real = cluster.api.handle

    def lossy(method: str, target: str, headers: Any, body: Any) -> Any:
        if "resourceclaims/c0/status" not in target:
            return real(method, target, headers, body)
        cluster.api.break_watches()
        cluster.api.fail_next(_reads_claims, lambda: ConnectionFailed("nothing gets through"), 10_000)
        real(method, target, headers, body)
        raise ConnectionFailed("the answer was lost")

    cluster.api.handle = lossy  # type: ignore[method-assign]
    cluster.add(with_claims("p0", "c0"))
    await settle()
    cluster.add(with_claims("p1", "c1"))
    await cluster.clock.advance(20)
    given = [each["metadata"]["name"] for each in cluster.api.list(RESOURCE_CLAIMS) if each.get("status")]
    assert given == ["c0"], "the device is not given to another claim"


def _reads_claims(method: str, target: str) -> bool:
    return method in ("GET", "WATCH") and "resourceclaims" in target


def made_ready(cluster: Cluster, name: str, *true: str) -> None:
    """As the driver says of the claim's device."""
    found = cluster.api.get(RESOURCE_CLAIMS, name, "default")
    assert found is not None
    (result,) = found["status"]["allocation"]["devices"]["results"]
    where = {key: result[key] for key in ("driver", "pool", "device")}
    conditions = [{"type": each, "status": "True"} for each in true]
    changed = {**found["status"], "devices": [{**where, "conditions": conditions}]}
    cluster.api.update(RESOURCE_CLAIMS, {**found, "status": changed})


SLOW = {"bindingConditions": ["Attached", "Healthy"], "bindingFailureConditions": ["Broken"]}


async def slow_pod(cluster: Cluster) -> None:
    cluster.api.create(RESOURCE_SLICES, slice_of(device("d1", **SLOW), name="n1", pool="n1"))
    create(cluster, claim(ask(), name="c"))
    cluster.add(with_claims("p", "c"))
    await cluster.clock.advance(2)


async def test_a_device_that_must_be_made_ready_is_waited_for(cluster: Cluster) -> None:
    await slow_pod(cluster)
    (result,) = status(cluster, "c")["allocation"]["devices"]["results"]
    assert result["bindingConditions"] == SLOW["bindingConditions"]
    made_ready(cluster, "c", "Attached")
    await cluster.clock.advance(60)
    assert cluster.node_of("p") == ""
    made_ready(cluster, "c", "Attached", "Healthy")
    await cluster.clock.advance(2)
    assert cluster.node_of("p") == "n1"


async def test_a_device_that_cannot_be_made_ready_is_given_back(cluster: Cluster) -> None:
    await slow_pod(cluster)
    made_ready(cluster, "c", "Broken")
    await cluster.clock.advance(0.6)
    assert "allocation" not in status(cluster, "c")
    assert (
        "a.example.com/n1/d1 of claim default/c cannot be used: Broken" in cluster.condition("p")["message"]
    )
    devices_on(cluster, "n2", "d1")
    await cluster.clock.advance(30)
    assert cluster.node_of("p") == "n2", "one that is ready at once comes first"


async def test_patience_ends(cluster: Cluster) -> None:
    await slow_pod(cluster)
    await cluster.clock.advance(599)
    message = cluster.condition("p")["message"] or ""
    assert "timed out waiting for Attached of device" in message

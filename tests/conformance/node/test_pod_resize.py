"""test/e2e/common/node/pod_resize.go: what the API and the status show of it"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.client import Client, Resource
from tests.conformance.node.test_pods import Object, pods_in
from tests.conformance.workload import SLEEP, is_ready, settled
from tests.e2e.conftest import Cluster, skip_without_control_groups, until

Amounts = dict[str, str]
"""`cpu`, `memory` as requests, `cpu.limit`, `memory.limit` as limits."""


def resources(amounts: Amounts) -> Object:
    requests = {name: value for name, value in amounts.items() if "." not in name}
    limits = {name.removesuffix(".limit"): value for name, value in amounts.items() if "." in name}
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def guaranteed(cpu: str, memory: str) -> Amounts:
    return {"cpu": cpu, "cpu.limit": cpu, "memory": memory, "memory.limit": memory}


def containers(every: list[Amounts]) -> list[Object]:
    return [
        {"name": f"c{number}", "image": "busybox", "command": SLEEP, "resources": resources(amounts)}
        for number, amounts in enumerate(every, start=1)
    ]


def made(of: Resource, every: list[Amounts]) -> Object:
    spec = {"terminationGracePeriodSeconds": 1, "containers": containers(every)}
    of.create({"metadata": {"name": "resized"}, "spec": spec})
    return settled(of, "resized", is_ready)


def resized(of: Resource, every: list[Amounts]) -> None:
    """The specification says so at once, the status as soon as the node has done it."""
    wanted = [resources(amounts) for amounts in every]
    spec = of.get("resized")["spec"]["containers"]
    assert [each["resources"] for each in spec] == wanted

    def actuated(obj: Object) -> bool:
        status = obj["status"]
        shown = {each["name"]: each for each in status["containerStatuses"]}
        pending = [each["type"] for each in status["conditions"] if each["type"].startswith("PodResize")]
        return pending == [] and all(
            shown[f"c{number}"].get("resources") == one and shown[f"c{number}"]["restartCount"] == 0
            for number, one in enumerate(wanted, start=1)
        )

    settled(of, "resized", actuated)


BEFORE = [guaranteed("20m", "30Mi"), guaranteed("22m", "32Mi"), guaranteed("24m", "34Mi")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            BEFORE,
            [guaranteed("30m", "40Mi"), guaranteed("32m", "42Mi"), guaranteed("14m", "33Mi")],
            id="guaranteed pods with multiple containers - net increase",
        ),
        pytest.param(
            BEFORE,
            [guaranteed("30m", "40Mi"), guaranteed("12m", "31Mi"), guaranteed("14m", "33Mi")],
            id="guaranteed pods with multiple containers - net decrease",
        ),
        pytest.param(
            [{"cpu": "20m", "memory": "30Mi"}, {"cpu": "20m", "cpu.limit": "30m"}, {"memory": "30Mi"}],
            [
                {"cpu": "30m", "cpu.limit": "40m", "memory": "40Mi", "memory.limit": "50Mi"},
                {"cpu": "10m", "cpu.limit": "40m"},
                {"memory": "40Mi", "cpu": "10m"},
            ],
            id="burstable pods - various operations performed (including adding limits and requests)",
        ),
    ],
)
def test_patch_and_back(
    client: Client, cluster: Cluster, namespace: str, before: list[Amounts], after: list[Amounts]
) -> None:
    """[sig-node] Pod InPlace Resize Container …"""
    skip_without_control_groups(cluster)
    of = pods_in(client, namespace)
    made(of, before)
    patch: list[dict[str, Any]] = [
        {"name": f"c{number}", "resources": resources(amounts)}
        for number, amounts in enumerate(after, start=1)
    ]
    of.patch("resized", {"spec": {"containers": patch}}, "strategic", "resize")
    resized(of, after)
    if all(set(old) == set(new) for old, new in zip(before, after, strict=True)):  # none can be taken back
        patch = [{"name": each["name"], "resources": each["resources"]} for each in containers(before)]
        of.patch("resized", {"spec": {"containers": patch}}, "strategic", "resize")
        resized(of, before)


def test_replace(client: Client, dynamic: Client, namespace: str) -> None:
    """[sig-node] Pod InPlace Resize Container resize pod via the replace endpoint"""
    of = pods_in(client, namespace)
    found = made(of, [{"cpu": "20m", "memory": "30Mi"}])
    assert found["metadata"]["generation"] == 1
    after = [{"cpu": "30m", "memory": "40Mi"}]
    found["spec"]["containers"][0]["resources"] = resources(after[0])
    of.update(found, "resize")
    assert of.get("resized")["metadata"]["generation"] == 2
    resized(of, after)
    plain = pods_in(dynamic, namespace)
    until("the same by both ways", lambda: plain.get("resized") == plain.get("resized", "resize"))

"""Topology hints, mirrored endpoints, ranges of services and nodes, and the annotation of cluster size."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.client.gvr import NODES
from control_plane.controllers import endpointslice_mirroring as mirroring
from control_plane.controllers import node_ipam, service_cidr, topology_hints, ttl
from control_plane.controllers.context import Options
from control_plane.controllers.main import Manager
from tests.control_plane.controllers.objects import NOW, Obj, node
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock

ZONE_HINT = {"forZones": [{"name": "a"}]}
NODE_HINT = {**ZONE_HINT, "forNodes": [{"name": "n1"}]}


@pytest.mark.parametrize(
    ("preference", "ready", "zone", "expected"),
    [
        pytest.param(None, True, "a", None, id="no preference"),
        pytest.param("PreferClose", True, "a", ZONE_HINT, id="close"),
        pytest.param("PreferSameZone", True, "a", ZONE_HINT, id="same zone"),
        pytest.param("PreferSameNode", True, "a", NODE_HINT, id="same node"),
        pytest.param("PreferSameNode", True, "", {"forNodes": [{"name": "n1"}]}, id="same node, no zone"),
        pytest.param("PreferClose", False, "a", None, id="not ready"),
        pytest.param("PreferClose", True, "", None, id="no zone"),
    ],
)
def test_hints(preference: str | None, ready: bool, zone: str, expected: Obj | None) -> None:
    service = {"spec": {"trafficDistribution": preference} if preference else {}}
    endpoint = {"conditions": {"ready": ready}, "nodeName": "n1", **({"zone": zone} if zone else {})}
    (hinted,) = topology_hints.add(service, [endpoint], None)
    assert hinted.get("hints") == expected


def endpoints(*subsets: Obj, **metadata: Any) -> Obj:
    return {
        "metadata": {"name": "db", "namespace": "default", "uid": "uid-db", **metadata},
        "subsets": list(subsets),
    }


def subset(count: int, port: int = 80, unready: int = 0) -> Obj:
    addresses = [{"ip": f"10.0.{number // 250}.{number % 250 + 1}"} for number in range(count)]
    return {
        "addresses": addresses,
        "notReadyAddresses": [{"ip": f"10.9.0.{number + 1}"} for number in range(unready)],
        "ports": [{"name": "p", "port": port}],
    }


@pytest.mark.parametrize(
    ("obj", "service", "expected"),
    [
        (endpoints(), {"spec": {}}, True),
        (endpoints(), {"spec": {"selector": {"a": "b"}}}, False),
        (endpoints(), None, False),
        (endpoints(labels={mirroring.SKIP_LABEL: "true"}), {"spec": {}}, False),
        (endpoints(annotations={mirroring.LEADER_ANNOTATION: "x"}), {"spec": {}}, False),
    ],
    ids=["mirrored", "has a selector", "no service", "label", "lock"],
)
def test_what_is_mirrored(obj: Obj, service: Obj | None, expected: bool) -> None:
    assert mirroring.should_mirror(obj, service) is expected


def test_mirroring_is_idempotent_and_follows_changes() -> None:
    obj = endpoints(subset(150, unready=1), subset(1, port=81))
    first = mirroring.plan(obj, [])
    assert [len(each["endpoints"]) for each in first.create] == [100, 51, 1]
    assert first.create[1]["endpoints"][-1] == {"addresses": ["10.9.0.1"], "conditions": {"ready": False}}
    again = mirroring.plan(obj, first.create)
    assert again == mirroring.Plan()
    fewer = mirroring.plan(endpoints(subset(99, unready=1)), first.create)
    assert ([len(each["endpoints"]) for each in fewer.update], len(fewer.delete)) == ([100], 2)
    assert len(mirroring.plan(None, first.create).delete) == 3


def cidr(name: str, *ranges: str, deleting: bool = False) -> Obj:
    metadata = {"name": name, **({"deletionTimestamp": "now"} if deleting else {})}
    return {"metadata": metadata, "spec": {"cidrs": list(ranges)}}


@pytest.mark.parametrize(
    ("others", "addresses", "expected"),
    [
        pytest.param([], ["10.1.0.5"], ["10.1.0.5"], id="in use"),
        pytest.param([], ["10.2.0.5", "fd00::1"], [], id="of another range"),
        pytest.param([cidr("b", "10.0.0.0/8")], ["10.1.0.5"], [], id="covered by another"),
        pytest.param(
            [cidr("b", "10.0.0.0/8", deleting=True)], ["10.1.0.5"], ["10.1.0.5"], id="that goes too"
        ),
    ],
)
def test_what_keeps_a_service_cidr(others: list[Obj], addresses: list[str], expected: list[str]) -> None:
    assert service_cidr.blocking(cidr("a", "10.1.0.0/16"), others, addresses) == expected


def test_the_ready_condition_is_written_once() -> None:
    made = service_cidr.with_condition(cidr("a", "10.1.0.0/16"), "True", "", "ready", NOW)
    assert made["status"]["conditions"][0]["status"] == "True"
    assert service_cidr.with_condition(made, "True", "", "ready", NOW + 5) is made


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["10.0.0.0/26", "10.0.0.64/28", "10.0.0.128/25", "10.0.0.32/27", "fd00::/64"]))
)
def test_a_chosen_range_overlaps_none(taken: list[str]) -> None:
    networks = [ipaddress.ip_network(each) for each in taken]
    chosen = node_ipam.choose(ipaddress.ip_network("10.0.0.0/24"), 27, networks)
    free = [
        each
        for each in ipaddress.ip_network("10.0.0.0/24").subnets(new_prefix=27)
        if not any(each.overlaps(other) for other in networks if other.version == 4)
    ]
    assert chosen == (free[0] if free else None)


async def test_nodes_get_ranges_of_their_own() -> None:
    api, clock = FakeApi(), VirtualClock()
    options = Options(cluster_cidr="10.244.0.0/16", allocate_node_cidrs=True)
    manager = Manager(api.client(clock=clock), options, [node_ipam.NodeIpamController, ttl.TTLController])
    api.create(NODES, node("old", spec={"podCIDR": "10.244.0.0/24"}))
    for number in range(5):
        api.create(NODES, node(f"n{number}"))
    running = asyncio.ensure_future(manager.run())
    try:
        await clock.advance(1)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.stop()
    ranges = [each["spec"]["podCIDR"] for each in api.list(NODES)]
    assert sorted(ranges) == [f"10.244.{number}.0/24" for number in range(6)]
    assert {each["metadata"]["annotations"][ttl.ANNOTATION] for each in api.list(NODES)} == {"0"}


@pytest.mark.parametrize(
    ("current", "nodes", "seconds"),
    [(0, 3, 0), (0, 100, 0), (0, 101, 15), (1, 95, 15), (1, 89, 0), (0, 5000, 300), (4, 1000, 60), (4, 1, 0)],
)
def test_ttl_has_hysteresis(current: int, nodes: int, seconds: int) -> None:
    assert ttl.STEPS[ttl.step(current, nodes)][2] == seconds

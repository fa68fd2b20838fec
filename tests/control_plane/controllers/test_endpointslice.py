"""Which slices a service has after a change, and how few of them are written: the cases of the EndpointSlice
controller of Kubernetes; then the loop over an API in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.api import meta
from control_plane.client.gvr import ENDPOINT_SLICES, NODES, PODS, SERVICES
from control_plane.controllers import endpointslice, service_backends
from control_plane.controllers.context import Options
from control_plane.controllers.endpoint_packing import pack
from control_plane.controllers.endpointslice import EndpointSliceController, Plan
from control_plane.controllers.main import Manager
from tests.control_plane.controllers.objects import Obj, node, pod
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock, settle


def endpoint(number: int, **more: Any) -> Obj:
    return {"addresses": [f"10.0.{number // 250}.{number % 250}"], **more}


def endpoints(*numbers: int) -> list[Obj]:
    return [endpoint(each) for each in numbers]


@pytest.mark.parametrize(
    ("held", "written", "wanted", "expected", "new"),
    [
        ([], "", 250, [], [100, 100, 50]),
        ([62, 62], "", 250, [88, 62], [100]),
        ([74, 74], "", 300, [74, 74], [100, 52]),
        ([74, 60], "", 160, [100, 60], []),
        ([74, 60], "", 161, [74, 87], []),
        ([74, 60], "", 180, [74, 60], [46]),
        ([30, 40], "+ ", 90, [50, 40], []),
        ([30, 40], "+ ", 160, [100, 60], []),
        ([30, 40], "++", 200, [100, 100], []),
        ([100, 50], "", 150, [100, 50], []),
        ([10, 0], "", 30, [30, 0], []),
    ],
    ids=[
        "all of them new", "some are there: one new, the rest into one", "the rest fits nowhere",
        "into the fullest that has the room", "into the next", "into a new one",
        "into one that is written anyway, even if it is not the fullest", "into that, the rest into another",
        "into all that are written anyway", "nothing changed", "what is empty is not filled",
    ],
)  # fmt: skip
def test_packing(held: list[int], written: str, wanted: int, expected: list[int], new: list[int]) -> None:
    slices, start = [], 0
    for size in held:
        slices.append(endpoints(*range(start, start + size)))
        start += size
    flags = [(written + " " * len(held))[at] == "+" for at in range(len(held))]
    contents, made = pack(slices, flags, endpoints(*range(wanted)))
    assert ([len(each) for each in contents], [len(each) for each in made]) == (expected, new)


def test_a_slice_that_loses_endpoints_is_filled_first() -> None:
    contents, made = pack([endpoints(1, 2, 3), endpoints(4, 5)], [False, False], endpoints(1, 2, 4, 5, 6))
    assert contents == [endpoints(1, 2, 6), endpoints(4, 5)]
    assert made == []


def test_an_endpoint_that_changed_is_written_where_it_is() -> None:
    changed = endpoint(1, conditions={"ready": False})
    contents, _ = pack([endpoints(1), endpoints(2)], [False, False], [changed, *endpoints(2, 3)])
    assert contents == [[changed, endpoint(3)], endpoints(2)]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 400), max_size=100, unique=True), max_size=5),
    st.sets(st.integers(0, 400)),
    st.data(),
)
def test_every_endpoint_is_in_one_slice(held: list[list[int]], wanted: set[int], data: st.DataObject) -> None:
    seen: set[int] = set()
    slices: list[list[Obj]] = []
    for each in held:
        slices.append(endpoints(*(number for number in each if number not in seen)))
        seen |= set(each)
    flags = data.draw(st.lists(st.booleans(), min_size=len(slices), max_size=len(slices)))
    contents, new = pack(deepcopy(slices), flags, endpoints(*wanted))
    packed = [each["addresses"][0] for content in (*contents, *new) for each in content]
    assert sorted(packed) == sorted(endpoint(number)["addresses"][0] for number in wanted)
    assert all(len(content) <= 100 for content in (*contents, *new))
    assert all(new), "no new slice is empty"
    for before, after in zip(slices, contents, strict=True):
        assert [each for each in before if each in after] == after[: len([e for e in before if e in after])]


# ---- slices of a service


def service(**more: Any) -> Obj:
    labels = more.pop("labels", {})
    ports = more.pop("ports", [{"name": "web", "port": 80, "targetPort": 8080, "protocol": "TCP"}])
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-svc", "labels": labels},
        "spec": {"selector": {"app": "web"}, "clusterIP": "10.96.0.5", "ports": ports, **more},
    }


def planned(count: int, current: Sequence[Obj], of: Obj | None = None) -> Plan:
    of = of or service()
    backing = [pod(f"p{each}", ready=True, ip=f"10.0.{each // 250}.{each % 250}") for each in range(count)]
    return endpointslice.plan(of, {"IPv4": service_backends.backends(of, backing)}, {}, current)


def sizes(made: Plan) -> tuple[list[int], list[int], int]:
    """Created, updated, deleted."""
    return *([len(each["endpoints"]) for each in part] for part in (made.create, made.update)), len(
        made.delete
    )


def after(current: Sequence[Obj], made: Plan) -> list[Obj]:
    by_name = {meta.name_of(each): each for each in (*current, *made.update, *made.create)}
    for each in made.delete:
        del by_name[meta.name_of(each)]
    return list(by_name.values())


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (0, 0, ([], [], 0)),
        (0, 1, ([], [1], 0)),
        (1, 0, ([], [0], 0)),
        (250, 0, ([], [0], 2)),
        (250, 250, ([], [], 0)),
        (250, 251, ([], [51], 0)),
        (250, 310, ([60], [], 0)),
        (101, 100, ([], [99], 0)),
        (0, 150, ([100], [50], 0)),
    ],
    ids=[
        "none", "the first", "the last", "all go", "nothing changes", "one more", "more than has room",
        "one less", "the empty one is used",
    ],
)  # fmt: skip
def test_what_is_written(before: int, now: int, expected: tuple[list[int], list[int], int]) -> None:
    current = planned(before, []).create
    made = planned(now, current)
    assert sizes(made) == expected
    assert planned(now, after(current, made)) == Plan(), "it settles"


def test_other_ports_use_the_slices_that_there_are() -> None:
    current = planned(250, []).create
    changed = service(ports=[{"name": "web", "port": 80, "targetPort": 9090, "protocol": "TCP"}])
    made = planned(150, current, changed)
    assert sizes(made) == ([], [50, 100], 1)
    assert all(each["ports"][0]["port"] == 9090 for each in made.update)
    assert planned(150, after(current, made), changed) == Plan()


def test_slices_of_a_former_service_are_not_used() -> None:
    current = planned(1, []).create
    reborn = service()
    reborn["metadata"]["uid"] = "uid-new"
    made = planned(0, current, reborn)
    assert sizes(made) == ([0], [], 1)


@pytest.mark.parametrize(
    ("more", "label"),
    [
        ({}, None),
        ({"clusterIP": "None"}, ""),
        ({"clusterIP": ""}, ""),
        ({"labels": {"service.kubernetes.io/headless": "x", "tier": "front"}}, None),
    ],
    ids=["with an address", "headless", "without an address", "a label that is not the user's"],
)
def test_the_label_of_headless_services(more: Obj, label: str | None) -> None:
    (made,) = planned(1, [], service(**more)).create
    assert meta.labels(made).get("service.kubernetes.io/headless") == label
    assert meta.labels(made).get("tier") == more.get("labels", {}).get("tier")


def test_other_labels_are_written_to_every_slice() -> None:
    current = planned(150, []).create
    assert sizes(planned(150, current, service(labels={"a": "b"}))) == ([], [100, 50], 0)


# ---- the loop


async def test_a_pod_on_a_node_that_is_not_there() -> None:
    clock = VirtualClock()
    api = FakeApi(now=clock.wall)
    manager = Manager(api.client(clock=clock), Options(), [EndpointSliceController])
    running = asyncio.ensure_future(manager.run())
    api.create(NODES, node("n1"))
    for name, where in (("a", "n1"), ("b", "n2")):
        api.create(PODS, pod(name, ready=True, node=where, ip=f"10.0.0.{1 + (where == 'n2')}"))
    api.create(SERVICES, service())
    everyone = service(publishNotReadyAddresses=True)
    everyone["metadata"] |= {"name": "all", "uid": "uid-all"}
    api.create(SERVICES, everyone)

    def addresses(name: str) -> list[str]:
        slices = [
            each for each in api.list(ENDPOINT_SLICES)
            if meta.labels(each)["kubernetes.io/service-name"] == name
        ]  # fmt: skip
        return sorted(each["addresses"][0] for one in slices for each in one["endpoints"])

    await clock.advance(1)
    await settle()
    assert (addresses("web"), addresses("all")) == (["10.0.0.1"], ["10.0.0.1", "10.0.0.2"])
    api.create(NODES, node("n2"))
    await clock.advance(6)
    await settle()
    assert addresses("web") == ["10.0.0.1", "10.0.0.2"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await manager.stop()

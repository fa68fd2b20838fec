"""The allocator: its table of cases, what an allocation says, and that it finds one whenever there is one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.client.types import Obj
from control_plane.scheduler.dynamic_resources.allocator import allocate
from control_plane.scheduler.dynamic_resources.devices import parse_slice
from control_plane.scheduler.dynamic_resources.errors import RequestError
from control_plane.scheduler.dynamic_resources.pools import inventory
from control_plane.scheduler.dynamic_resources.usage import Usage
from control_plane.scheduler.framework.node_info import NodeInfo
from tests.control_plane.scheduler.device_cases import CASES, Case
from tests.control_plane.scheduler.devices import (
    BIG,
    CLASSES,
    D1,
    D2,
    LOCAL,
    POLICY,
    SMALL,
    TOLERATE,
    ZONE_A,
    A,
    ask,
    attributes,
    claim,
    device,
    first,
    node,
    shared,
    slice_of,
    sub,
    taken,
)


def run(
    claims: Sequence[Obj], slices: Sequence[Obj], used: Sequence[Obj] = (), on: NodeInfo | None = None
) -> list[Obj] | None:
    usage = Usage()
    for each in used:
        usage.add(each)
    shares = itertools.count(1)
    stock = inventory(map(parse_slice, slices))
    return allocate(on or node(), claims, CLASSES.get, stock, usage, lambda: f"share-{next(shares)}")


def devices_of(results: Sequence[Obj] | None) -> list[list[str]] | None:
    """By claim: request:pool/device."""
    if results is None:
        return None
    return [
        [f"{each['request']}:{each['pool']}/{each['device']}" for each in result["devices"]["results"]]
        for result in results
    ]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_allocation(case: Case) -> None:
    if isinstance(case.expected, str):
        with pytest.raises(RequestError) as raised:
            run(case.claims, case.slices, case.used, case.on)
        assert case.expected in str(raised.value)
    else:
        assert devices_of(run(case.claims, case.slices, case.used, case.on)) == case.expected


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ([slice_of(D1)], LOCAL),
        ([slice_of(D1, allNodes=True)], None),
        ([slice_of(D1, **ZONE_A)], ZONE_A["nodeSelector"]),
        ([slice_of({**D1, "bindsToNode": True}, allNodes=True)], LOCAL),
        ([slice_of({**D1, **ZONE_A}, perDeviceNodeSelection=True)], ZONE_A["nodeSelector"]),
    ],
    ids=["of a node", "of all nodes", "of a selector", "bound to the node that it is used on", "by device"],
)
def test_who_can_use_the_devices(slices: list[Obj], expected: Obj | None) -> None:
    results = run([claim(ask())], slices, on=node(zone="a"))
    assert results is not None
    assert results[0].get("nodeSelector") == expected


def test_an_allocation_says_what_its_user_must_know() -> None:
    of_claim = {"requests": ["x"], "opaque": {"driver": A, "parameters": {"from": "claim"}}}
    other = {"requests": ["z"], "opaque": {"driver": A, "parameters": {}}}
    wanted = claim(
        ask("x", klass="configured", tolerations=[TOLERATE], capacity={"requests": {"slots": "3"}}),
        first("y", sub("s", klass="configured", adminAccess=True)),
        config=[of_claim, other],
    )
    results = run([wanted], [slice_of(shared(policy=POLICY), D2)])
    assert results is not None
    assert results[0]["devices"] == {
        "results": [
            {
                "request": "x", "driver": A, "pool": "p1", "device": "d1",
                "tolerations": [TOLERATE], "shareID": "share-1", "consumedCapacity": {"slots": "4"},
            },
            {
                "request": "y/s", "driver": A, "pool": "p1", "device": "d1",
                "adminAccess": True, "shareID": "share-2", "consumedCapacity": {"slots": "2"},
            },
        ],
        "config": [
            {"source": "FromClass", "opaque": {"driver": A, "parameters": {"from": "class"}}},
            {**of_claim, "source": "FromClaim"},
        ],
    }  # fmt: skip


def test_a_search_that_takes_too_long_ends() -> None:
    odd = [device(f"d{n}", **attributes(numa=n)) for n in range(30)]
    with pytest.raises(RequestError, match="no allocation was found in 20000 steps"):
        run([claim(ask(count=16), ask("z", klass="b"))], [slice_of(*odd)])


@given(
    wanted=st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=4),
    sizes=st.lists(st.sampled_from(["1Gi", "2Gi"]), max_size=6),
    used=st.sets(st.integers(0, 5)),
)
def test_it_finds_one_whenever_there_is_one(
    wanted: list[tuple[int, bool]], sizes: list[str], used: set[int]
) -> None:
    """With two sizes, there is one exactly when the big ones are enough for the big requests, and all for all."""
    slices = [slice_of(*(device(f"d{n}", size) for n, size in enumerate(sizes)))]
    claims = [
        claim(ask(count=count, cel=BIG if big else SMALL), name=f"c{n}")
        for n, (count, big) in enumerate(wanted)
    ]
    free = [size for n, size in enumerate(sizes) if n not in used]
    possible = sum(count for count, big in wanted if big) <= free.count("2Gi") and sum(
        count for count, _ in wanted
    ) <= len(free)
    found = run(claims, slices, [taken(f"d{n}") for n in used])
    assert (found is not None) == possible
    names = [each for result in devices_of(found) or () for each in result]
    chosen = [each.partition(":")[2] for each in names]
    assert len(set(chosen)) == len(chosen)
    assert not {f"p1/d{n}" for n in used} & set(chosen)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(1, 5)), max_size=12))
def test_usage_counts_up_and_down(history: list[tuple[bool, int, int]]) -> None:
    usage, kept = Usage(), []
    for keep, number, amount in history:
        allocation = taken(f"d{number}", consumed={"slots": str(amount)} if amount > 2 else None)
        usage.add(allocation)
        if keep:
            kept.append(allocation)
        else:
            usage.remove(allocation)
    again = Usage()
    for each in kept:
        again.add(each)
    assert (usage.taken, usage.consumed) == (again.taken, again.consumed)

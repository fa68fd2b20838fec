"""Groups: all of their pods are placed, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from control_plane.client.gvr import PODS
from control_plane.client.types import Obj
from tests.control_plane.scheduler.build import node, pod
from tests.control_plane.scheduler.test_scheduler import Cluster
from tests.control_plane.virtual_clock import settle


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    await made.start()
    yield made
    await made.stop()


def member(name: str, cpu: str = "1", group: str = "g", least: int = 3, timeout: str = "20s") -> Obj:
    said = {"group": group, "min-member": str(least), "group-timeout": timeout}
    annotations = {f"scheduling.balsa.dev/{key}": text for key, text in said.items()}
    return pod(name, cpu=cpu, metadata={"annotations": annotations})


def placed(cluster: Cluster) -> set[str]:
    return {each["metadata"]["name"] for each in cluster.api.list(PODS) if each["spec"].get("nodeName")}


async def test_a_group_waits_for_its_last_pod(cluster: Cluster) -> None:
    cluster.add(node("n1", cpu="8"), member("a"), member("b"))
    await cluster.clock.advance(5)
    assert placed(cluster) == set()
    cluster.add(member("c"))
    await cluster.clock.advance(2)
    assert placed(cluster) == {"a", "b", "c"}


async def test_a_group_that_does_not_fit_as_a_whole_takes_no_room(cluster: Cluster) -> None:
    cluster.add(node("n1", cpu="2"), member("a"), member("b"), member("c"))
    await cluster.clock.advance(1)
    assert placed(cluster) == set()
    cluster.add(pod("other", cpu="2"))
    await cluster.clock.advance(15)
    assert placed(cluster) == {"other"}
    cluster.add(node("n2", cpu="4"))
    await cluster.clock.advance(15)
    assert placed(cluster) == {"other", "a", "b", "c"}


async def test_members_beyond_the_least_are_placed_too(cluster: Cluster) -> None:
    cluster.add(node("n1", cpu="8"), *(member(name) for name in "abcde"))
    await cluster.clock.advance(2)
    assert placed(cluster) == set("abcde")
    cluster.add(member("f"))
    await cluster.clock.advance(2)
    assert "f" in placed(cluster)


async def test_two_groups_that_fit_one_at_a_time(cluster: Cluster) -> None:
    cluster.add(node("n1", cpu="3"))
    for name in "abc":
        cluster.add(member(f"x{name}", group="x"), member(f"y{name}", group="y"))
    await cluster.clock.advance(90)
    first = placed(cluster)
    assert {name[0] for name in first} in ({"x"}, {"y"}), first
    assert len(first) == 3


async def test_a_member_that_goes_lets_the_others_give_up(cluster: Cluster) -> None:
    cluster.add(node("n1", cpu="2"), *(member(name, least=2, cpu="2") for name in "ab"))
    await cluster.clock.advance(1)
    cluster.api.delete(PODS, "a", "default")
    cluster.add(pod("other", cpu="2"))
    await cluster.clock.advance(30)
    assert placed(cluster) == {"other"}


async def test_a_group_larger_than_the_number_of_bindings_at_once(cluster: Cluster) -> None:
    cluster.add(node("n1", cpu="500", pods=500))
    cluster.add(*(member(f"m{number}", cpu="10m", least=200) for number in range(200)))
    await cluster.clock.advance(10)
    await settle()
    assert len(placed(cluster)) == 200

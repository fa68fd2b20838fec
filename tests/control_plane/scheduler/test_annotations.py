"""What pods and nodes may say beyond the API: data, interference, deadlines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from control_plane.client.gvr import PODS
from control_plane.client.types import Obj
from control_plane.scheduler.framework.annotations import (
    PREFIX,
    amounts,
    deadline_s,
    duration_s,
    group_of,
    words,
)
from tests.control_plane.scheduler.build import World, node, pod
from tests.control_plane.scheduler.test_scheduler import Cluster
from tests.control_plane.virtual_clock import VirtualClock

CREATED = "2023-11-14T22:13:20Z"  # when the virtual clocks begin


def saying(obj: Obj, **said: str) -> Obj:
    obj["metadata"]["annotations"] = {PREFIX + key.replace("_", "-"): text for key, text in said.items()}
    obj["metadata"]["creationTimestamp"] = CREATED
    return obj


def test_what_is_said() -> None:
    obj = saying(pod("p"), data="a, b=2,c=x", group="g", min_member="3", deadline="1m30s")
    assert words(obj, PREFIX + "data") == {"a", "b=2", "c=x"}
    assert amounts(obj, PREFIX + "data") == {"a": 1.0, "b": 2.0}
    group = group_of(obj)
    assert group is not None
    assert (group.name, group.min_member, group.timeout_s) == ("g", 3, 60.0)
    assert deadline_s(obj) == VirtualClock().wall() + 90


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5s", 5.0), ("1m30s", 90.0), ("500ms", 0.5), ("soon", None), ("", None), ("5", None)],
)
def test_durations(text: str, expected: float | None) -> None:
    assert duration_s(text) == expected


@pytest.mark.parametrize(
    "said", [{"group": "g"}, {"group": "g", "min_member": "x"}, {"group": "g", "min_member": "1"}]
)
def test_no_group(said: dict[str, str]) -> None:
    assert group_of(saying(pod("p"), **said)) is None


NODES = [saying(node("full"), data="genome=40,index=10"), saying(node("half"), data="index=10"), node("none")]
CLAIM = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param("genome,index", [100, 20, 0], id="by size"),
        pytest.param("index", [100, 100, 0], id="one name"),
        pytest.param("genome,unknown", [97, 0, 0], id="held by nobody"),
        pytest.param("claim/c", [0, 0, 100], id="a claim in use"),
    ],
)
def test_data_locality(wanted: str, expected: list[int]) -> None:
    made = World(NODES, [pod("user", on="none", **CLAIM)])
    assert list((made.scores("DataLocality", saying(pod("p"), data=wanted)) or {}).values()) == expected


def test_a_pod_that_names_no_data_is_none_of_its_business() -> None:
    assert World(NODES).scores("DataLocality", pod("p")) is None


def neighbours() -> World:
    nodes = [node("quiet"), node("loud"), saying(node("busy"), pressure="cache=0.5")]
    return World(nodes, [saying(pod("noise", on="loud"), noisy="cache,disk")])


def test_interference_is_avoided() -> None:
    scores = neighbours().scores("Interference", saying(pod("p"), sensitive="cache"))
    assert scores == {"quiet": 100, "loud": 0, "busy": 50}
    assert neighbours().scores("Interference", pod("p")) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(
            {"sensitive": "disk", "interference": "forbid"},
            "node(s) had pods that interfere with the pod",
            id="forbidden",
        ),
        pytest.param({"sensitive": "disk"}, "", id="only avoided"),
        pytest.param({"sensitive": "cpu", "interference": "forbid"}, "", id="nothing in common"),
    ],
)
def test_interference_can_be_forbidden(said: dict[str, str], expected: str) -> None:
    assert neighbours().feasible("Interference", saying(pod("p"), **said))["loud"] == expected


def test_who_came_first_and_forbids_keeps_noise_out() -> None:
    made = World([node("n")], [saying(pod("first", on="n"), sensitive="cpu", interference="forbid")])
    assert made.feasible("Interference", saying(pod("p"), noisy="cpu"))["n"] != ""


# ---- deadlines


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    await made.start()
    yield made
    await made.stop()


async def test_the_nearest_deadline_is_first(cluster: Cluster) -> None:
    cluster.add(
        pod("none", cpu="4"),
        saying(pod("late", cpu="4"), deadline="10m"),
        saying(pod("soon", cpu="4"), deadline="5m"),
    )
    await cluster.clock.advance(15)
    cluster.add(node("n1", cpu="4"))
    await cluster.clock.advance(15)
    assert cluster.node_of("soon") == "n1"
    cluster.api.delete(PODS, "soon", "default")
    await cluster.clock.advance(15)
    assert (cluster.node_of("late"), cluster.node_of("none")) == ("n1", "")


async def test_a_missed_deadline_is_reported_once(cluster: Cluster) -> None:
    cluster.add(node("n1", cpu="1"), saying(pod("p", cpu="2"), deadline="30s"))
    await cluster.clock.advance(25)
    assert cluster.events("DeadlineMissed") == []
    await cluster.clock.advance(60)
    assert cluster.events("DeadlineMissed") == ["The pod's deadline has passed, and it has no node yet"]


@pytest.mark.parametrize(
    ("policy", "other", "gone"),
    [
        pytest.param("preempt", {}, True, id="takes the place of its equal"),
        pytest.param("", {}, False, id="only when it says so"),
        pytest.param("preempt", {"deadline": "1h"}, False, id="not of one with a deadline"),
    ],
)
async def test_an_urgent_pod_preempts(
    cluster: Cluster, policy: str, other: dict[str, str], gone: bool
) -> None:
    cluster.add(node("n1", cpu="2"), saying(pod("other", cpu="2", on="n1"), **other))
    cluster.add(saying(pod("p", cpu="2"), deadline="40s", deadline_policy=policy))
    await cluster.clock.advance(15)
    assert not cluster.pod("other")["metadata"].get("deletionTimestamp"), "there is time yet"
    await cluster.clock.advance(10)
    found = cluster.api.get(PODS, "other", "default")
    assert (found is None or "deletionTimestamp" in found["metadata"]) is gone

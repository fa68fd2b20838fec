"""The arithmetic of a rollout: bounds, steps, shares."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.controllers.deployment import rolling
from tests.control_plane.controllers.objects import Obj, owner, replica_set


def deployment(
    replicas: int, surge: Any = "25%", unavailable: Any = "25%", kind: str = "RollingUpdate"
) -> Obj:
    strategy = {"type": kind, "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    return owner("Deployment", replicas=replicas, strategy=strategy)


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        pytest.param(10, "25%", "25%", (3, 2), id="percentages: surge up, unavailable down"),
        pytest.param(1, "25%", "25%", (1, 0), id="one replica"),
        pytest.param(3, 0, "10%", (0, 1), id="both zero: one unavailable"),
        pytest.param(3, 2, 5, (2, 3), id="never more unavailable than there are"),
        pytest.param(0, 1, 1, (0, 0), id="nothing wanted"),
    ],
)
def test_bounds(replicas: int, surge: Any, unavailable: Any, expected: tuple[int, int]) -> None:
    found = rolling.bounds(deployment(replicas, surge, unavailable))
    assert (found.surge, found.unavailable) == expected


@pytest.mark.parametrize(
    ("old", "new", "surge", "unavailable", "expected"),
    [
        pytest.param((10, 10), (0, 0), 2, 0, {"new": 2}, id="start: grow by the surge"),
        pytest.param((10, 10), (2, 0), 2, 0, {}, id="wait for the new ones"),
        pytest.param((10, 10), (2, 2), 2, 0, {"old": 8}, id="then shrink by as many"),
        pytest.param((10, 10), (0, 0), 0, 2, {"old": 8}, id="no surge: shrink first"),
        pytest.param((10, 5), (0, 0), 0, 2, {"old": 8}, id="unhealthy ones go, as many as the bound leaves"),
        pytest.param((0, 0), (12, 12), 2, 0, {"new": 10}, id="more than wanted"),
        pytest.param((0, 0), (10, 10), 2, 2, {}, id="done"),
    ],
)
def test_one_step(
    old: tuple[int, int], new: tuple[int, int], surge: int, unavailable: int, expected: dict[str, int]
) -> None:
    wanted = deployment(10, surge, unavailable)
    old_set, new_set = replica_set("old", *old, age_s=100), replica_set("new", *new)
    steps = rolling.grow_new(wanted, [old_set, new_set], new_set) or rolling.shrink_old(
        wanted, [old_set], new_set
    )
    assert {step.replica_set["metadata"]["name"]: step.replicas for step in steps} == expected


def test_scaling_in_the_middle_of_a_rollout_is_shared() -> None:
    notes = {"deployment.kubernetes.io/max-replicas": "13", "deployment.kubernetes.io/desired-replicas": "10"}
    old, new = replica_set("old", 8, annotations=notes, age_s=100), replica_set("new", 5, annotations=notes)
    steps = rolling.proportionally(deployment(15, 3, 2), [old, new], new)
    assert {step.replica_set["metadata"]["name"]: step.replicas for step in steps} == {"old": 11, "new": 7}


@given(
    replicas=st.integers(1, 30),
    surge=st.integers(0, 10),
    unavailable=st.integers(0, 10),
    outcomes=st.lists(st.booleans(), max_size=200),
)
def test_every_rollout_stays_within_its_bounds_and_ends(
    replicas: int, surge: int, unavailable: int, outcomes: list[bool]
) -> None:
    wanted = deployment(replicas, surge, unavailable)
    limit = rolling.bounds(wanted)
    old, new = replica_set("old", replicas, age_s=100), replica_set("new", 0)
    late = iter(outcomes)
    for _ in range(len(outcomes) + 10 * replicas + 10):
        steps = rolling.grow_new(wanted, [old, new], new) or rolling.shrink_old(wanted, [old], new)
        for step in steps:
            step.replica_set["spec"]["replicas"] = step.replicas
        for each in (old, new):
            asked, status = each["spec"]["replicas"], each["status"]
            grown = asked if next(late, True) else status["availableReplicas"]
            status["availableReplicas"] = min(asked, grown)
        assert old["spec"]["replicas"] + new["spec"]["replicas"] <= limit.maximum
        available = old["status"]["availableReplicas"] + new["status"]["availableReplicas"]
        assert available >= limit.replicas - limit.unavailable
    assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (0, replicas)

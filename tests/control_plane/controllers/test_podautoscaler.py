"""How many replicas measurements ask for, how fast they may come, and the loop over an API in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.controllers.podautoscaler import behavior, replicas
from control_plane.controllers.podautoscaler.behavior import History
from control_plane.controllers.podautoscaler.metrics import Target, evaluate
from control_plane.controllers.podautoscaler.replicas import Proposal, Tolerances
from control_plane.controllers.podautoscaler.samples import MetricError, Sample
from tests.control_plane.controllers.objects import NOW, Obj, pod, rfc3339

LONG_AGO = {"ready": True, "ready_s": 1000}


def member(name: str, *, request: str | None = "1", started_s: float = 1000, **more: Any) -> Obj:
    resources = {"requests": {"cpu": request, "memory": "1Gi"}} if request else {}
    spec = {"containers": [{"name": "c", "resources": resources}]}
    made = pod(name, spec=spec, **{**LONG_AGO, **more})
    made["status"]["startTime"] = rfc3339(NOW - started_s)
    return made


def cpu(**milli: int) -> dict[str, Sample]:
    return {name: Sample(value, NOW - 5, 15.0) for name, value in milli.items()}


A, B, C = member("a"), member("b"), member("c")
STARTING = member("c", started_s=20, ready=False, ready_s=10)
LATELY = member("c", started_s=60, ready_s=2)  # ready, but measured before


@pytest.mark.parametrize(
    ("pods", "samples", "expected"),
    [
        pytest.param([A, B], cpu(a=500, b=500), Proposal(2, 50, 500), id="as wanted"),
        pytest.param([A, B], cpu(a=520, b=530), Proposal(2, 52, 525), id="within tolerance"),
        pytest.param([A, B], cpu(a=1000, b=1000), Proposal(4, 100, 1000), id="twice as busy"),
        pytest.param([A, B, C], cpu(a=100, b=100, c=100), Proposal(1, 10, 100), id="idle"),
        pytest.param([A, B, C], cpu(a=1000, b=1000), Proposal(4, 100, 1000), id="up: a missing one is idle"),
        pytest.param([A, B, C], cpu(a=100, b=100), Proposal(3, 10, 100), id="down: a missing one is busy"),
        pytest.param([A, B, STARTING], cpu(a=1000, b=1000, c=900), Proposal(4, 100, 1000), id="one starts"),
        pytest.param([A, B, LATELY], cpu(a=600, b=600, c=900), Proposal(2, 60, 600), id="one was just ready"),
        pytest.param(
            [A, B, member("c", deleting=True)], cpu(a=1000, b=1000, c=1), Proposal(4, 100, 1000), id="one goes"
        ),
        pytest.param(
            [A, B, member("c", phase="Pending", ready=False)], cpu(a=1000, b=1000), Proposal(4, 100, 1000),
            id="one is pending",
        ),
    ],
)  # fmt: skip
def test_by_utilization(pods: list[Obj], samples: dict[str, Sample], expected: Proposal) -> None:
    current = 3 if expected.replicas in (3, 1) else 2
    found = replicas.by_utilization(current, 50, pods, samples, "cpu", "", Tolerances(), NOW)
    assert found == expected


def test_what_cannot_be_computed() -> None:
    with pytest.raises(MetricError, match="missing request for cpu in container c of Pod a"):
        replicas.by_utilization(1, 50, [member("a", request=None)], cpu(a=1), "cpu", "", Tolerances(), NOW)
    with pytest.raises(MetricError, match="did not receive metrics for targeted pods"):
        replicas.by_utilization(1, 50, [STARTING], cpu(c=1), "cpu", "", Tolerances(), NOW)


@given(st.integers(1, 20), st.lists(st.integers(0, 5000), min_size=1, max_size=20), st.integers(10, 200))
def test_more_load_never_means_fewer_replicas(current: int, loads: list[int], target: int) -> None:
    pods = [member(f"p{number}") for number in range(len(loads))]
    before = {f"p{number}": Sample(load, NOW - 5, 15.0) for number, load in enumerate(loads)}
    after = {name: Sample(each.milli * 2, each.at, each.window_s) for name, each in before.items()}
    first, second = (
        replicas.by_utilization(len(loads), target, pods, each, "cpu", "", Tolerances(), NOW).replicas
        for each in (before, after)
    )
    assert second >= min(first, len(loads)) if first <= len(loads) else second >= first


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (replicas.by_value(3, 3, 30_000, 10_000, Tolerances()), 9),
        (replicas.by_value(3, 3, 10_500, 10_000, Tolerances()), 3),
        (replicas.by_value(0, 0, 25_000, 10_000, Tolerances()), 3),
        (replicas.by_share(2, 30_000, 10_000, Tolerances()), 3),
        (replicas.by_share(3, 31_000, 10_000, Tolerances()), 3),
        (replicas.by_share(0, 31_000, 10_000, Tolerances()), 4),
    ],
    ids=["value", "value within", "value from zero", "share", "share within", "share from zero"],
)
def test_one_number_for_all(found: Proposal, expected: int) -> None:
    assert found.replicas == expected


def autoscaler(low: int = 1, high: int = 20, **rules: Any) -> Obj:
    spec: Obj = {"minReplicas": low, "maxReplicas": high}
    return {"spec": {**spec, "behavior": rules} if rules else spec}


def policies(*policy: tuple[str, int, int], select: str = "Max", window_s: int = 0) -> Obj:
    made = [{"type": kind, "value": value, "periodSeconds": period_s} for kind, value, period_s in policy]
    return {"policies": made, "selectPolicy": select, "stabilizationWindowSeconds": window_s}


SLOW = policies(("Pods", 1, 60))


@pytest.mark.parametrize(
    ("obj", "current", "wanted", "replicas_", "reason"),
    [
        pytest.param(autoscaler(), 2, 3, 3, "", id="a little more"),
        pytest.param(autoscaler(), 2, 15, 6, "ScaleUpLimit", id="four more at a time"),
        pytest.param(autoscaler(), 10, 30, 20, "TooManyReplicas", id="the maximum"),
        pytest.param(autoscaler(low=3, scaleDown=policies(("Percent", 100, 15))), 5, 1, 3, "TooFewReplicas",
                     id="the minimum"),
        pytest.param(autoscaler(scaleUp=SLOW), 2, 9, 3, "ScaleUpLimit", id="slowly up"),
        pytest.param(autoscaler(scaleDown=SLOW), 9, 2, 8, "ScaleDownLimit", id="slowly down"),
        pytest.param(autoscaler(scaleDown=policies(("Percent", 10, 60), ("Pods", 2, 60))), 10, 1, 8,
                     "ScaleDownLimit", id="the larger step"),
        pytest.param(autoscaler(scaleDown=policies(("Percent", 10, 60), ("Pods", 2, 60), select="Min")), 10, 1, 9,
                     "ScaleDownLimit", id="the smaller step"),
        pytest.param(autoscaler(scaleDown={"selectPolicy": "Disabled"}), 5, 1, 5, "ScaleDownLimit", id="never"),
    ],
)  # fmt: skip
def test_limits(obj: Obj, current: int, wanted: int, replicas_: int, reason: str) -> None:
    history = History()
    history.recommendations.append((NOW - 4000, current))  # outside of every window
    found = behavior.limit(obj, current, wanted, history, NOW)
    assert (found.replicas, found.reason) == (replicas_, reason)


def test_down_only_to_the_highest_recommendation_of_five_minutes() -> None:
    obj, history = autoscaler(), History()
    assert behavior.limit(obj, 5, 5, history, NOW).replicas == 5
    found = behavior.limit(obj, 5, 1, history, NOW + 60)
    assert (found.replicas, found.stabilized) == (5, "ScaleDownStabilized")
    assert behavior.limit(obj, 5, 2, history, NOW + 301).replicas == 2


def test_a_policy_counts_what_was_scaled_within_its_period() -> None:
    obj, history = autoscaler(scaleUp=policies(("Pods", 2, 60))), History()
    assert behavior.limit(obj, 2, 9, history, NOW).replicas == 4
    history.scaled(2, 4, NOW)
    assert behavior.limit(obj, 4, 9, history, NOW + 30).replicas == 4
    assert behavior.limit(obj, 4, 9, history, NOW + 61).replicas == 6


class Sources:
    async def resource(self, *_: str) -> dict[str, Sample]:
        return cpu(a=1000, b=1000)

    async def object(self, *_: Any) -> int:
        return 30_000

    async def external(self, *_: Any) -> int:
        return 50_000

    async def pods(self, *_: Any) -> dict[str, Sample]:
        return cpu(a=3000, b=1000)


UTILIZATION = {"type": "Utilization", "averageUtilization": 50}
SERVICE = {"apiVersion": "v1", "kind": "Service", "name": "s"}


@pytest.mark.parametrize(
    ("metric", "expected", "name", "current"),
    [
        pytest.param({"type": "Resource", "resource": {"name": "cpu", "target": UTILIZATION}}, 4,
                     "cpu resource utilization (percentage of request)",
                     {"averageValue": "1", "averageUtilization": 100}, id="resource"),
        pytest.param(
            {"type": "ContainerResource",
             "containerResource": {"name": "cpu", "container": "c", "target": UTILIZATION}}, 4,
            "cpu container resource utilization (percentage of request)",
            {"averageValue": "1", "averageUtilization": 100}, id="container",
        ),
        pytest.param({"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"averageValue": "1"}}}, 4,
                     "pods metric q", {"averageValue": "2"}, id="pods"),
        pytest.param({"type": "Object", "object": {"metric": {"name": "q"}, "describedObject": SERVICE,
                                                   "target": {"value": "10"}}}, 6,
                     "Service metric q", {"value": "30"}, id="object"),
        pytest.param({"type": "External", "external": {"metric": {"name": "q"}, "target": {"averageValue": "10"}}},
                     5, "external metric q({})", {"averageValue": "25"}, id="external"),
    ],
)  # fmt: skip
def test_each_type_of_metric(metric: Obj, expected: int, name: str, current: Obj) -> None:
    async def resolve(api_version: str, kind: str) -> str:
        return "services"

    target = Target("default", 2, 2, "app=web", [A, B], Tolerances(), NOW)
    found = asyncio.run(evaluate(metric, target, Sources(), resolve))  # type: ignore[arg-type]
    assert (found.replicas, found.name) == (expected, name)
    (shown,) = (value for key, value in found.status.items() if key != "type")
    assert shown["current"] == current

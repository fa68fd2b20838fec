"""Semantic validation of jobs, autoscalers and sets: what is refused, and in which words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api.validation import validate_update
from tests.control_plane.api import samples
from tests.control_plane.api.judging import FIXED, named, refused, refused_update, with_spec
from tests.control_plane.api.samples import container, stored

Object = dict[str, Any]
JOBS = "jobs.batch"
HPA = "horizontalpodautoscalers.autoscaling"


def indexed(**spec: Any) -> Object:
    return samples.job(completionMode="Indexed", completions=3, parallelism=1, **spec)


def failing(*rules: Object, **spec: Any) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [container()]}}
    return samples.job(template=template, podFailurePolicy={"rules": list(rules)}, **spec)


def autoscaler(**spec: Any) -> Object:
    return with_spec(maxReplicas=3, scaleTargetRef={"kind": "Deployment", "name": "web"}, **spec)


def cpu(**target: Any) -> Object:
    return autoscaler(metrics=[{"type": "Resource", "resource": {"name": "cpu", "target": target}}])


REFUSED: list[Any] = [
    pytest.param(
        "controllerrevisions.apps",
        named(revision=-1),
        [
            "data: Required value: data is mandatory",
            "revision: Invalid value: -1: must be greater than or equal to 0",
        ],
        id="revision",
    ),
    pytest.param(
        JOBS,
        samples.job(backoffLimitPerIndex=1),
        ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        id="backoff of no index",
    ),
    pytest.param(
        JOBS,
        indexed(maxFailedIndexes=4),
        [
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
        ],
        id="failed indexes",
    ),
    pytest.param(
        JOBS,
        failing({"action": "Jump", "onExitCodes": {"operator": "In", "values": [0, 2, 1]}}),
        [
            'spec.podFailurePolicy.rules[0].action: Unsupported value: "Jump": supported values: "Count", "FailIndex", "FailJob", "Ignore"',
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [0,2,1]: must be ordered",
        ],
        id="exit codes",
    ),
    pytest.param(
        JOBS,
        failing({"action": "Ignore"}),
        [
            'spec.podFailurePolicy.rules[0]: Invalid value: "": specifying one of OnExitCodes and OnPodConditions is required'
        ],
        id="rule of nothing",
    ),
    pytest.param(
        JOBS,
        samples.job(successPolicy={"rules": [{"succeededCount": 1}]}),
        [
            'spec.successPolicy: Invalid value: {"rules":[{"succeededCount":1}]}: requires indexed completion mode'
        ],
        id="success of no index",
    ),
    pytest.param(
        JOBS,
        indexed(successPolicy={"rules": [{"succeededIndexes": "2,1"}, {"succeededCount": 9}]}),
        [
            'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "2,1": error parsing succeededIndexes: '
            "non-increasing order, previous: 2, current: 1",
            "spec.successPolicy.rules[1].succeededCount: Invalid value: 9: must be less than or equal to 3 (the number of specified completions)",
        ],
        id="success",
    ),
    pytest.param(
        HPA,
        autoscaler(metrics=[{"type": "Pods"}]),
        ["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
        id="no source",
    ),
    pytest.param(
        HPA,
        cpu(type="Utilization", averageUtilization=0),
        ["spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"],
        id="utilization",
    ),
    pytest.param(
        HPA,
        cpu(type="Utilization"),
        [
            "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization"
        ],
        id="no target",
    ),
    pytest.param(
        HPA,
        autoscaler(
            behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1801}]}}
        ),
        [
            "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
            "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
        ],
        id="behavior",
    ),
    pytest.param(
        "poddisruptionbudgets.policy",
        with_spec(minAvailable="101%"),
        ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%'],
        id="more than all",
    ),
    pytest.param(
        "statefulsets.apps",
        samples.workload(serviceName="s", podManagementPolicy="Random"),
        ["spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'"],
        id="pod management",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "expected"), REFUSED)
def test_refused(name: str, obj: Object, expected: list[str]) -> None:
    assert refused(name, obj) == expected


UPDATES: list[Any] = [
    pytest.param(
        "controllerrevisions.apps",
        named(data={"a": 1}, revision=1),
        ("data",),
        {"a": 2},
        [f'data: Invalid value: {{"a":2}}: {FIXED}'],
        id="revision's data",
    ),
    pytest.param(
        JOBS,
        samples.job(suspend=True),
        ("spec", "template", "spec", "nodeSelector"),
        {"a": "b"},
        [],
        id="a suspended job may be steered",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "path", "value", "expected"), UPDATES)
def test_updates(name: str, obj: Object, path: tuple[str, ...], value: Any, expected: list[str]) -> None:
    assert refused_update(name, obj, path, value) == expected


def test_a_suspended_job_keeps_its_commands() -> None:
    kind, old = stored(JOBS, samples.job(suspend=True))
    new = deepcopy(old)
    new["spec"]["template"]["spec"]["containers"][0]["command"] = ["x"]
    (found,) = validate_update(kind, new, old)
    assert str(found).startswith("spec.template: Invalid value")
    assert str(found).endswith(FIXED)

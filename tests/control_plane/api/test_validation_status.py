"""Semantic validation of statuses: what is refused, and in which words."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api.validation import validate_update
from tests.control_plane.api import samples
from tests.control_plane.api.judging import named
from tests.control_plane.api.samples import stored

Object = dict[str, Any]

STATUSES: list[Any] = [
    pytest.param(
        "deployments.apps",
        samples.workload(),
        {"replicas": 1, "readyReplicas": 2, "availableReplicas": -1},
        [
            "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        ],
        id="deployment",
    ),
    pytest.param(
        "services",
        named(kind="Service", spec={"ports": [{"port": 80}]}),
        {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
        ['status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is "LoadBalancer"'],
        id="service",
    ),
    pytest.param(
        "jobs.batch",
        samples.job(),
        {"succeeded": -1},
        ["status.succeeded: Invalid value: -1: must be greater than or equal to 0"],
        id="job",
    ),
]


@pytest.mark.parametrize(("name", "obj", "status", "expected"), STATUSES)
def test_statuses(name: str, obj: Object, status: Object, expected: list[str]) -> None:
    kind, old = stored(name, deepcopy(obj))
    new = {**deepcopy(old), "status": status}
    assert [str(e) for e in validate_update(kind, new, old, "status")] == expected

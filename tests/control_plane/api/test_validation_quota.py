"""Semantic validation of quotas and limits: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control_plane.api.judging import refused, with_spec

Object = dict[str, Any]
QUOTA = "resourcequotas"


REFUSED: list[Any] = [
    pytest.param(
        QUOTA,
        with_spec(hard={"cheese": "1", "pods": "1.5"}),
        [
            'spec.hard[cheese]: Invalid value: "cheese": must be a standard resource for quotas',
            'spec.hard[pods]: Invalid value: "1500m": must be an integer',
        ],
        id="quota",
    ),
    pytest.param(
        QUOTA,
        with_spec(hard={"services": "1"}, scopes=["BestEffort", "NotBestEffort"]),
        [
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource',
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource',
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
        ],
        id="quota's scopes",
    ),
    pytest.param(
        QUOTA,
        with_spec(
            hard={"pods": "1"},
            scopeSelector={"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]},
        ),
        [
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` "
            "is 'In' or 'NotIn' for scope selector"
        ],
        id="quota's selector",
    ),
    pytest.param(
        "limitranges",
        with_spec(limits=[{"type": "PersistentVolumeClaim"}]),
        [
            "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither "
            "was provided"
        ],
        id="limits of claims",
    ),
    pytest.param(
        "limitranges",
        with_spec(limits=[{"type": "Pod", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "4"}}]),
        [
            'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "4": ratio 4 is greater than max/min = 2.000000'
        ],
        id="ratio",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "expected"), REFUSED)
def test_refused(name: str, obj: Object, expected: list[str]) -> None:
    assert refused(name, obj) == expected

"""Patches of a Deployment, as kubectl sends them.

Run: `pytest bench/apiserver/test_patch.py`
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from control_plane.apiserver.patch import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_MERGE_PATCH,
    FieldMeta,
    PatchSchema,
    apply_patch,
)


class Schema:
    """The part of a Deployment's schema that these patches touch."""

    def __init__(self, **fields: FieldMeta) -> None:
        self._fields = fields

    def field(self, name: str) -> FieldMeta | None:
        return self._fields.get(name)


CONTAINER = Schema(
    env=FieldMeta("merge", "name", Schema()), ports=FieldMeta("merge", "containerPort", Schema())
)
POD_SPEC = Schema(containers=FieldMeta("merge", "name", CONTAINER))
TEMPLATE = Schema(spec=FieldMeta(schema=POD_SPEC))
DEPLOYMENT: PatchSchema = Schema(spec=FieldMeta(schema=Schema(template=FieldMeta(schema=TEMPLATE))))


def deployment() -> dict[str, Any]:
    containers = [
        {
            "name": f"c{index}",
            "image": "nginx:1",
            "env": [{"name": f"V{number}", "value": "x" * 20} for number in range(20)],
            "ports": [{"containerPort": 8000 + number, "protocol": "TCP"} for number in range(4)],
        }
        for index in range(4)
    ]
    metadata = {"name": "web", "labels": {f"label-{n}": "value" for n in range(10)}}
    return {"metadata": metadata, "spec": {"replicas": 3, "template": {"spec": {"containers": containers}}}}


SET_IMAGE = {
    "spec": {
        "template": {
            "spec": {
                "$setElementOrder/containers": [{"name": f"c{index}"} for index in range(4)],
                "containers": [{"name": "c2", "image": "nginx:2"}],
            }
        }
    }
}
PATCHES: dict[str, tuple[str, Any]] = {
    "strategic, set image": (STRATEGIC_MERGE_PATCH, SET_IMAGE),
    "merge, scale": (MERGE_PATCH, {"spec": {"replicas": 5}}),
    "json, replace": (JSON_PATCH, [{"op": "replace", "path": "/spec/replicas", "value": 5}]),
}


@pytest.mark.parametrize("kind", PATCHES)
def test_patch(benchmark: BenchmarkFixture, kind: str) -> None:
    content_type, patch = PATCHES[kind]
    body, current = orjson.dumps(patch), deployment()
    result = benchmark(apply_patch, content_type, body, current, DEPLOYMENT)
    assert result != current

"""What it costs to say who manages which fields, beside reading the same object's JSON.

Run: `pytest bench/apiserver/test_tracking.py`
"""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from control_plane.api import defaults
from control_plane.api.schema import lookup
from control_plane.apiserver.patch.apply import track, track_create

Object = dict[str, Any]
NOW = "2024-01-01T00:00:00Z"


def pod() -> Object:
    container = {
        "name": "c",
        "image": "nginx",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "value": "b"}, {"name": "B", "value": "c"}],
        "resources": {"requests": {"cpu": "10m", "memory": "10Mi"}},
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
    }
    made: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"app": "x"}, "annotations": {"a/b": "c"}},
        "spec": {"containers": [container], "volumes": [{"name": "v", "emptyDir": {}}]},
        "status": {},
    }
    defaults.apply("", "v1", "Pod", made)
    return made


def config_map() -> Object:
    data = {f"k{number}": "x" * 100 for number in range(10)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


OBJECTS = {"ConfigMap": config_map(), "Pod": pod()}


@pytest.mark.parametrize("kind", OBJECTS)
def test_create(benchmark: BenchmarkFixture, kind: str) -> None:
    node = lookup("", "v1", kind)

    def fresh() -> tuple[tuple[Any, ...], Object]:
        return (copy.deepcopy(OBJECTS[kind]), node, "m", NOW, "status"), {}

    benchmark.pedantic(track_create, setup=fresh, rounds=2000)


def tracked(*arguments: Any) -> None:
    """Of one version: nothing is waited for."""
    with suppress(StopIteration):
        track(*arguments).send(None)


@pytest.mark.parametrize("kind", OBJECTS)
def test_update(benchmark: BenchmarkFixture, kind: str) -> None:
    node, live = lookup("", "v1", kind), copy.deepcopy(OBJECTS[kind])
    track_create(live, node, "m", NOW, "status")

    def changed() -> tuple[tuple[Any, ...], Object]:
        new = copy.deepcopy(live)
        new.setdefault("status", {})["phase"] = "Running"
        return (live, new, node, "kubelet", NOW, "status"), {}

    benchmark.pedantic(tracked, setup=changed, rounds=2000)


@pytest.mark.parametrize("kind", OBJECTS)
def test_read(benchmark: BenchmarkFixture, kind: str) -> None:
    raw = orjson.dumps(OBJECTS[kind])
    benchmark(orjson.loads, raw)

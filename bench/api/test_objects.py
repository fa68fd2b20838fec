"""What one Pod of 3.7 kB costs on its way through the apiserver: read, decode, default, validate, print,
protobuf.

pytest bench/api --benchmark-only
"""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

import orjson
import pytest

from control_plane.api import (
    body,
    decode,
    defaults,
    protobuf,
    schema,
    selectors,
    strategy,
    tables,
    validation,
)
from control_plane.api.registry import Registry
from tests.control_plane.api import samples

POD = samples.large_pod()
RAW = orjson.dumps(POD)
PROTOBUF = protobuf.encode(POD)
PODS = Registry.builtin().get("", "v1", "pods")
NODE = schema.lookup("", "v1", "Pod")
assert PODS is not None
assert NODE is not None
STORED = decode.decode(NODE, POD).object
defaults.apply("", "v1", "Pod", STORED)
SELECTOR = selectors.parse_labels("app in (web,api),tier!=back,pod-template-hash")
FIELDS = selectors.parse_fields("spec.nodeName=node-1,status.phase!=Succeeded")
NOW_S = time.time()


def test_read_json_and_look_for_duplicates(benchmark: Any) -> None:
    assert benchmark(body.parse_json, RAW)[1] == []


def test_decode(benchmark: Any) -> None:
    assert benchmark(decode.decode, NODE, POD).unknown == []


def test_default(benchmark: Any) -> None:
    benchmark(defaults.apply, "", "v1", "Pod", deepcopy(STORED))


def test_validate_create(benchmark: Any) -> None:
    assert benchmark(validation.validate_create, PODS, STORED) == []


def test_validate_update(benchmark: Any) -> None:
    changed = deepcopy(STORED)
    changed["spec"]["containers"][0]["image"] = "nginx:2"
    assert benchmark(validation.validate_update, PODS, changed, STORED) == []


def test_table_row(benchmark: Any) -> None:
    assert benchmark(tables.row, PODS, STORED, NOW_S).cells[2] == "Running"


def test_field_selector(benchmark: Any) -> None:
    assert benchmark(strategy.field_matcher(PODS, FIELDS), STORED)


def test_label_selector(benchmark: Any) -> None:
    labels = STORED["metadata"]["labels"]
    assert benchmark(SELECTOR.matches, labels)


def test_protobuf_decode(benchmark: Any) -> None:
    assert benchmark(protobuf.decode, PROTOBUF)[1] == "Pod"


def test_protobuf_encode(benchmark: Any) -> None:
    assert benchmark(protobuf.encode, STORED)


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "ConfigMap"])
def test_schema_from_the_built_file(benchmark: Any, kind: str) -> None:
    """What a process pays once."""

    def load() -> object:
        schema.schemas.cache_clear()
        return schema.lookup("apps" if kind == "Deployment" else "", "v1", kind)

    assert benchmark.pedantic(load, rounds=20) is not None

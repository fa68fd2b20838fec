"""Semantic validation of updates: what may change, and in which words the rest is refused."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from control_plane.api import defaults
from control_plane.api.validation import validate_update
from tests.control_plane.api import samples
from tests.control_plane.api.samples import container, named, service, stored

Object = dict[str, Any]


def changed(obj: Object, path: str, value: Any) -> Object:
    new = deepcopy(obj)
    at: Any = new
    *steps, last = path.split(".")
    for step in steps:
        at = at[int(step)] if step.isdigit() else at.setdefault(step, {})
    at[last] = value
    return new


UPDATES: list[Any] = [
    pytest.param("pods", samples.pod(), "spec.containers.0.image", "other", [], id="pod image"),
    pytest.param(
        "pods",
        samples.pod(),
        "spec.containers.0.command",
        ["x"],
        ["spec: Forbidden: pod updates may not change fields other than"],
        id="pod command",
    ),
    pytest.param(
        "pods",
        samples.pod(),
        "spec.containers",
        [container(), container(name="d")],
        ["spec.containers: Forbidden: pod updates may not add or remove containers"],
        id="pod containers",
    ),
    pytest.param(
        "pods", samples.pod(), "spec.tolerations", [{"key": "a", "operator": "Exists"}], [], id="toleration"
    ),
    pytest.param(
        "deployments.apps",
        samples.workload(),
        "spec.selector",
        {"matchLabels": {"app": "web", "x": "y"}},
        [
            "spec.template.metadata.labels: Invalid value",
            'spec.selector: Invalid value: {"matchLabels":{"app":"web","x":"y"}}: field is immutable',
        ],
        id="selector",
    ),
    pytest.param("statefulsets.apps", samples.workload(), "spec.replicas", 4, [], id="stateful replicas"),
    pytest.param(
        "statefulsets.apps",
        samples.workload(),
        "spec.serviceName",
        "x",
        ["spec: Forbidden: updates to statefulset spec for fields other than"],
        id="stateful service",
    ),
    pytest.param(
        "jobs.batch",
        samples.job(),
        "spec.completions",
        9,
        ["spec.completions: Invalid value: 9: field is immutable"],
        id="completions",
    ),
    pytest.param("jobs.batch", samples.job(), "spec.parallelism", 9, [], id="parallelism"),
    pytest.param(
        "secrets",
        named("s"),
        "type",
        "x/y",
        ['type: Invalid value: "x/y": field is immutable'],
        id="secret type",
    ),
    pytest.param(
        "configmaps",
        named("c") | {"immutable": True, "data": {"a": "b"}},
        "data",
        {"a": "c"},
        ["data: Forbidden: field is immutable when `immutable` is set"],
        id="immutable config map",
    ),
    pytest.param(
        "services",
        service(clusterIP="10.96.0.1"),
        "spec.clusterIPs",
        ["10.96.0.2"],
        [
            "spec.clusterIPs: Invalid value",
            'spec.clusterIPs[0]: Invalid value: "10.96.0.2": may not change once set',
        ],
        id="cluster IP",
    ),
    pytest.param(
        "configmaps",
        named("c"),
        "metadata.name",
        "d",
        ['metadata.name: Invalid value: "d": field is immutable'],
        id="name",
    ),
]


@pytest.mark.parametrize(("name", "obj", "path", "value", "expected"), UPDATES)
def test_updates(name: str, obj: Object, path: str, value: Any, expected: list[str]) -> None:
    kind, old = stored(name, deepcopy(obj))
    new = changed(old, path, value)
    defaults.apply(*kind.gvk, new)
    found = [str(e) for e in validate_update(kind, new, old)]
    assert len(found) == len(expected), found
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True)), found


def test_no_finalizer_is_added_to_what_is_being_deleted() -> None:
    kind, old = stored("configmaps", named("c", finalizers=["x.io/a"]))
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    new = changed(old, "metadata.finalizers", ["x.io/a", "x.io/b"])
    assert [str(e) for e in validate_update(kind, new, old)] == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"x.io/b"}'
    ]

"""Decoding as Go decodes: types, unknown fields, nulls, zeros, canonical spellings."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api import schema
from control_plane.api.body import BodyError, parse_json, parse_yaml
from control_plane.api.decode import DecodeError, decode, strict_error
from control_plane.api.schema import Node
from tests.control_plane.api import samples


def node(group: str, version: str, kind: str) -> Node:
    found = schema.lookup(group, version, kind)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        pytest.param(
            {"spec": {"containers": [{"env": [{"value": 1}]}]}},
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
            id="number for string",
        ),
        pytest.param(
            {"spec": []},
            "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec",
            id="array",
        ),
        pytest.param(
            {"spec": {"containers": "x"}},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
            id="string for list",
        ),
        pytest.param(
            {"spec": {"activeDeadlineSeconds": 1.5}},
            "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64",
            id="fraction",
        ),
        pytest.param(
            {"spec": {"priority": 1 << 40}},
            f"json: cannot unmarshal number {1 << 40} into Go struct field PodSpec.spec.priority of type int32",
            id="overflow",
        ),
        pytest.param(
            {"spec": {"hostNetwork": "yes"}},
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
            id="string for bool",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": 1}}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
            id="map value",
        ),
        pytest.param(
            {"spec": {"containers": [{"resources": {"limits": {"cpu": "x"}}}]}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            id="quantity",
        ),
        pytest.param(
            {"metadata": {"creationTimestamp": "yesterday"}},
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
            id="time",
        ),
    ],
)
def test_wrong_types(pod: dict[str, Any], message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(node("", "v1", "Pod"), pod)
    assert str(caught.value) == message


def test_unknown_fields_are_dropped_and_named_by_path() -> None:
    pod = samples.pod(extra=1)
    pod["spec"]["containers"][0]["nope"] = {"a": 1}
    pod["metadata"]["who"] = "me"
    decoded = decode(node("", "v1", "Pod"), pod)
    assert decoded.unknown == [
        'unknown field "metadata.who"',
        'unknown field "spec.containers[0].nope"',
        'unknown field "spec.extra"',
    ]
    assert "extra" not in decoded.object["spec"]
    assert strict_error("v1", "Pod", decoded.unknown[:1]) == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "metadata.who"'
    )


def test_null_reads_as_unset_and_zeros_of_omitempty_go() -> None:
    deployment = samples.workload(replicas=0, paused=False, minReadySeconds=0)
    deployment["metadata"] |= {"creationTimestamp": None, "labels": {}, "namespace": ""}
    spec = decode(node("apps", "v1", "Deployment"), deployment).object["spec"]
    assert spec["replicas"] == 0  # a pointer in Go: presence counts
    assert "paused" not in spec
    assert "minReadySeconds" not in spec
    metadata = decode(node("apps", "v1", "Deployment"), deployment).object["metadata"]
    assert metadata == {"name": "web"}


def test_structs_that_go_always_writes_are_there() -> None:
    service = decode(node("", "v1", "Service"), {}).object
    assert service == {"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("0.5", "500m"), (1, "1"), (0.25, "250m"), ("1024Mi", "1Gi")],
)
def test_quantities_take_their_canonical_spelling(given: Any, kept: str) -> None:
    pod = samples.pod(containers=[samples.container(resources={"limits": {"cpu": given}})])
    decoded = decode(node("", "v1", "Pod"), pod).object
    assert decoded["spec"]["containers"][0]["resources"]["limits"]["cpu"] == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00Z"),
    ],
)
def test_times_are_utc_seconds(given: str, kept: str) -> None:
    decoded = decode(node("", "v1", "Pod"), {"metadata": {"creationTimestamp": given}}).object
    assert decoded["metadata"]["creationTimestamp"] == kept


def test_the_input_stays_as_it_was() -> None:
    pod = samples.large_pod()
    decode(node("", "v1", "Pod"), pod).object["spec"]["containers"].clear()
    assert pod == samples.large_pod()


def test_what_is_canonical_stays_the_same() -> None:
    once = decode(node("", "v1", "Pod"), samples.large_pod()).object
    assert decode(node("", "v1", "Pod"), once).object == once


def test_secret_data_must_be_base64() -> None:
    with pytest.raises(DecodeError, match="illegal base64 data at input byte 1"):
        decode(node("", "v1", "Secret"), {"data": {"a": "x!"}})


def test_deep_objects_are_refused() -> None:
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(2000):
        deep = {"properties": {"a": deep}}
    crd = {"spec": {"versions": [{"schema": {"openAPIV3Schema": deep}}]}}
    with pytest.raises(DecodeError, match="max depth"):
        decode(node("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), crd)


@pytest.mark.parametrize(
    ("raw", "duplicates"),
    [
        pytest.param(b'{"a":1,"b":{"a":2}}', [], id="none"),
        pytest.param(b'{"a" : 1, "a"\n:2}', ['duplicate field "a"'], id="top"),
        pytest.param(b'{"a":[{"b":1,"b":2}]}', ['duplicate field "a[0].b"'], id="nested"),
        pytest.param(b'{"a":"\\":","b":":x\\":"}', [], id="colons in strings"),
        pytest.param(b'{"a":1,"a":1,"a":1}', ['duplicate field "a"'], id="three times"),
    ],
)
def test_duplicate_keys(raw: bytes, duplicates: list[str]) -> None:
    assert parse_json(raw)[1] == duplicates


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[1,]", b'{"a":' * 600 + b"1" + b"}" * 600, b"\xff"],
    ids=["empty", "open", "comma", "deep", "utf-8"],
)
def test_json_refused(raw: bytes) -> None:
    with pytest.raises(BodyError):
        parse_json(raw)


def test_yaml_anchors_are_unfolded() -> None:
    assert parse_yaml(b"a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}")[0] == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": {"b": 1, "e": 2},
    }


def test_yaml_is_json() -> None:
    value, problems = parse_yaml(b"a: 2020-01-01\n1: yes\na: x\n")
    assert value == {"a": "x", "1": True}
    assert problems == ['line 3: key "a" already set in map']


BOMB = b"a0: &a0 [x, x]\n" + b"".join(
    b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 40)
)
ENDLESS = b"a: &a [*a]"


@pytest.mark.parametrize(
    "raw",
    [b"a: [", b"!!python/object:x {}", b"? [1]\n: 2", BOMB, ENDLESS],
    ids=["open", "python", "key", "bomb", "endless"],
)
def test_yaml_refused(raw: bytes) -> None:
    with pytest.raises(BodyError):
        parse_yaml(raw)


@pytest.mark.parametrize(
    ("path", "merge_key", "strategy", "list_type", "map_keys"),
    [
        ("spec.containers", "name", ("merge",), "map", ("name",)),
        ("spec.containers.ports", "containerPort", ("merge",), "map", ("containerPort", "protocol")),
        ("spec.volumes", "name", ("merge", "retainKeys"), "map", ("name",)),
        ("spec.tolerations", "", (), "atomic", ()),
        ("metadata.finalizers", "", ("merge",), "set", ()),
        ("metadata.ownerReferences", "uid", ("merge",), "map", ("uid",)),
        ("status.conditions", "type", ("merge",), "map", ("type",)),
    ],
)
def test_merge_metadata(
    path: str, merge_key: str, strategy: tuple[str, ...], list_type: str, map_keys: tuple[str, ...]
) -> None:
    at = node("", "v1", "Pod")
    for step in path.split("."):
        found = (at.element or at).child(step) if at.element is not None else at.child(step)
        assert found is not None, step
        at = found
    assert (at.patch_merge_key, at.patch_strategy, at.list_type, at.list_map_keys) == (
        merge_key,
        strategy,
        list_type,
        map_keys,
    )


def test_atomic_maps_are_marked_on_their_definition() -> None:
    selector = node("apps", "v1", "Deployment").child("spec").child("selector")  # type: ignore[union-attr]
    assert selector is not None
    assert selector.map_type == "atomic"


def test_custom_schemas_give_the_same_nodes() -> None:
    root = schema.from_openapi(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "items": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["key"],
                            "items": {"type": "object", "properties": {"key": {"type": "string"}}},
                        },
                        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        "size": {"x-kubernetes-int-or-string": True},
                    },
                }
            },
        }
    )
    obj = {
        "apiVersion": "x.io/v1",
        "kind": "Widget",
        "metadata": {"name": "a", "oops": 1},
        "spec": {"items": [{"key": "k", "no": 1}], "any": {"x": [1]}, "size": "5%", "gone": 1},
    }
    decoded = decode(root, obj)
    assert decoded.unknown == [
        'unknown field "metadata.oops"',
        'unknown field "spec.items[0].no"',
        'unknown field "spec.gone"',
    ]
    assert decoded.object["spec"] == {"items": [{"key": "k"}], "any": {"x": [1]}, "size": "5%"}
    items = root.child("spec").child("items")  # type: ignore[union-attr]
    assert items is not None
    assert items.list_map_keys == ("key",)

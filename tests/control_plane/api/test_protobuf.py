"""The protobuf codec: round trips over the whole API, Go's zeros, special types, bad input."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.api import protobuf, schema
from control_plane.api.decode import decode
from control_plane.api.protobuf import ProtobufError
from control_plane.api.protobuf_special import format_duration, parse_duration_ns
from control_plane.api.registry import Registry, Resource
from control_plane.api.schema import Node, Type
from tests.control_plane.api import samples

MAX_DEPTH = 5
SCALARS: dict[Type, st.SearchStrategy[Any]] = {
    Type.STRING: st.text(max_size=5),
    Type.BOOLEAN: st.booleans(),
    Type.NUMBER: st.integers(-5, 5) | st.floats(-10, 10).filter(lambda f: not f.is_integer()),
    Type.BYTES: st.binary(max_size=5).map(lambda b: __import__("base64").b64encode(b).decode()),
    Type.QUANTITY: st.sampled_from(["0", "1", "100m", "1Gi", "-5"]),
    Type.INT_OR_STRING: st.integers(-5, 5) | st.text(max_size=4),
    Type.TIME: st.sampled_from(["2026-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]),
    Type.MICRO_TIME: st.sampled_from(["2026-01-01T00:00:00.123456Z"]),
    Type.ANY: st.just({"a": [1, None, "x"]}),
}


def values(node: Node, depth: int) -> st.SearchStrategy[Any]:
    match node.type:
        case Type.INTEGER:
            return st.integers(-(1 << (node.bits - 1)), (1 << (node.bits - 1)) - 1)
        case Type.STRUCT:
            return objects(node, depth + 1)
        case Type.ARRAY:
            assert node.element is not None
            return st.lists(values(node.element, depth), min_size=1, max_size=2)
        case Type.MAP:
            assert node.element is not None
            return st.dictionaries(
                st.text("abc", min_size=1, max_size=2), values(node.element, depth), min_size=1, max_size=2
            )
    return SCALARS[node.type]


def objects(node: Node, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    typed = "metadata" in node.fields  # type metadata of an object, embedded or not, does not travel
    fields = {n: f for n, f in node.fields.items() if not (typed and n in ("apiVersion", "kind"))}
    if depth > MAX_DEPTH:
        return st.just({})
    chosen = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True) if fields else st.just([])
    return chosen.flatmap(lambda names: st.fixed_dictionaries({n: values(fields[n], depth) for n in names}))


KINDS = [r for r in Registry.builtin() if r.persisted]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("resource", KINDS, ids=lambda r: f"{r.group_resource}/{r.version}")
@given(data=st.data())
def test_round_trip(resource: Resource, data: st.DataObject) -> None:
    if resource.kind == "CustomResourceDefinition":
        return  # its schemas are recursive; they have a test of their own
    node = schema.lookup(*resource.gvk)
    assert node is not None
    obj = decode(node, data.draw(objects(node))).object
    obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
    api_version, kind, again = protobuf.decode(protobuf.encode(obj))
    assert (api_version, kind) == (resource.api_version, resource.kind)
    assert decode(node, again).object == obj


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(samples.large_pod(), id="pod"),
        pytest.param(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "spec": {
                    "group": "g",
                    "versions": [
                        {
                            "name": "v1",
                            "schema": {
                                "openAPIV3Schema": {
                                    "type": "object",
                                    "default": {"a": [1]},
                                    "properties": {
                                        "a": {"items": {"type": "string"}},
                                        "b": {"additionalProperties": True},
                                        "c": {"additionalProperties": {"type": "string"}},
                                    },
                                }
                            },
                        }
                    ],
                },
            },
            id="schema unions",
        ),
        pytest.param(
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "status": {"user": {"extra": {"a": ["b", "c"]}}},
            },
            id="extra values",
        ),
        pytest.param({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404}, id="status"),
        pytest.param(
            {"apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": -1},
            id="options in a group",
        ),
    ],
)
def test_special_shapes(obj: dict[str, Any]) -> None:
    again = protobuf.decode(protobuf.encode(obj))[2]

    def contained(part: Any, whole: Any) -> bool:
        if isinstance(part, dict):
            return all(contained(v, whole.get(k)) for k, v in part.items())
        if isinstance(part, list):
            return len(part) == len(whole) and all(contained(p, w) for p, w in zip(part, whole, strict=True))
        return bool(part == whole)

    assert contained(obj, again)


def body(api_version: bytes, kind: bytes, raw: bytes) -> bytes:
    def part(tag: int, content: bytes) -> bytes:
        return bytes((tag, len(content))) + content

    return protobuf.MAGIC + part(0x0A, part(0x0A, api_version) + part(0x12, kind)) + part(0x12, raw)


def test_zeros_that_go_sends_are_dropped() -> None:
    # metadata of a namespace as kubectl 1.33 sends it: name, then empty strings, an empty time, generation 0
    metadata = b"\x0a\x03nsx\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00"
    raw = b"\x0a" + bytes((len(metadata),)) + metadata + b"\x12\x00\x1a\x02\x0a\x00"
    obj = protobuf.decode(body(b"v1", b"Namespace", raw))[2]
    assert obj == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "nsx"},
        "spec": {},
        "status": {},
    }


def test_zeros_of_pointers_stay() -> None:
    raw = b"\x12\x02\x08\x00"  # spec: {replicas: 0}
    obj = protobuf.decode(body(b"apps/v1", b"Deployment", raw))[2]
    assert obj["spec"]["replicas"] == 0


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="json"),
        pytest.param(protobuf.MAGIC, id="magic only"),
        pytest.param(body(b"x.io/v1", b"Widget", b""), id="unknown kind"),
        pytest.param(body(b"v1", b"Pod", b"\x0a\xff"), id="truncated"),
        pytest.param(body(b"v1", b"Pod", b"\x0a\x05a"), id="short"),
        pytest.param(body(b"v1", b"Pod", b"\x08\x01"), id="wrong wire type"),
        pytest.param(body(b"v1", b"Pod", b"\x0a\x03\x0a\x01\xff"), id="not utf-8"),
        pytest.param(body(b"v1", b"Pod", b"\xff" * 12), id="endless varint"),
        pytest.param(body(b"v1", b"Pod", b"") + b"\x10\x00", id="a number for the object"),
    ],
)
def test_bad_input(raw: bytes) -> None:
    with pytest.raises(ProtobufError):
        protobuf.decode(raw)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"Pod", b"Secret", b"Lease", b"ConfigMap"]))
def test_noise_is_refused_or_read_but_never_breaks(raw: bytes, kind: bytes) -> None:
    version = b"coordination.k8s.io/v1" if kind == b"Lease" else b"v1"
    with suppress(ProtobufError):
        protobuf.decode(body(version, kind, raw))


def test_deep_nesting_is_refused() -> None:
    obj: dict[str, Any] = {"type": "object"}
    for _ in range(300):
        obj = {"properties": {"a": obj}}
    crd = {"spec": {"versions": [{"name": "v", "schema": {"openAPIV3Schema": obj}}]}}
    crd |= {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    with pytest.raises(ProtobufError, match="max depth"):
        protobuf.decode(protobuf.encode(crd))


@pytest.mark.parametrize("text", ["0s", "1.5s", "1h30m0s", "100µs", "-2ms", "1m0.5s", "999ns"])
def test_durations(text: str) -> None:
    assert format_duration(parse_duration_ns(text)) == text


def test_a_watch_event_is_framed() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    frame = protobuf.encode_watch_event("ADDED", protobuf.encode(obj))
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    event = protobuf.decode_message("k8s.io.apimachinery.pkg.apis.meta.v1.WatchEvent", frame[4:])
    assert event == {"type": "ADDED", "object": obj}

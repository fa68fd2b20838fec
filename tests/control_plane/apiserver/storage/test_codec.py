"""Objects as bytes: the resourceVersion is spliced, never stored."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.apiserver.storage import codec

OBJECT = {
    "kind": "ConfigMap",
    "data": {"a": '"metadata":{"resourceVersion":"1"'},
    "metadata": {"name": "a", "resourceVersion": "7", "selfLink": "/x"},
    "apiVersion": "v1",
}


def test_stored_bytes_have_no_version_and_start_with_the_kind() -> None:
    stored = codec.encode(OBJECT)
    assert stored.startswith(b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}')
    assert orjson.loads(stored)["data"] == OBJECT["data"]


def test_the_version_is_spliced_into_the_metadata() -> None:
    raw = codec.with_revision(codec.encode(OBJECT), 42)
    assert orjson.loads(raw) == {**OBJECT, "metadata": {"name": "a", "resourceVersion": "42"}}
    again = codec.replace_revision(raw, 1234567)
    assert orjson.loads(again)["metadata"] == {"name": "a", "resourceVersion": "1234567"}


@pytest.mark.parametrize(
    "stored",
    [
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}',
        b'{"kind":"Pod","apiVersion":"v1","metadata":{}}',
        b'{"spec":{"x":1},"metadata":{"name":"a"},"kind":"Pod","apiVersion":"v1"}',
        b'{ "kind" : "Pod", "apiVersion":"v1", "metadata": {"name":"a"} }',
    ],
    ids=["as Go writes it", "empty metadata", "another order", "with spaces"],
)
def test_what_others_wrote(stored: bytes) -> None:
    raw = codec.with_revision(stored, 5)
    expected = orjson.loads(stored)
    expected["metadata"]["resourceVersion"] = "5"
    assert orjson.loads(raw) == expected
    assert orjson.loads(codec.replace_revision(raw, 6))["metadata"]["resourceVersion"] == "6"


@pytest.mark.parametrize("stored", [b"", b"[]", b"{}", b'{"metadata":5}', b'{"metadata":{}}', b"k8s\x00abc"])
def test_what_is_no_object(stored: bytes) -> None:
    with pytest.raises(codec.Undecodable):
        codec.with_revision(stored, 1)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.dictionaries(st.text(max_size=12), _values, max_size=4),
    st.dictionaries(st.text(max_size=12), _values, max_size=4),
    st.integers(1, 2**62),
)
def test_any_object_survives(fields: dict[str, Any], metadata: dict[str, Any], revision: int) -> None:
    obj = {**fields, "apiVersion": "v1", "kind": "X", "metadata": metadata}
    raw = codec.with_revision(codec.encode(obj), revision)
    kept = {key: value for key, value in metadata.items() if key not in ("resourceVersion", "selfLink")}
    assert orjson.loads(raw) == {**obj, "metadata": {**kept, "resourceVersion": str(revision)}}

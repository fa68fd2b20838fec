"""The dispatcher: content types, and each error's Status."""

from __future__ import annotations

import pytest

from control_plane.api.errors import StatusError
from control_plane.apiserver.patch import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, apply_patch
from tests.control_plane.apiserver.patch.schemas import ITEM

CURRENT = {"name": "x", "keyed": [{"name": "a", "value": "1"}]}


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (JSON_PATCH, b'[{"op":"remove","path":"/keyed"}]', {"name": "x"}),
        (MERGE_PATCH, b'{"keyed":[{"name":"b"}]}', {"name": "x", "keyed": [{"name": "b"}]}),
        (f"{MERGE_PATCH}; charset=utf-8", b'{"keyed":null}', {"name": "x"}),
        (
            STRATEGIC_MERGE_PATCH,
            b'{"keyed":[{"name":"a","value":"2"}]}',
            {"name": "x", "keyed": [{"name": "a", "value": "2"}]},
        ),
    ],
)
def test_by_content_type(content_type: str, body: bytes, expected: object) -> None:
    assert apply_patch(content_type, body, CURRENT, ITEM) == expected


@pytest.mark.parametrize(
    ("content_type", "body", "code", "reason"),
    [
        pytest.param("application/json", b"{}", 415, "UnsupportedMediaType", id="no patch type"),
        pytest.param("", b"{}", 415, "UnsupportedMediaType", id="no type"),
        pytest.param(MERGE_PATCH, b"{", 400, "BadRequest", id="no JSON"),
        pytest.param(MERGE_PATCH, b"[]", 400, "BadRequest", id="merge patch is no object"),
        pytest.param(STRATEGIC_MERGE_PATCH, b"[]", 400, "BadRequest", id="strategic patch is no object"),
        pytest.param(STRATEGIC_MERGE_PATCH, b'{"$patch":"x"}', 400, "BadRequest", id="unknown directive"),
        pytest.param(STRATEGIC_MERGE_PATCH, b'{"keyed":[[]]}', 422, "Invalid", id="list of lists"),
        pytest.param(JSON_PATCH, b"{}", 400, "BadRequest", id="json patch is no list"),
        pytest.param(JSON_PATCH, b'[{"op":"remove","path":"/none"}]', 422, "Invalid", id="does not apply"),
        pytest.param(JSON_PATCH, b'[{"op":"replace","path":"","value":[]}]', 422, "Invalid", id="no object"),
        pytest.param(
            JSON_PATCH, b"[" + b"{}," * 10_000 + b"{}]", 413, "RequestEntityTooLarge", id="too many"
        ),
        pytest.param(
            MERGE_PATCH, b'{"a":' * 1000 + b"1" + b"}" * 1000, 400, "BadRequest", id="nested without end"
        ),
    ],
)
def test_refused(content_type: str, body: bytes, code: int, reason: str) -> None:
    with pytest.raises(StatusError) as caught:
        apply_patch(content_type, body, CURRENT, ITEM)
    assert (caught.value.code, caught.value.reason) == (code, reason)


def test_a_custom_resource_takes_no_strategic_merge_patch() -> None:
    with pytest.raises(StatusError) as caught:
        apply_patch(STRATEGIC_MERGE_PATCH, b"{}", CURRENT, None)
    assert caught.value.code == 415
    assert caught.value.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


@pytest.mark.parametrize("content_type", [MERGE_PATCH, STRATEGIC_MERGE_PATCH])
def test_the_result_shares_nothing_with_the_current_object(content_type: str) -> None:
    result = apply_patch(content_type, b'{"name":"y"}', CURRENT, ITEM)
    result["keyed"][0]["value"] = "changed"
    assert CURRENT["keyed"] == [{"name": "a", "value": "1"}]

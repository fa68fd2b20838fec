"""Continue tokens."""

from __future__ import annotations

import base64

import orjson
import pytest

from control_plane.api.errors import StatusError
from control_plane.apiserver.storage import continuation


def test_a_token_says_the_revision_and_the_next_item() -> None:
    token = continuation.after(7, "ns/a").encode()
    assert continuation.parse(token) == continuation.Continuation(7, "ns/a\x00")
    padded = token + "=" * (-len(token) % 4)
    assert orjson.loads(base64.urlsafe_b64decode(padded)) == {
        "v": "meta.k8s.io/v1",
        "rv": 7,
        "start": "ns/a\x00",
    }


def _token(**fields: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(fields)).decode()


@pytest.mark.parametrize(
    "token",
    [
        "%%%",
        "bm9uc2Vuc2U",
        _token(v="v2", rv=1, start="a"),
        _token(v="meta.k8s.io/v1", rv=0, start="a"),
        _token(v="meta.k8s.io/v1", rv="1", start="a"),
        _token(v="meta.k8s.io/v1", rv=1, start=""),
        _token(v="meta.k8s.io/v1", rv=1, start="/a"),
        _token(v="meta.k8s.io/v1", rv=1, start="../a"),
        _token(rv=1),
    ],
)
def test_a_bad_token_is_a_bad_request(token: str) -> None:
    with pytest.raises(StatusError) as refused:
        continuation.parse(token)
    assert refused.value.reason == "BadRequest"


def test_an_expired_list_offers_an_inconsistent_continuation() -> None:
    status = continuation.ContinueExpired("ns/b").status()
    assert (status["code"], status["reason"]) == (410, "Expired")
    token = continuation.parse(status["metadata"]["continue"])
    assert token == continuation.Continuation(continuation.INCONSISTENT, "ns/b")

"""What a webhook's answer must be."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from control_plane.apiserver.admission.webhooks.errors import denied
from control_plane.apiserver.admission.webhooks.review import BadAnswer, read_answer, review_version

PATCH = base64.b64encode(b'[{"op": "remove", "path": "/x"}]').decode()


def answer(**response: Any) -> bytes:
    whole = {"uid": "u", "allowed": True, **response}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": whole}
    return json.dumps(review).encode()


def test_a_patch() -> None:
    found = read_answer(answer(patch=PATCH, patchType="JSONPatch", warnings=["w"]), "v1", "u", mutating=True)
    assert (found.allowed, list(found.patch)) == (True, [{"op": "remove", "path": "/x"}])
    assert list(found.warnings) == ["w"]


@pytest.mark.parametrize(
    ("body", "mutating", "why"),
    [
        (b"", True, "json parse error"),
        (b"[]", True, "not an object"),
        (b"{}", True, "webhook response was absent"),
        (answer(uid="other"), True, 'expected response.uid="u", got "other"'),
        (answer().replace(b"AdmissionReview", b"Review"), True, "expected webhook response of"),
        (answer(patch=PATCH), True, "response.patch but not response.patchType"),
        (answer(patchType="JSONPatch"), True, "response.patchType but not response.patch"),
        (answer(patch=PATCH, patchType="Merge"), True, 'unsupported patch type "Merge"'),
        (answer(patch="?", patchType="JSONPatch"), True, "undecodable patch"),
        (answer(patch="e30=", patchType="JSONPatch"), True, "undecodable patch"),
        (answer(patch=PATCH), False, "validating webhook may not return response.patch"),
        (answer(patchType="JSONPatch"), False, "validating webhook may not return response.patchType"),
    ],
    ids=[
        "empty",
        "list",
        "no response",
        "uid",
        "kind",
        "no type",
        "no patch",
        "type",
        "no base64",
        "no list",
        "validating patch",
        "validating type",
    ],
)
def test_bad_answers(body: bytes, mutating: bool, why: str) -> None:
    with pytest.raises(BadAnswer, match=why.replace(".", r"\.")):
        read_answer(body, "v1", "u", mutating)


def test_v1beta1_is_believed() -> None:
    body = json.dumps({"response": {"allowed": True, "patch": PATCH}}).encode()
    assert read_answer(body, "v1beta1", "u", mutating=True).patch


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [(["v2", "v1beta1", "v1"], "v1beta1"), (["v1"], "v1"), (["v3"], None), ([], None)],
    ids=["first known", "v1", "unknown", "none"],
)
def test_versions(accepted: list[str], expected: str | None) -> None:
    assert review_version(accepted) == expected


@pytest.mark.parametrize(
    ("result", "code", "message"),
    [
        (None, 400, "without explanation"),
        ({"message": "m"}, 400, ": m"),
        ({"reason": "Forbidden", "code": 403}, 403, ": Forbidden"),
        ({"message": "m", "code": 200}, 400, ": m"),
    ],
    ids=["nothing", "message", "reason", "a code of success"],
)
def test_refusals(result: dict[str, Any] | None, code: int, message: str) -> None:
    error = denied("w", result)
    assert error.code == code
    assert error.message.startswith('admission webhook "w" denied the request')
    assert error.message.endswith(message)

"""Methods and paths that nothing answers."""

from __future__ import annotations

import pytest

from tests.control_plane.apiserver.harness import Harness


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothings", 404),
        ("GET", "/apis/none.example.com/v1/things", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/pods/p/none", 404),
        ("POST", "/api/v1/pods", 405),
        ("GET", "/api/v1/pods/p", 404),
        ("PUT", "/api/v1/namespaces/default/configmaps", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/none", 404),
    ],
)
def test_what_is_not_there(api: Harness, method: str, path: str, status: int) -> None:
    answer = api.request(method, path)
    assert answer.status == status
    assert answer.body["code"] == status

"""What a request is about, by its method, path and query."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.apiserver.messages import parse_query
from control_plane.apiserver.routes import RequestInfo, request_info

CORE = {"is_resource": True, "version": "v1"}
APPS = {"is_resource": True, "group": "apps", "version": "v1"}


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        ("GET /", {"verb": "get"}),
        ("GET /healthz", {"verb": "get"}),
        ("GET /api", {"verb": "get"}),
        ("GET /api/v1", {"verb": "get"}),
        ("GET /apis/apps/v1", {"verb": "get"}),
        ("POST /version", {"verb": "post"}),
        ("GET /api/v1/pods", {**CORE, "verb": "list", "resource": "pods"}),
        ("GET /api/v1/namespaces", {**CORE, "verb": "list", "resource": "namespaces"}),
        (
            "GET /api/v1/namespaces/ns",
            {**CORE, "verb": "get", "resource": "namespaces", "namespace": "ns", "name": "ns"},
        ),
        (
            "PUT /api/v1/namespaces/ns/finalize",
            {
                **CORE,
                "verb": "update",
                "resource": "namespaces",
                "namespace": "ns",
                "name": "ns",
                "subresource": "finalize",
            },
        ),
        (
            "GET /api/v1/namespaces/ns/pods/p",
            {**CORE, "verb": "get", "resource": "pods", "namespace": "ns", "name": "p"},
        ),
        (
            "POST /api/v1/namespaces/ns/pods/p/binding",
            {
                **CORE,
                "verb": "create",
                "resource": "pods",
                "namespace": "ns",
                "name": "p",
                "subresource": "binding",
            },
        ),
        (
            "GET /api/v1/nodes/n/proxy/a/b",
            {
                **CORE,
                "verb": "get",
                "resource": "nodes",
                "name": "n",
                "subresource": "proxy",
                "rest": ("a", "b"),
            },
        ),
        (
            "DELETE /apis/apps/v1/namespaces/ns/deployments",
            {**APPS, "verb": "deletecollection", "resource": "deployments", "namespace": "ns"},
        ),
        (
            "PATCH /apis/apps/v1/namespaces/ns/deployments/d",
            {**APPS, "verb": "patch", "resource": "deployments", "namespace": "ns", "name": "d"},
        ),
        ("GET /api/v1/pods?watch=true", {**CORE, "verb": "watch", "resource": "pods"}),
        ("GET /api/v1/pods?watch", {**CORE, "verb": "watch", "resource": "pods"}),
        ("GET /api/v1/pods?watch=0", {**CORE, "verb": "list", "resource": "pods"}),
        ("GET /api/v1/watch/pods", {**CORE, "verb": "watch", "resource": "pods"}),
        (
            "GET /api/v1/pods?fieldSelector=metadata.name%3Dp",
            {**CORE, "verb": "list", "resource": "pods", "name": "p", "field_selector": "metadata.name=p"},
        ),
        (
            "GET /api/v1/pods?labelSelector=a%3Db",
            {**CORE, "verb": "list", "resource": "pods", "label_selector": "a=b"},
        ),
    ],
)
def test_request_info(request_line: str, expected: dict[str, Any]) -> None:
    method, _, target = request_line.partition(" ")
    path, _, query = target.partition("?")
    assert request_info(method, path, parse_query(query)) == RequestInfo(path=path, **expected)


@pytest.mark.parametrize(
    ("path", "long"),
    [
        ("/api/v1/namespaces/ns/pods/p/log", True),
        ("/api/v1/namespaces/ns/pods/p/exec", True),
        ("/api/v1/namespaces/ns/pods/p/status", False),
        ("/api/v1/namespaces/ns/pods", False),
    ],
)
def test_long_running_requests(path: str, long: bool) -> None:
    assert request_info("GET", path, {}).is_long_running is long

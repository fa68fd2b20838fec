"""Discovery, OpenAPI, health, metrics, version."""

from __future__ import annotations

import pytest

from tests.control_plane.apiserver.harness import Harness

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
GNOSTIC = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


@pytest.mark.parametrize("path", ["/api", "/apis"])
@pytest.mark.parametrize(
    ("accept", "kind", "api_version"),
    [
        (f"{V2},{V2BETA1},application/json", "APIGroupDiscoveryList", "apidiscovery.k8s.io/v2"),
        (f"{V2BETA1},application/json", "APIGroupDiscoveryList", "apidiscovery.k8s.io/v2beta1"),
    ],
    ids=["v2", "v2beta1"],
)
def test_aggregated_discovery(api: Harness, path: str, accept: str, kind: str, api_version: str) -> None:
    answer = api.request("GET", path, headers={"Accept": accept})
    assert (answer.body["kind"], answer.body["apiVersion"]) == (kind, api_version)
    assert answer.headers["content-type"] == accept.split(",")[0]
    again = api.request("GET", path, headers={"Accept": accept, "If-None-Match": answer.headers["etag"]})
    assert (again.status, again.raw) == (304, b"")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api", "APIVersions"),
        ("/apis", "APIGroupList"),
        ("/api/v1", "APIResourceList"),
        ("/apis/apps", "APIGroup"),
        ("/apis/apps/v1", "APIResourceList"),
    ],
)
def test_legacy_discovery(api: Harness, path: str, kind: str) -> None:
    assert api.get(path)["kind"] == kind


@pytest.mark.parametrize("path", ["/apis/none", "/apis/apps/v9", "/api/v2"])
def test_unknown_groups(api: Harness, path: str) -> None:
    assert api.request("GET", path).status == 404


def test_openapi(api: Harness) -> None:
    binary = api.request("GET", "/openapi/v2", headers={"Accept": GNOSTIC})
    assert binary.status == 200
    assert not binary.raw.startswith(b"{")
    cached = {"Accept": GNOSTIC, "If-None-Match": binary.headers["etag"]}
    assert api.request("GET", "/openapi/v2", headers=cached).status == 304
    assert api.get("/openapi/v2")["swagger"] == "2.0"
    index = api.get("/openapi/v3")["paths"]
    document = api.get(index["apis/apps/v1"]["serverRelativeURL"])
    assert document["openapi"].startswith("3.")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health(api: Harness, path: str) -> None:
    assert api.request("GET", path).raw == b"ok"
    verbose = api.request("GET", path + "?verbose").raw.decode()
    assert "[+]ping ok" in verbose
    assert "[+]etcd ok" in verbose
    assert "[+]poststarthook/rbac/bootstrap-roles ok" in verbose
    assert api.request("GET", path + "/etcd").status == 200
    assert api.request("GET", path + "/none").status == 404


def test_version(api: Harness) -> None:
    assert api.get("/version")["gitVersion"].startswith("v1.36.")


def test_metrics_have_kubernetes_names(api: Harness) -> None:
    api.get("/api/v1/namespaces")
    text = api.request("GET", "/metrics").raw.decode()
    assert 'apiserver_request_total{code="200"' in text
    assert "apiserver_request_duration_seconds_bucket" in text
    assert "apiserver_current_inflight_requests" in text


def test_made_up_paths_make_no_series(api: Harness) -> None:
    for user in ("admin", "jane"):
        api.request("GET", "/apis/made.up/v1/namespaces/x/things/y", user=user)
        api.request("GET", "/api/v1/namespaces/x/pods/y/madeup", user=user)
    text = api.request("GET", "/metrics").raw.decode()
    assert "made.up" not in text
    assert "madeup" not in text

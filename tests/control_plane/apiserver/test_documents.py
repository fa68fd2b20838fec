"""Discovery, OpenAPI, health, metrics, version."""

from __future__ import annotations

from contextlib import closing

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


def test_checks_can_be_left_out(api: Harness) -> None:
    text = api.request("GET", "/readyz?verbose&exclude=etcd&exclude=nothing").raw.decode()
    assert "[+]etcd excluded: ok" in text
    assert 'warn: some health checks cannot be excluded: no matches for "nothing"' in text
    assert text.endswith("readyz check passed\n")
    slis = api.request("GET", "/metrics/slis").raw.decode()
    assert 'kubernetes_healthcheck{name="ping",type="readyz"} 1.0' in slis
    assert 'kubernetes_healthchecks_total{name="ping",status="success",type="readyz"}' in slis


def test_pages_for_people(api: Harness) -> None:
    status = api.request("GET", "/statusz").raw.decode()
    assert "kube-apiserver statusz" in status
    assert "Binary version: 1.36." in status
    flags = api.request("GET", "/flagz").raw.decode()
    assert f"secure-port={api.port}" in flags.splitlines()
    assert "enable-priority-and-fairness=true" in flags.splitlines()
    assert api.request("GET", "/flagz", user="jane").status == 403


def test_profiles(api: Harness) -> None:
    assert "function calls" in api.request("GET", "/debug/pprof/profile?seconds=0.05").raw.decode()
    assert "objects known" in api.request("GET", "/debug/pprof/heap").raw.decode()
    assert "tasks" in api.request("GET", "/debug/pprof/goroutine").raw.decode()
    of_the_processor = api.request("GET", "/debug/pprof/profile?seconds=0.2&clock=cpu").raw.decode()
    assert float(of_the_processor.partition(" in ")[2].split()[0]) < 0.2
    for wrong in ("seconds=1000", "sort=name", "clock=sun"):
        assert api.request("GET", f"/debug/pprof/profile?{wrong}").status == 400
    assert api.request("GET", "/debug/pprof/none").status == 404


def test_version(api: Harness) -> None:
    assert api.get("/version")["gitVersion"].startswith("v1.36.")


def test_metrics_have_kubernetes_names(api: Harness) -> None:
    api.get("/api/v1/namespaces")
    text = api.request("GET", "/metrics").raw.decode()
    about = 'code="200",component="apiserver",dry_run="",group="",resource="namespaces",scope="cluster"'
    assert f'apiserver_request_total{{{about},subresource="",verb="LIST",version="v1"}}' in text
    assert "apiserver_request_duration_seconds_bucket" in text
    assert "apiserver_current_inflight_requests" in text


@pytest.mark.parametrize(
    "series",
    [
        'apiserver_request_sli_duration_seconds_bucket{component="apiserver"',
        "apiserver_response_sizes_sum{",
        'apiserver_longrunning_requests{component="apiserver",group="",resource="configmaps"',
        'apiserver_watch_events_total{group="",resource="configmaps",version="v1"}',
        'apiserver_resource_objects{group="",resource="configmaps"}',
        'apiserver_storage_objects{resource="configmaps"}',
        'apiserver_storage_objects{resource="clusterroles.rbac.authorization.k8s.io"}',
        'apiserver_admission_step_admission_duration_seconds_count{operation="CREATE",rejected="false",type="admit"}',
        'apiserver_admission_controller_admission_duration_seconds_count{name="NamespaceLifecycle"',
        'etcd_request_duration_seconds_count{group="",operation="create",resource="configmaps"}',
        'etcd_requests_total{group="",operation="create",resource="configmaps"}',
        'authentication_attempts_total{result="success"}',
        'authenticated_user_requests_total{username="admin"}',
        'authorization_attempts_total{result="allowed"}',
        "kubernetes_build_info{",
        "process_resident_memory_bytes",
    ],
)
def test_series(api: Harness, namespace: str, series: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    version = api.create(path, {"metadata": {"name": "a"}})["metadata"]["resourceVersion"]
    with closing(api.connection()) as connection:
        connection.request("GET", f"{path}?watch=true&resourceVersion={version}&timeoutSeconds=5")
        response = connection.getresponse()
        api.create(path, {"metadata": {"name": "b"}})
        assert response.readline()
        assert series in api.request("GET", "/metrics").raw.decode()


def test_made_up_paths_make_no_series(api: Harness) -> None:
    for user in ("admin", "jane"):
        api.request("GET", "/apis/made.up/v1/namespaces/x/things/y", user=user)
        api.request("GET", "/api/v1/namespaces/x/pods/y/madeup", user=user)
    text = api.request("GET", "/metrics").raw.decode()
    assert "made.up" not in text
    assert "madeup" not in text

"""Lists: selectors, pages, resourceVersions, forms."""

from __future__ import annotations

import gzip
from typing import Any
from urllib.parse import quote

import pytest

from tests.control_plane.apiserver.harness import Harness

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.fixture
def path(api: Harness, namespace: str) -> str:
    """Ten ConfigMaps c0…c9, even and odd."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for index in range(10):
        labels = {"parity": "odd" if index % 2 else "even", "n": str(index)}
        api.create(path, {"metadata": {"name": f"c{index}", "labels": labels}, "data": {"n": str(index)}})
    return path


def names(listing: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in listing["items"]]


def test_a_list_has_its_kind_and_revision(api: Harness, path: str) -> None:
    listing = api.get(path)
    assert (listing["kind"], listing["apiVersion"]) == ("ConfigMapList", "v1")
    newest = max(int(item["metadata"]["resourceVersion"]) for item in listing["items"])
    assert int(listing["metadata"]["resourceVersion"]) >= newest
    assert names(listing) == [f"c{index}" for index in range(10)]


def test_a_list_of_nothing_has_items(api: Harness, namespace: str) -> None:
    assert api.get(f"/api/v1/namespaces/{namespace}/secrets")["items"] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("labelSelector=parity%3Deven", ["c0", "c2", "c4", "c6", "c8"]),
        ("labelSelector=n+in+(1,2)", ["c1", "c2"]),
        ("labelSelector=parity%3Dodd,n!%3D1", ["c3", "c5", "c7", "c9"]),
        ("fieldSelector=metadata.name%3Dc3", ["c3"]),
        ("fieldSelector=metadata.name!%3Dc3&labelSelector=parity%3Dodd", ["c1", "c5", "c7", "c9"]),
        ("fieldSelector=metadata.namespace%3Dnone", []),
    ],
)
def test_selectors(api: Harness, path: str, query: str, expected: list[str]) -> None:
    assert names(api.get(f"{path}?{query}")) == expected


@pytest.mark.parametrize("query", ["labelSelector=a%3D%3D%3D", "fieldSelector=spec.none%3Dx", "limit=x"])
def test_bad_selectors(api: Harness, path: str, query: str) -> None:
    answer = api.request("GET", f"{path}?{query}")
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


def test_pages_are_of_one_revision(api: Harness, path: str) -> None:
    first = api.get(f"{path}?limit=4")
    assert names(first) == ["c0", "c1", "c2", "c3"]
    assert first["metadata"]["remainingItemCount"] == 6
    api.create(path, {"metadata": {"name": "c4a"}})  # does not show up in the pages that follow
    second = api.get(f"{path}?limit=4&continue={quote(first['metadata']['continue'])}")
    assert names(second) == ["c4", "c5", "c6", "c7"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = api.get(f"{path}?limit=4&continue={quote(second['metadata']['continue'])}")
    assert names(third) == ["c8", "c9"]
    assert "continue" not in third["metadata"]


def test_pages_with_a_selector(api: Harness, path: str) -> None:
    first = api.get(f"{path}?limit=3&labelSelector=parity%3Deven")
    assert names(first) == ["c0", "c2", "c4"]
    assert "remainingItemCount" not in first["metadata"]
    token = quote(first["metadata"]["continue"])
    api.create(path, {"metadata": {"name": "later"}})
    rest = api.get(f"{path}?limit=3&labelSelector=parity%3Deven&continue={token}")
    assert names(rest) == ["c6", "c8"]
    assert "continue" not in rest["metadata"]


def test_a_list_at_an_exact_revision(api: Harness, path: str) -> None:
    before = api.get(path)["metadata"]["resourceVersion"]
    api.create(path, {"metadata": {"name": "later"}})
    exact = api.get(f"{path}?resourceVersion={before}&resourceVersionMatch=Exact")
    assert "later" not in names(exact)
    assert exact["metadata"]["resourceVersion"] == before
    newer = api.get(f"{path}?resourceVersion={before}&resourceVersionMatch=NotOlderThan")
    assert "later" in names(newer)
    assert names(api.get(f"{path}?resourceVersion=0"))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("resourceVersion=1&resourceVersionMatch=Exact&continue=x", 422),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422),
        ("resourceVersion=1&resourceVersionMatch=Other", 422),
        ("sendInitialEvents=true", 422),
        ("continue=nonsense", 400),
    ],
)
def test_options_that_mean_nothing(api: Harness, path: str, query: str, status: int) -> None:
    assert api.request("GET", f"{path}?{query}").status == status


def test_a_revision_of_the_future_times_out(api: Harness, path: str) -> None:
    answer = api.request("GET", f"{path}?resourceVersion=99999999")
    assert (answer.status, answer.body["reason"]) == (504, "Timeout")
    assert "Too large resource version: 99999999" in answer.body["message"]


def test_a_table(api: Harness, path: str) -> None:
    table = api.get(path, headers={"Accept": TABLE})
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]][:2] == ["Name", "Data"]
    assert table["rows"][0]["cells"][:2] == ["c0", 1]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    whole = api.get(path + "?includeObject=Object", headers={"Accept": TABLE})
    assert whole["rows"][0]["object"]["data"] == {"n": "0"}
    none = api.get(path + "?includeObject=None", headers={"Accept": TABLE})
    assert none["rows"][0].get("object") is None


def test_partial_objects(api: Harness, path: str) -> None:
    listing = api.get(path, headers={"Accept": PARTIAL})
    assert listing["kind"] == "PartialObjectMetadataList"
    assert set(listing["items"][0]) == {"kind", "apiVersion", "metadata"}


def test_protobuf(api: Harness, path: str) -> None:
    answer = api.request("GET", path, headers={"Accept": PROTOBUF})
    assert answer.headers["content-type"] == PROTOBUF
    assert answer.raw.startswith(b"k8s\x00")


def test_large_answers_are_compressed_on_request(api: Harness, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.create(path, {"metadata": {"name": "big"}, "data": {"a": "x" * 200_000}})
    answer = api.request("GET", path, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert b'"big"' in gzip.decompress(answer.raw)
    assert "content-encoding" not in api.request("GET", path).headers


def test_lists_across_namespaces(api: Harness, path: str, namespace: str) -> None:
    listing = api.get("/api/v1/configmaps?labelSelector=n%3D3")
    assert (namespace, "c3") in [
        (item["metadata"]["namespace"], item["metadata"]["name"]) for item in listing["items"]
    ]


def test_other_versions_of_one_resource(api: Harness, namespace: str) -> None:
    v1 = f"/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers"
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 60}
    api.create(v1, {"metadata": {"name": "h"}, "spec": spec})
    v2 = api.get(v1.replace("/v1/", "/v2/") + "/h")
    assert v2["apiVersion"] == "autoscaling/v2"
    assert v2["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
    listing = api.get(v1)
    assert listing["apiVersion"] == "autoscaling/v1"
    assert listing["items"][0]["spec"]["targetCPUUtilizationPercentage"] == 60

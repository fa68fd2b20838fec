"""test/e2e/apimachinery/server_version.go, discovery.go, table_conversion.go"""

from __future__ import annotations

import json
import re

import pytest

from tests.conformance.client import ApiError, Client


def test_find_the_server_version(client: Client) -> None:
    """[sig-api-machinery] server version should find the server version"""
    version = client.get("/version")
    assert re.fullmatch(r"\d+", version["major"])
    assert re.fullmatch(r"\d+", re.sub(r"[^0-9]+", "", version["minor"]))


def test_preferred_versions(client: Client) -> None:
    """[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup"""
    for group in client.get("/apis")["groups"]:
        if group["name"].endswith("example.com"):
            continue
        one = client.get(f"/apis/{group['name']}")
        assert one["preferredVersion"]["version"]
        assert one["preferredVersion"] in one["versions"]
        assert one["preferredVersion"] == group["preferredVersion"]


def test_a_resource_of_each_group(client: Client) -> None:
    """[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup"""
    known = {
        "apiregistration.k8s.io": "apiservices",
        "apps": "deployments",
        "events.k8s.io": "events",
        "authentication.k8s.io": "tokenreviews",
        "authorization.k8s.io": "selfsubjectaccessreviews",
        "autoscaling": "horizontalpodautoscalers",
        "batch": "jobs",
        "certificates.k8s.io": "certificatesigningrequests",
        "networking.k8s.io": "ingresses",
        "policy": "poddisruptionbudgets",
        "rbac.authorization.k8s.io": "clusterroles",
        "storage.k8s.io": "storageclasses",
        "admissionregistration.k8s.io": "validatingwebhookconfigurations",
        "apiextensions.k8s.io": "customresourcedefinitions",
        "scheduling.k8s.io": "priorityclasses",
        "coordination.k8s.io": "leases",
        "node.k8s.io": "runtimeclasses",
        "discovery.k8s.io": "endpointslices",
        "flowcontrol.apiserver.k8s.io": "flowschemas",
    }
    served = {group["name"]: group for group in client.get("/apis")["groups"]}
    for name, resource in known.items():
        version = served[name]["preferredVersion"]["groupVersion"]
        found = client.get(f"/apis/{version}")
        assert found["groupVersion"] == version
        assert resource in [each["name"] for each in found["resources"]]


def test_406_for_what_has_no_table(client: Client) -> None:
    """[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which
    does not implement metadata"""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {"namespace": "default", "verb": "get", "group": "", "resource": "pods"}
        },
    }
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    code, _, content = client.raw(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        json.dumps(review).encode(),
        {"Accept": accept, "Content-Type": "application/json"},
    )
    assert code == 406
    assert json.loads(content)["reason"] == "NotAcceptable"


def test_table_of_pods(client: Client, namespace: str) -> None:
    """[sig-api-machinery] Servers with support for Table transformation should return pod details; chunks of
    table results for list calls; generic metadata details across all namespaces for nodes"""
    templates = client.of("v1", "podtemplates", "PodTemplate", namespace)
    template = {"template": {"spec": {"containers": [{"name": "test", "image": "test2"}]}}}
    for number in range(20):
        templates.create({"metadata": {"name": f"template-{number:04}"}, **template})
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    code, _, content = client.raw("GET", f"{templates.path}?limit=7", headers=accept)
    page = json.loads(content)
    assert (code, page["kind"], page["apiVersion"], len(page["rows"])) == (200, "Table", "meta.k8s.io/v1", 7)
    assert page["metadata"]["remainingItemCount"] == 13
    rest = client.raw("GET", f"{templates.path}?continue={page['metadata']['continue']}", headers=accept)
    assert json.loads(rest[2])["rows"][0]["cells"][0] == "template-0007"
    nodes = json.loads(client.raw("GET", "/api/v1/nodes", headers=accept)[2])
    assert nodes["columnDefinitions"][0]["name"] == "Name"
    assert nodes["metadata"]["resourceVersion"]
    assert nodes["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_unknown_paths(client: Client) -> None:
    """What a typed client makes an error of: a Status, not found."""
    with pytest.raises(ApiError) as refused:
        client.get("/apis/unknown.example.com/v1")
    assert refused.value.code == 404

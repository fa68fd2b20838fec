"""test/e2e/apimachinery/aggregated_discovery.go"""

from __future__ import annotations

import json

import pytest

from tests.conformance import crds
from tests.conformance.client import Client
from tests.e2e.conftest import until

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
GO_ACCEPT = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
EXPECTED = {
    "admissionregistration.k8s.io/v1": "validatingwebhookconfigurations",
    "apiextensions.k8s.io/v1": "customresourcedefinitions",
    "apiregistration.k8s.io/v1": "apiservices",
    "apps/v1": "deployments",
    "authentication.k8s.io/v1": "tokenreviews",
    "authorization.k8s.io/v1": "selfsubjectaccessreviews",
    "autoscaling/v1": "horizontalpodautoscalers",
    "autoscaling/v2": "horizontalpodautoscalers",
    "batch/v1": "jobs",
    "certificates.k8s.io/v1": "certificatesigningrequests",
    "coordination.k8s.io/v1": "leases",
    "discovery.k8s.io/v1": "endpointslices",
    "events.k8s.io/v1": "events",
    "networking.k8s.io/v1": "ingresses",
    "node.k8s.io/v1": "runtimeclasses",
    "policy/v1": "poddisruptionbudgets",
    "scheduling.k8s.io/v1": "priorityclasses",
    "storage.k8s.io/v1": "csinodes",
}


def discovered(client: Client, path: str, accept: str) -> dict[str, set[str]]:
    code, headers, content = client.raw("GET", path, headers={"Accept": accept})
    assert code == 200, content
    assert "as=APIGroupDiscoveryList" in headers["Content-Type"]
    found = json.loads(content)
    assert found["kind"] == "APIGroupDiscoveryList"
    return {
        f"{group['metadata'].get('name', '')}/{version['version']}".lstrip("/"): {
            each["resource"] for each in version["resources"]
        }
        for group in found["items"]
        for version in group["versions"]
    }


@pytest.mark.parametrize("accept", [ACCEPT, GO_ACCEPT], ids=["raw", "interface"])
def test_builtins(client: Client, accept: str) -> None:
    """[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface; should support raw
    aggregated discovery endpoint Accept headers"""
    found = discovered(client, "/apis", accept)
    missing = {version for version, resource in EXPECTED.items() if resource not in found.get(version, ())}
    assert missing == set()
    assert "namespaces" in discovered(client, "/api", accept)["v1"]


@pytest.mark.parametrize("accept", [ACCEPT, GO_ACCEPT], ids=["raw", "interface"])
def test_custom_resources(client: Client, accept: str) -> None:
    """[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for CRDs; should
    support raw aggregated discovery request for CRDs"""
    with crds.defined(client, crds.definition(scope="Namespaced")) as made:
        version = f"{made['spec']['group']}/v1"
        plural = made["spec"]["names"]["plural"]
        until("in discovery", lambda: plural in discovered(client, "/apis", accept).get(version, ()))
    until("out of discovery", lambda: version not in discovered(client, "/apis", accept))

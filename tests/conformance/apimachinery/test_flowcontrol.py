"""test/e2e/apimachinery/flowcontrol.go"""

from __future__ import annotations

import pytest

from tests.conformance import operations
from tests.conformance.client import Client, Resource

GROUP = "flowcontrol.apiserver.k8s.io"
Object = operations.Object

FLOW_SCHEMA: Object = {
    "spec": {
        "matchingPrecedence": 10000,
        "priorityLevelConfiguration": {"name": "global-default"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [
            {
                "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            }
        ],
    }
}
PRIORITY_LEVEL: Object = {
    "spec": {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}},
    }
}


def status(resource: Resource, obj: Object) -> None:
    """The status is written by itself, patched and updated."""
    name = obj["metadata"]["name"]
    condition = {
        "type": "Patched",
        "status": "False",
        "reason": "E2E",
        "message": "Set from an e2e test",
        "lastTransitionTime": "2024-01-01T00:00:00Z",
    }
    patched = resource.patch(name, {"status": {"conditions": [condition]}}, subresource="status")
    assert patched["status"]["conditions"] == [condition]
    assert resource.get(name, "status")["metadata"]["uid"] == obj["metadata"]["uid"]

    def add(found: Object) -> None:
        found["status"].setdefault("conditions", []).append({**condition, "type": "Updated"})

    updated = resource.change(name, add, "status")
    assert {"Patched", "Updated"} <= {each["type"] for each in updated["status"]["conditions"]}


@pytest.mark.parametrize(
    ("plural", "kind", "template", "patch"),
    [
        pytest.param("flowschemas", "FlowSchema", FLOW_SCHEMA, {"matchingPrecedence": 9999}, id="FlowSchema"),
        pytest.param(
            "prioritylevelconfigurations",
            "PriorityLevelConfiguration",
            PRIORITY_LEVEL,
            {"limited": {"nominalConcurrencyShares": 4}},
            id="PriorityLevelConfiguration",
        ),
    ],
)
def test_api_operations(client: Client, plural: str, kind: str, template: Object, patch: Object) -> None:
    """[sig-api-machinery] API priority and fairness should support FlowSchema (PriorityLevelConfiguration) API
    operations"""
    operations.discoverable(client, GROUP, "v1", plural, f"{plural}/status")
    resource = client.of(f"{GROUP}/v1", plural, kind)

    def check(of: Resource, obj: Object) -> None:
        changed = of.patch(obj["metadata"]["name"], {"spec": patch})
        for key, value in patch.items():
            found = changed["spec"][key]
            assert found == ({**found, **value} if isinstance(value, dict) else value)
        status(of, obj)

    operations.walk(resource, template, before_deleting=check)

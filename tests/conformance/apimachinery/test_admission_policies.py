"""test/e2e/apimachinery/validatingadmissionpolicy.go, mutatingadmissionpolicy.go, and of webhook.go what needs no
webhook"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance import crds, operations
from tests.conformance.client import ApiError, Client, Resource
from tests.conformance.workload import template
from tests.e2e.conftest import until

Object = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
VERSION = f"{GROUP}/v1"
DEPLOYMENTS = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}


def constraints(unique: str = "", operations: tuple[str, ...] = ("CREATE", "UPDATE")) -> Object:
    found: Object = {"resourceRules": [{"operations": list(operations), **DEPLOYMENTS}]}
    if unique:
        found["namespaceSelector"] = {"matchLabels": {unique: "true"}}
    return found


def deployment(name: str, replicas: int) -> Object:
    labels = {"app": "nginx"}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(labels)}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@contextlib.contextmanager
def bound(client: Client, kind: str, unique: str, spec: Object, **binding: Any) -> Iterator[Object]:
    """A policy and its binding to the namespaces with this label."""
    plural = f"{kind.lower().removesuffix('y')}ies"
    policies = client.of(VERSION, plural, kind)
    bindings = client.of(VERSION, f"{kind.lower()}bindings", f"{kind}Binding")
    name = f"{unique}.policy.example.com"
    matching = {"matchResources": {"namespaceSelector": {"matchLabels": {unique: "true"}}}}
    try:
        made = policies.create({"metadata": {"name": name}, "spec": spec})
        bindings.create({"metadata": {"name": name}, "spec": {"policyName": name, **matching, **binding}})
        yield made
    finally:
        for of in (bindings, policies):
            with contextlib.suppress(ApiError):
                of.delete(name)


@pytest.fixture
def labelled(new_namespace: Callable[..., str]) -> tuple[str, str]:
    unique = crds.unique("policy")
    return new_namespace(**{unique: "true"}), unique


def refusal(of: Resource, obj: Object) -> ApiError:
    """As soon as the object is refused."""

    def attempt() -> ApiError | None:
        try:
            made = of.create(obj)
        except ApiError as error:
            return error
        of.delete(made["metadata"]["name"])
        return None

    error = until("it is refused", attempt)
    assert error is not None
    return error


def denied(of: Resource, obj: Object) -> None:
    error = refusal(of, obj)
    assert (error.code, error.reason) == (422, "Invalid")


def test_against_a_deployment(client: Client, labelled: tuple[str, str]) -> None:
    """[sig-api-machinery] ValidatingAdmissionPolicy should validate against a Deployment"""
    namespace, unique = labelled
    spec = {
        "matchConstraints": constraints(unique),
        "validations": [
            {
                "expression": "object.spec.replicas > 1",
                "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
            }
        ],
    }
    with bound(client, "ValidatingAdmissionPolicy", unique, spec, validationActions=["Deny"]):
        of = client.of("apps/v1", "deployments", "Deployment", namespace)
        denied(of, deployment("marker-deployment", 1))
        of.create(deployment("replicated", 2))
        client.of("apps/v1", "replicasets", "ReplicaSet", namespace).create(deployment("non-replicated", 1))


def test_variables(client: Client, labelled: tuple[str, str]) -> None:
    """[sig-api-machinery] ValidatingAdmissionPolicy should allow expressions to refer variables."""
    namespace, unique = labelled
    spec = {
        "matchConstraints": constraints(unique),
        "variables": [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
        ],
        "validations": [{"expression": "variables.replicas > 1"}, {"expression": "variables.oddReplicas"}],
    }
    with bound(client, "ValidatingAdmissionPolicy", unique, spec, validationActions=["Deny"]):
        of = client.of("apps/v1", "deployments", "Deployment", namespace)
        denied(of, deployment("marker-deployment", 1))
        of.create(deployment("replicated", 3))
        denied(of, deployment("even-replicated", 2))


def test_type_checking(client: Client) -> None:
    """[sig-api-machinery] ValidatingAdmissionPolicy should type check validation expressions"""
    policies = client.of(VERSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy")
    correct = {"expression": "object.spec.replicas > 1"}
    confused = {
        "expression": "object.spec.replicas > '1'",
        "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
    }

    def checked(name: str, validation: Object) -> Object:
        spec = {"matchConstraints": constraints("nobody"), "validations": [validation]}
        policies.create({"metadata": {"name": name}, "spec": spec})
        try:
            until("it is checked", lambda: "typeChecking" in (policies.get(name).get("status") or {}))
            return policies.get(name)["status"]
        finally:
            policies.delete(name)

    status = checked("correct-policy", correct)
    assert status["observedGeneration"] == 1
    assert not status["typeChecking"].get("expressionWarnings")
    first, second = checked("confused-policy", confused)["typeChecking"]["expressionWarnings"]
    assert first["fieldRef"] == "spec.validations[0].expression"
    assert "found no matching overload for '_>_' applied to '(int, string)'" in first["warning"]
    assert second["fieldRef"] == "spec.validations[0].messageExpression"
    assert "found no matching overload for '_+_' applied to '(string, int)'" in second["warning"]


@pytest.mark.parametrize(
    ("expression", "path", "value"),
    [
        pytest.param(
            'Object{metadata: Object.metadata{annotations: {"mutated-by": "admission-policy"}}}',
            ("metadata", "annotations", "mutated-by"),
            "admission-policy",
            id="with annotations",
        ),
        pytest.param(
            "Object{spec: Object.spec{replicas: 1337}}", ("spec", "replicas"), 1337, id="with a number"
        ),
    ],
)
def test_mutate_a_deployment(
    client: Client, labelled: tuple[str, str], expression: str, path: tuple[str, ...], value: Any
) -> None:
    """[sig-api-machinery] MutatingAdmissionPolicy should mutate a Deployment (with annotations)"""
    namespace, unique = labelled
    spec = {
        "matchConstraints": constraints(unique),
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
        "reinvocationPolicy": "Never",
    }
    with bound(client, "MutatingAdmissionPolicy", unique, spec):
        of = client.of("apps/v1", "deployments", "Deployment", namespace)

        def mutated() -> bool:
            found: Any = of.create(deployment("marker-deployment", 1))
            of.delete("marker-deployment")
            for step in path:
                found = (found or {}).get(step)
            return bool(found == value)

        until("it is mutated", mutated)


MUTATION = {
    "patchType": "ApplyConfiguration",
    "applyConfiguration": {"expression": 'Object{metadata: Object.metadata{annotations: {"a": "b"}}}'},
}


@pytest.mark.parametrize(
    ("plural", "kind", "spec", "edit"),
    [
        pytest.param(
            "validatingadmissionpolicies",
            "ValidatingAdmissionPolicy",
            {
                "validations": [{"expression": "object.spec.replicas <= 100"}],
                "matchConstraints": constraints(operations=("CREATE",)),
            },
            {"failurePolicy": "Ignore"},
            id="ValidatingAdmissionPolicy",
        ),
        pytest.param(
            "validatingadmissionpolicybindings",
            "ValidatingAdmissionPolicyBinding",
            {"policyName": "replicalimit-policy.example.com", "validationActions": ["Deny"]},
            {"validationActions": ["Audit"]},
            id="ValidatingAdmissionPolicyBinding",
        ),
        pytest.param(
            "mutatingadmissionpolicies",
            "MutatingAdmissionPolicy",
            {
                "mutations": [MUTATION],
                "matchConstraints": constraints(operations=("CREATE",)),
                "reinvocationPolicy": "Never",
            },
            {"reinvocationPolicy": "IfNeeded"},
            id="MutatingAdmissionPolicy",
        ),
        pytest.param(
            "mutatingadmissionpolicybindings",
            "MutatingAdmissionPolicyBinding",
            {"policyName": "map.example.com"},
            {"policyName": "other.example.com"},
            id="MutatingAdmissionPolicyBinding",
        ),
    ],
)
def test_api_operations(client: Client, plural: str, kind: str, spec: Object, edit: Object) -> None:
    """[sig-api-machinery] ValidatingAdmissionPolicy (MutatingAdmissionPolicy) should support … API operations"""
    operations.discoverable(client, GROUP, "v1", plural)
    of = client.of(VERSION, plural, kind)

    def check(resource: Resource, obj: Object) -> None:
        patched = resource.patch(obj["metadata"]["name"], {"spec": edit})
        assert patched["spec"] == {**patched["spec"], **edit}
        if kind == "ValidatingAdmissionPolicy":
            condition = {
                "type": "PolicyPatched",
                "status": "False",
                "reason": "E2E",
                "message": "x",
                "lastTransitionTime": "2024-01-01T00:00:00Z",
            }
            name = obj["metadata"]["name"]
            status = resource.patch(name, {"status": {"conditions": [condition]}}, subresource="status")
            assert condition in status["status"]["conditions"]
            changed = resource.change(
                name, lambda found: found["status"].update(conditions=[condition]), "status"
            )
            assert changed["status"]["conditions"] == [condition]

    operations.walk(of, {"spec": spec}, before_deleting=check)


def hook(kind: str, *conditions: Object) -> Object:
    service = {"namespace": "default", "name": "nowhere", "path": "/x", "port": 443}
    webhook = {
        "name": "condition.example.com",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": service},
        "rules": [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
        ],
        "namespaceSelector": {"matchLabels": {"nobody": "true"}},
        "matchConditions": list(conditions),
    }
    return {"metadata": {"name": crds.unique(kind.lower())}, "webhooks": [webhook]}


@pytest.mark.parametrize("kind", ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"])
def test_match_conditions(client: Client, kind: str) -> None:
    """[sig-api-machinery] AdmissionWebhook should be able to create and update … webhook configurations with match
    conditions; should reject … with invalid match conditions; should include webhook resources in discovery"""
    plural = f"{kind.lower()}s"
    operations.discoverable(client, GROUP, "v1", plural)
    of = client.of(VERSION, plural, kind)
    first = {"name": "expression-1", "expression": "object.metadata.namespace == 'production'"}
    second = {"name": "expression-2", "expression": "object.metadata.namespace == 'staging'"}
    made = of.create(hook(kind, first))
    name = made["metadata"]["name"]
    try:
        assert made["webhooks"][0]["matchConditions"] == [first]
        of.change(name, lambda obj: obj["webhooks"][0].update(matchConditions=[first, second]))
        assert of.get(name)["webhooks"][0]["matchConditions"] == [first, second]
    finally:
        of.delete(name)
    with pytest.raises(ApiError, match="compilation failed") as refused:
        of.create(hook(kind, {"name": "invalid", "expression": "... [] bad expression"}))
    assert refused.value.code == 422


def test_fail_closed(client: Client, labelled: tuple[str, str]) -> None:
    """[sig-api-machinery] AdmissionWebhook should unconditionally reject operations on fail closed webhook"""
    namespace, unique = labelled
    of = client.of(VERSION, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration")
    made = copy.deepcopy(hook("ValidatingWebhookConfiguration"))
    webhook = made["webhooks"][0]
    webhook |= {"failurePolicy": "Fail", "namespaceSelector": {"matchLabels": {unique: "true"}}}
    of.create(made)
    maps = client.of("v1", "configmaps", "ConfigMap", namespace)

    try:
        error = refusal(maps, {"metadata": {"generateName": "foo-"}})
        assert (error.code, error.reason) == (500, "InternalError")
        assert 'failed calling webhook "condition.example.com"' in str(error)
    finally:
        of.delete(made["metadata"]["name"])

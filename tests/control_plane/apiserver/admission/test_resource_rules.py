"""Which requests a rule is about."""

from __future__ import annotations

from typing import Any

import pytest

from control_plane.api.registry import Registry
from control_plane.apiserver.admission.interface import Operation
from control_plane.apiserver.admission.resource_rules import Equivalents, is_exempt, matching_resource
from tests.control_plane.apiserver.admission.helpers import request

Rule = dict[str, Any]
PODS = ("", "v1", "pods")


def rule(*resources: str, **more: Any) -> Rule:
    whole: Rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"]}
    return {**whole, "resources": list(resources), **more}


@pytest.mark.parametrize(
    ("given", "asked", "expected"),
    [
        (rule("pods"), "pods", True),
        (rule("pods"), "pods/status", False),
        (rule("pods/status"), "pods/status", True),
        (rule("pods/*"), "pods", True),
        (rule("pods/*"), "pods/exec", True),
        (rule("*"), "pods", True),
        (rule("*"), "pods/status", False),
        (rule("*/scale"), "pods/status", False),
        (rule("*/status"), "pods/status", True),
        (rule("*/*"), "pods/status", True),
        (rule("services", "pods"), "pods", True),
        (rule("pods", operations=["UPDATE"]), "pods", False),
        (rule("pods", operations=["*"]), "pods", True),
        (rule("pods", apiGroups=["apps"]), "pods", False),
        (rule("deployments", apiGroups=["*"]), "deployments.apps", True),
        (rule("pods", apiVersions=["v2"]), "pods", False),
        (rule("pods", apiVersions=["*"]), "pods", True),
        (rule("pods", scope="Namespaced"), "pods", True),
        (rule("pods", scope="Cluster"), "pods", False),
        (rule("namespaces", scope="Cluster"), "namespaces", True),
        (rule("namespaces", scope="Namespaced"), "namespaces", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_rules(given: Rule, asked: str, expected: bool) -> None:
    assert (matching_resource([given], request(asked), ()) is not None) is expected


def test_the_own_version_goes_first() -> None:
    asked = request("horizontalpodautoscalers.autoscaling")
    others = [("autoscaling", "v2", "horizontalpodautoscalers")]
    hpas = {"apiGroups": ["autoscaling"]}
    rules = [
        rule("horizontalpodautoscalers", apiVersions=["v2"], **hpas),
        rule("horizontalpodautoscalers", apiVersions=["v1"], **hpas),
    ]
    assert matching_resource(rules, asked, others) == ("autoscaling", "v1", "horizontalpodautoscalers")
    assert matching_resource(rules[:1], asked, others) == others[0]
    assert matching_resource(rules[:1], asked, ()) is None


@pytest.mark.parametrize(
    ("gvr", "subresource", "expected"),
    [
        (("autoscaling", "v1", "horizontalpodautoscalers"), "", {"v1", "v2"}),
        (("", "v1", "events"), "", {"v1"}),
        (PODS, "status", {"v1"}),
        (PODS, "nothing", set()),
        (("none", "v1", "things"), "", set()),
    ],
    ids=["versions", "groups", "subresource", "no such subresource", "unknown"],
)
def test_equivalents(gvr: tuple[str, str, str], subresource: str, expected: set[str]) -> None:
    found = Equivalents(Registry.builtin()).of(gvr, subresource)
    assert {version for _, version, _ in found} == expected


def test_events_are_the_same_in_both_groups() -> None:
    found = Equivalents(Registry.builtin()).of(("", "v1", "events"), "")
    assert set(found) == {("", "v1", "events"), ("events.k8s.io", "v1", "events")}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("validatingwebhookconfigurations.admissionregistration.k8s.io", True),
        ("mutatingadmissionpolicybindings.admissionregistration.k8s.io", True),
        ("validatingwebhookconfigurations.example.com", False),
        ("pods", False),
    ],
)
def test_exempt(resource: str, expected: bool) -> None:
    assert is_exempt(request(resource, operation=Operation.DELETE, name="x")) is expected

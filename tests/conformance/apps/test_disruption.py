"""test/e2e/apps/disruption.go"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance import operations
from tests.conformance.client import ApiError, Client, Resource
from tests.conformance.workload import is_ready, pod_spec, settled
from tests.e2e.conftest import until

Object = dict[str, Any]
LABEL = {"foo": "bar"}


def budgets(client: Client, namespace: str) -> Resource:
    return client.of("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", namespace)


def budget(minimum: Any, name: str = "foo") -> Object:
    return {
        "metadata": {"name": name, "labels": LABEL},
        "spec": {"selector": {"matchLabels": LABEL}, "minAvailable": minimum},
    }


def observed(of: Resource, name: str = "foo") -> Object:
    """The controller has seen the newest generation."""
    return settled(
        of, name, lambda obj: obj["status"].get("observedGeneration") == obj["metadata"]["generation"]
    )


def make_pods(client: Client, namespace: str, count: int) -> list[str]:
    pods = client.of("v1", "pods", "Pod", namespace)
    names = [f"pod-{number}" for number in range(count)]
    for name in names:
        pods.create({"metadata": {"name": name, "labels": LABEL}, "spec": pod_spec()})
    for name in names:
        settled(pods, name, is_ready)
    return names


def test_lifecycle(client: Client, namespace: str) -> None:
    """[sig-apps] DisruptionController should create a PodDisruptionBudget"""
    of = budgets(client, namespace)
    of.create(budget("1%"))
    observed(of)
    updated = of.change("foo", lambda obj: obj["spec"].update(minAvailable="2%"))
    assert updated["spec"]["minAvailable"] == "2%"
    observed(of)
    patched = of.patch("foo", {"spec": {"minAvailable": "3%"}}, "merge")
    assert patched["spec"]["minAvailable"] == "3%"
    observed(of)
    of.delete("foo")
    operations.assert_gone(of, "foo")


def test_collection(client: Client, new_namespace: Callable[..., str]) -> None:
    """[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a
    collection of PodDisruptionBudgets
    """
    one, two = new_namespace(), new_namespace()
    for namespace, name in ((one, "foo"), (one, "foo2"), (two, "foo3")):
        made = budget(1, name)
        made["metadata"]["labels"] = {"run": one}
        budgets(client, namespace).create(made)
    everywhere = client.of("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget")
    assert len(everywhere.list(labelSelector=f"run={one}")) == 3
    assert len(budgets(client, one).list()) == 2
    budgets(client, one).delete_collection()
    until("none", lambda: budgets(client, one).list() == [])
    assert len(everywhere.list(labelSelector=f"run={one}")) == 1


def test_status(client: Client, namespace: str) -> None:
    """[sig-apps] DisruptionController should observe PodDisruptionBudget status updated"""
    of = budgets(client, namespace)
    of.create(budget(1))
    make_pods(client, namespace, 3)
    found = settled(of, "foo", lambda obj: obj["status"].get("currentHealthy") == 3)
    assert found["status"]["disruptionsAllowed"] == 2


def test_status_updated_and_patched(client: Client, namespace: str) -> None:
    """[sig-apps] DisruptionController should update/patch PodDisruptionBudget status"""
    of = budgets(client, namespace)
    of.create(budget(1))
    observed(of)
    pod = make_pods(client, namespace, 1)[0]
    settled(of, "foo", lambda obj: obj["status"].get("currentHealthy") == 1)
    stamp = "2026-01-01T00:00:00Z"
    updated = of.change("foo", lambda obj: obj["status"].update(disruptedPods={pod: stamp}), "status")
    assert updated["status"]["disruptedPods"] == {pod: stamp}
    patched = of.patch("foo", {"status": {"disruptedPods": None}}, "merge", "status")
    assert not patched["status"].get("disruptedPods")


def evict(client: Client, namespace: str, pod: str) -> Object:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    return client.of("v1", "pods", "Pod", namespace).post(pod, "eviction", body)


def test_blocked_eviction(client: Client, namespace: str) -> None:
    """[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it"""
    of = budgets(client, namespace)
    names = make_pods(client, namespace, 3)
    of.create(budget(3))
    settled(of, "foo", lambda obj: obj["status"].get("currentHealthy") == 3)
    with pytest.raises(ApiError) as refused:
        evict(client, namespace, names[0])
    assert refused.value.code == 429
    assert refused.value.status["details"]["causes"][0]["reason"] == "DisruptionBudget"
    of.change("foo", lambda obj: obj["spec"].update(minAvailable=2))
    settled(of, "foo", lambda obj: obj["status"].get("disruptionsAllowed") == 1)
    evict(client, namespace, names[0])
    of.patch("foo", {"spec": {"minAvailable": 3}})
    observed(of)
    with pytest.raises(ApiError) as refused:
        evict(client, namespace, names[1])
    assert refused.value.code == 429
    of.delete("foo")
    until("it is gone", lambda: not of.exists("foo"))
    evict(client, namespace, names[1])

"""test/e2e/apimachinery/webhook.go: the webhook runs beside the cluster, by its URL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import crds
from tests.conformance.client import ApiError, Client
from tests.conformance.hooks import Hooks, allowed, config_map, rule
from tests.conformance.workload import pod_spec
from tests.control_plane.apiserver.webhook_server import patch
from tests.e2e.conftest import Cluster, until
from tests.kubectl import Kubectl, found

Object = dict[str, Any]
DENY = {"allowed": False, "status": {"message": "the object contains unwanted data"}}
SLOW_S = 5.0
CONFIG_MAPS = rule("", "v1", "configmaps", "CREATE", "UPDATE")


def deny_marked(request: Object) -> Object:
    """Objects with the mark in their data are refused, slow ones are answered late, deletes as the mark says."""
    obj = request["object"] or request["oldObject"]
    data = {**(obj.get("data") or {}), **(obj["metadata"].get("labels") or {})}
    if data.get("webhook-e2e-test") == "webhook-wait":
        threading.Event().wait(SLOW_S)
    return DENY if data.get("webhook-e2e-test") == "webhook-disallow" else {"allowed": True}


def test_deny_pods_and_config_maps(hooks: Hooks, new_namespace: Callable[..., str]) -> None:
    """[sig-api-machinery] AdmissionWebhook should be able to deny pod and configmap creation"""
    hooks.server.answer = deny_marked
    hooks.register(
        False,
        hooks.hook(CONFIG_MAPS),
        hooks.hook(rule("", "v1", "pods"), name="pods.example.com", timeoutSeconds=1),
    )
    maps = hooks.maps()
    bad = config_map(**{"webhook-e2e-test": "webhook-disallow"})
    until("the webhook is asked", lambda: allowed(maps, bad) is None)
    pods = hooks.client.of("v1", "pods", "Pod", hooks.namespace)

    def pod(value: str) -> Object:
        return {"metadata": {"name": value, "labels": {"webhook-e2e-test": value}}, "spec": pod_spec()}

    with pytest.raises(ApiError, match="the object contains unwanted data"):
        pods.create(pod("webhook-disallow"))
    with pytest.raises(ApiError, match=r"webhook.*deadline"):
        pods.create(pod("webhook-wait"))
    assert not pods.exists("webhook-wait")
    with pytest.raises(ApiError, match="the object contains unwanted data"):
        maps.create(bad)
    maps.create({"metadata": {"name": "good"}, "data": {"k": "v"}})
    with pytest.raises(ApiError, match="the object contains unwanted data"):
        maps.change("good", lambda obj: obj["data"].update({"webhook-e2e-test": "webhook-disallow"}))
    with pytest.raises(ApiError, match="the object contains unwanted data"):
        maps.patch("good", {"data": {"webhook-e2e-test": "webhook-disallow"}}, "strategic")
    other = hooks.client.of("v1", "configmaps", "ConfigMap", new_namespace())
    assert allowed(other, bad)


def test_deny_attaching(hooks: Hooks, cluster: Cluster, tmp_path: Path) -> None:
    """[sig-api-machinery] AdmissionWebhook should be able to deny attaching pod"""
    hooks.server.answer = lambda request: {
        "allowed": False,
        "status": {"message": f"attaching to pod '{request['name']}' is not allowed"},
    }
    hooks.register(False, hooks.hook(rule("", "v1", "pods/attach", "CONNECT")))
    pods = hooks.client.of("v1", "pods", "Pod", hooks.namespace)
    pods.create({"metadata": {"name": "to-be-attached-pod"}, "spec": pod_spec()})
    until("it runs", lambda: pods.get("to-be-attached-pod")["status"].get("phase") == "Running")
    kubectl = Kubectl(found()[-1], cluster.kubeconfig, tmp_path / "cache", hooks.namespace)
    told = kubectl.run("attach", "to-be-attached-pod", "-i", "-c=main", input="").stderr
    assert "attaching to pod 'to-be-attached-pod' is not allowed" in told


def test_deny_custom_resources(hooks: Hooks, dynamic: Client) -> None:
    """[sig-api-machinery] AdmissionWebhook should be able to deny custom resource creation, update and deletion"""
    hooks.server.answer = deny_marked
    with crds.defined(hooks.client, crds.definition(scope="Namespaced")) as made:
        of = crds.instances(dynamic, made, namespace=hooks.namespace)
        group, plural = made["spec"]["group"], made["spec"]["names"]["plural"]
        hooks.register(False, hooks.hook(rule(group, "v1", plural, "CREATE", "UPDATE", "DELETE")))
        bad = {"metadata": {"generateName": "cr-"}, "data": {"webhook-e2e-test": "webhook-disallow"}}
        until("the webhook is asked", lambda: allowed(of, bad) is None)
        of.create({"metadata": {"name": "cr"}, "data": {"key": "value"}})
        with pytest.raises(ApiError, match="the object contains unwanted data"):
            of.patch("cr", {"data": bad["data"]})
        hooks.server.answer = lambda request: DENY if request["operation"] == "DELETE" else {"allowed": True}
        with pytest.raises(ApiError, match="the object contains unwanted data"):
            of.delete("cr")
        hooks.server.answer = lambda request: {"allowed": True}
        of.delete("cr")


def test_deny_definitions(hooks: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook should deny crd creation"""
    hooks.server.answer = lambda request: (
        DENY if "deny-me" in (request["object"]["metadata"].get("labels") or {}) else {"allowed": True}
    )
    of = crds.definitions(hooks.client)
    wanted = rule("apiextensions.k8s.io", "*", "customresourcedefinitions")
    hooks.register(
        False, hooks.hook(wanted, everywhere=True, objectSelector={"matchLabels": {"deny-me": "yes"}})
    )

    def attempt() -> bool:
        bad = crds.definition()
        bad["metadata"]["labels"] = {"deny-me": "yes"}
        return allowed(of, bad) is None

    until("it is refused", attempt)


def test_configurations_are_not_sent_to_webhooks(hooks: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook should not be able to mutate or prevent deletion of webhook
    configuration objects"""
    hooks.server.answer = lambda request: DENY
    kinds = [
        rule(
            "admissionregistration.k8s.io", "*", f"{kind}webhookconfigurations", "CREATE", "DELETE", "UPDATE"
        )
        for kind in ("mutating", "validating")
    ]
    canary = rule("", "v1", "configmaps")
    hooks.register(False, hooks.hook(*kinds, everywhere=True), hooks.hook(canary, name="canary.example.com"))
    hooks.register(True, hooks.hook(*kinds, everywhere=True))
    until("it is in force", lambda: allowed(hooks.maps(), config_map()) is None)
    for mutating in (False, True):
        made = hooks.register(mutating, hooks.hook(rule("", "v1", "nothing")))
        assert "labels" not in made["metadata"]
        hooks.of(mutating).delete(made["metadata"]["name"])


def add(key: str) -> Object:
    return patch({"op": "add", "path": f"/data/{key}", "value": "yes"})


def staged(request: Object) -> Object:
    """Two stages: the second adds what only the first makes possible."""
    data = request["object"].get("data") or {}
    if "mutation-start" in data and "mutation-stage-1" not in data:
        return add("mutation-stage-1")
    if "mutation-stage-1" in data and "mutation-stage-2" not in data:
        return add("mutation-stage-2")
    return {"allowed": True}


STAGED = {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}


def two(hooks: Hooks, wanted: Object) -> None:
    hooks.register(True, hooks.hook(wanted), hooks.hook(wanted, name="second.example.com"))


def test_mutate_config_maps(hooks: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook should mutate configmap"""
    hooks.server.answer = staged
    two(hooks, rule("", "v1", "configmaps"))

    def mutated() -> bool:
        made = allowed(hooks.maps(), config_map(**{"mutation-start": "yes"}))
        return made is not None and made["data"] == STAGED

    until("both stages", mutated)


def test_mutate_and_then_default(hooks: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook should mutate pod and apply defaults after mutation"""
    container = {"image": "busybox", "name": "webhook-added-init-container", "resources": {}}
    hooks.server.answer = lambda request: patch(
        {"op": "add", "path": "/spec/initContainers", "value": [container]}
    )
    hooks.register(True, hooks.hook(rule("", "v1", "pods")))
    pods = hooks.client.of("v1", "pods", "Pod", hooks.namespace)

    def mutated() -> Object | None:
        made = allowed(pods, {"metadata": {"generateName": "p-"}, "spec": pod_spec()})
        return made if made and made["spec"].get("initContainers") else None

    made = until("a container is added", mutated)
    assert made is not None
    [added] = made["spec"]["initContainers"]
    assert added["name"] == "webhook-added-init-container"
    assert added["terminationMessagePolicy"] == "File"


@pytest.mark.parametrize("pruning", [False, True], ids=["open", "with pruning"])
def test_mutate_custom_resources(hooks: Hooks, dynamic: Client, pruning: bool) -> None:
    """[sig-api-machinery] AdmissionWebhook should mutate custom resource (with pruning)"""
    hooks.server.answer = staged
    known = {key: {"type": "string"} for key in ("mutation-start", "mutation-stage-1")}
    schema = {"type": "object", "properties": {"data": {"type": "object", "properties": known}}}
    wanted = crds.definition(scope="Namespaced", schema=schema if pruning else None)
    with crds.defined(hooks.client, wanted) as made:
        of = crds.instances(dynamic, made, namespace=hooks.namespace)
        two(hooks, rule(made["spec"]["group"], "v1", made["spec"]["names"]["plural"]))

        def mutated() -> Object | None:
            cr = allowed(of, {"metadata": {"generateName": "cr-"}, "data": {"mutation-start": "yes"}})
            return cr["data"] if cr and len(cr["data"]) > 1 else None

        expected = dict.fromkeys(known, "yes") if pruning else STAGED
        assert until("it is mutated", mutated) == expected


def test_mutate_with_another_stored_version(hooks: Hooks, dynamic: Client) -> None:
    """[sig-api-machinery] AdmissionWebhook should mutate custom resource with different stored version"""
    hooks.server.answer = staged
    with crds.defined(hooks.client, crds.definition("v1", "v2", scope="Namespaced")) as made:
        name = made["metadata"]["name"]
        of = crds.instances(dynamic, made, "v1", hooks.namespace)
        of.create({"metadata": {"name": "cr"}, "data": {"mutation-start": "yes"}})
        plural = made["spec"]["names"]["plural"]
        two(hooks, {**rule(made["spec"]["group"], "*", plural, "CREATE", "UPDATE")})
        change = [
            {"op": "replace", "path": "/spec/versions/0/storage", "value": False},
            {"op": "replace", "path": "/spec/versions/1/storage", "value": True},
        ]
        stored = crds.definitions(hooks.client).patch(name, change, "json")
        assert stored["status"]["storedVersions"] == ["v1", "v2"]

        def patched() -> bool:
            of.patch("cr", {"dummy": crds.unique("x")})
            return bool(of.get("cr")["data"] == STAGED)

        until("the old object is mutated", patched)
        assert crds.instances(dynamic, made, "v2", hooks.namespace).get("cr")["data"] == STAGED


@pytest.mark.parametrize("mutating", [False, True], ids=["validating", "mutating"])
def test_patching_and_updating(hooks: Hooks, mutating: bool) -> None:
    """[sig-api-machinery] AdmissionWebhook patching/updating a validating (mutating) webhook should work"""
    hooks.server.answer = lambda request: add("seen") if mutating else DENY
    made = hooks.register(mutating, hooks.hook(rule("", "v1", "configmaps")))
    of, name = hooks.of(mutating), made["metadata"]["name"]

    def effective() -> bool:
        found = allowed(hooks.maps(), config_map(a="b"))
        return found is None or "seen" in found["data"]

    until("it is in force", effective)
    of.change(name, lambda obj: obj["webhooks"][0]["rules"][0].update(operations=["UPDATE"]))
    until("it is not any more", lambda: not effective())
    operations = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
    of.patch(name, operations, "json")
    until("it is again", effective)


@pytest.mark.parametrize("mutating", [False, True], ids=["validating", "mutating"])
def test_listing(hooks: Hooks, mutating: bool) -> None:
    """[sig-api-machinery] AdmissionWebhook listing validating (mutating) webhooks should work"""
    hooks.server.answer = lambda request: add("seen") if mutating else DENY
    label = {"e2e-list-test-webhooks": hooks.namespace}
    for _ in range(10):
        hooks.register(mutating, hooks.hook(rule("", "v1", "configmaps")), labels=label)
    of, selector = hooks.of(mutating), f"e2e-list-test-webhooks={hooks.namespace}"
    assert len(of.list(labelSelector=selector)) == 10

    def effective() -> bool:
        found = allowed(hooks.maps(), config_map(a="b"))
        return found is None or "seen" in found["data"]

    until("it is in force", effective)
    of.delete_collection(labelSelector=selector)
    assert of.list(labelSelector=selector) == []
    until("it is not any more", lambda: not effective())


def test_everything_but_skip_me(hooks: Hooks) -> None:
    """[sig-api-machinery] AdmissionWebhook should mutate everything except 'skip-me' configmaps"""
    hooks.server.answer = lambda request: add("seen")
    condition = {"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}
    hooks.register(True, hooks.hook(rule("", "v1", "configmaps"), matchConditions=[condition]))
    maps = hooks.maps()

    def mutated() -> bool:
        made = allowed(maps, {"metadata": {"name": "not-me"}, "data": {"a": "b"}})
        return made is not None and "seen" in made["data"]

    until("others are mutated", mutated)
    assert maps.create({"metadata": {"name": "skip-me"}, "data": {"a": "b"}})["data"] == {"a": "b"}


@pytest.mark.parametrize(
    ("timeout_s", "policy", "succeeds"),
    [(1, "Fail", False), (1, "Ignore", True), (10, "Fail", True)],
    ids=["shorter than it takes", "and ignored", "longer than it takes"],
)
def test_timeouts(hooks: Hooks, timeout_s: int, policy: str, succeeds: bool) -> None:
    """[sig-api-machinery] AdmissionWebhook should honor timeout"""
    slow = threading.Event()

    def answer(_: Object) -> Object:
        slow.wait(2.0)
        return {"allowed": True}

    hooks.server.answer = answer
    hooks.register(
        False,
        hooks.hook(
            rule("", "v1", "configmaps"),
            path="/always-allow-delay",
            timeoutSeconds=timeout_s,
            failurePolicy=policy,
        ),
    )
    maps = hooks.maps()

    def asked() -> ApiError | bool:
        try:
            maps.create(config_map(a="b"))
        except ApiError as error:
            return error
        return bool(hooks.server.reviews)

    result = until("the webhook is asked", asked)
    if succeeds:
        assert result is True
    else:
        assert "/always-allow-delay?timeout=1s" in str(result)
        assert "context deadline exceeded" in str(result)

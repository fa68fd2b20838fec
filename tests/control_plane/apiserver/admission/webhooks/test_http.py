"""Webhooks as users have them: an apiserver, and HTTPS servers that it asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Answer, Harness, free_port
from tests.control_plane.apiserver.webhook_server import WebhookServer, patch

Object = dict[str, Any]
BASE = "/apis/admissionregistration.k8s.io/v1"
DEADLINE_S = 5.0


@pytest.fixture
def server(namespace: str) -> Iterator[WebhookServer]:
    with WebhookServer([f"hook.{namespace}.svc"]) as made:
        yield made


@pytest.fixture
def configure(api: Harness, namespace: str) -> Iterator[Callable[..., None]]:
    """Configure webhooks of this test's namespace, and wait until the apiserver has them."""
    made: list[str] = []

    def add(kind: str, *webhooks: Object, name: str = "") -> None:
        resource = f"{BASE}/{kind}webhookconfigurations"
        path = f"{resource}/{name or namespace}"
        full = [{**_defaults(namespace), "name": f"w{i}.test.dev", **w} for i, w in enumerate(webhooks)]
        api.create(resource, {"metadata": {"name": name or namespace}, "webhooks": full})
        made.append(path)

    yield add
    for path in made:
        api.request("DELETE", path)


def _defaults(namespace: str) -> Object:
    return {
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [rule("configmaps")],
    }


def rule(
    *resources: str, group: str = "", version: str = "v1", operations: tuple[str, ...] = ("*",)
) -> Object:
    return {
        "operations": list(operations),
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": list(resources),
    }


def config_map(name: str, **more: Any) -> Object:
    return {"metadata": {"name": name, **more.pop("metadata", {})}, "data": {"k": "v"}, **more}


def create(api: Harness, namespace: str, obj: Object, query: str = "") -> Answer:
    return api.request("POST", f"/api/v1/namespaces/{namespace}/configmaps{query}", obj)


def eventually(ask: Callable[[], Answer], wanted: Callable[[Answer], bool]) -> Answer:
    """The first answer as wanted: another write of the configuration takes its moment to reach the cache."""
    until = time.monotonic() + DEADLINE_S
    while True:
        answer = ask()
        if wanted(answer) or time.monotonic() > until:
            return answer
        time.sleep(0.02)


def refused(answer: Answer) -> bool:
    return answer.status >= 400


def test_a_refusal(api: Harness, namespace: str, server: WebhookServer, configure: Any) -> None:
    server.answer = lambda request: {
        "allowed": False,
        "status": {"message": "no config maps here", "code": 403, "reason": "Forbidden"},
        "warnings": ["this is your last warning"],
    }
    configure("validating", {"clientConfig": server.client("/validate")})
    answer = eventually(lambda: create(api, namespace, config_map("a"), "?dryRun=All"), refused)
    assert answer.status == 403
    assert answer.body["message"] == (
        'admission webhook "w0.test.dev" denied the request: no config maps here'
    )
    assert answer.body["reason"] == "Forbidden"
    assert answer.warnings == ['299 - "this is your last warning"']
    sent = server.reviews[-1]
    request = sent["request"]
    assert (sent["apiVersion"], sent["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert request["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert request["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (request["operation"], request["namespace"], request["name"]) == ("CREATE", namespace, "a")
    assert request["object"]["data"] == {"k": "v"}
    assert request["object"]["kind"] == "ConfigMap"
    assert request["oldObject"] is None
    assert request["dryRun"] is True
    assert request["options"]["dryRun"] == ["All"]
    assert request["userInfo"]["username"] == "admin"
    assert "system:masters" in request["userInfo"]["groups"]
    assert server.paths[-1].startswith("/validate?timeout=10s")


def test_changes(api: Harness, namespace: str, server: WebhookServer, configure: Any) -> None:
    server.answer = lambda request: patch(
        {"op": "add", "path": "/data/added", "value": "yes"},
        {"op": "add", "path": "/metadata/labels", "value": {"seen": "true"}},
        {"op": "add", "path": "/notAField", "value": 1},
    )
    configure("mutating", {"clientConfig": server.client()})
    answer = eventually(
        lambda: create(api, namespace, {"metadata": {"generateName": "a-"}, "data": {"k": "v"}}),
        lambda answer: len(answer.body.get("data", {})) == 2,
    )
    made = answer.body
    assert made["data"] == {"k": "v", "added": "yes"}
    assert made["metadata"]["labels"] == {"seen": "true"}
    assert made["metadata"]["name"].startswith("a-")
    assert "notAField" not in made
    path = f"/api/v1/namespaces/{namespace}/configmaps/{made['metadata']['name']}"
    updated = api.request("PUT", path, {**made, "data": {"x": "y"}}).body
    assert updated["data"] == {"x": "y", "added": "yes"}
    assert server.reviews[-1]["request"]["oldObject"]["data"] == made["data"]
    patched = api.request(
        "PATCH", path, {"data": {"p": "q"}}, {"Content-Type": "application/merge-patch+json"}
    ).body
    assert patched["data"] == {"x": "y", "p": "q", "added": "yes"}


def test_deletion(api: Harness, namespace: str, server: WebhookServer, configure: Any) -> None:
    create(api, namespace, config_map("a"))
    server.answer = lambda request: {"allowed": False}
    configure(
        "validating",
        {"clientConfig": server.client(), "rules": [rule("configmaps", operations=("DELETE",))]},
    )
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    answer = eventually(lambda: api.request("DELETE", f"{path}?dryRun=All"), refused)
    assert answer.status == 400
    assert answer.body["message"] == (
        'admission webhook "w0.test.dev" denied the request without explanation'
    )
    request = server.reviews[-1]["request"]
    assert (request["operation"], request["name"], request["object"]) == ("DELETE", "a", None)
    assert request["oldObject"]["data"] == {"k": "v"}
    assert request["options"]["kind"] == "DeleteOptions"
    assert api.request("DELETE", f"/api/v1/namespaces/{namespace}/configmaps").status == 400


@pytest.mark.parametrize(("policy", "status"), [("Fail", 500), ("Ignore", 201)], ids=["closed", "open"])
def test_nobody_listens(api: Harness, namespace: str, configure: Any, policy: str, status: int) -> None:
    port = free_port()
    client = {"url": f"https://127.0.0.1:{port}/x"}
    configure(
        "validating",
        {"clientConfig": client, "failurePolicy": policy},
        {"clientConfig": client, "rules": [rule("secrets")]},
    )
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    eventually(lambda: api.request("POST", secrets, {"metadata": {"name": "s"}}), refused)
    answer = create(api, namespace, config_map("a"))
    assert answer.status == status
    if status == 500:
        assert answer.body["message"] == (
            'Internal error occurred: failed calling webhook "w0.test.dev": failed to call webhook: '
            f'Post "https://127.0.0.1:{port}/x?timeout=10s": dial tcp 127.0.0.1:{port}: connect: connection refused'
        )
        assert answer.body["reason"] == "InternalError"


@pytest.mark.parametrize(
    ("whole", "why"),
    [
        ((500, b"broken"), 'an error on the server ("broken") has prevented the request from succeeding'),
        ((404, b""), "the server could not find the requested resource"),
        ((200, b"{}"), "received invalid webhook response: webhook response was absent"),
        (
            (200, b"nonsense"),
            "received invalid webhook response: couldn't get version/kind; json parse error",
        ),
        (
            (200, b'{"response": {"uid": "x"}}'),
            "received invalid webhook response: expected response.uid=",
        ),
    ],
    ids=["500", "404", "no response", "no JSON", "another's uid"],
)
def test_bad_answers(
    api: Harness, namespace: str, server: WebhookServer, configure: Any, whole: tuple[int, bytes], why: str
) -> None:
    server.whole = lambda review: whole
    configure("validating", {"clientConfig": server.client()})
    answer = eventually(lambda: create(api, namespace, config_map("a"), "?dryRun=All"), refused)
    assert answer.status == 500
    assert 'failed calling webhook "w0.test.dev": ' in answer.body["message"]
    assert why in answer.body["message"]


def test_a_stranger_answers(api: Harness, namespace: str, server: WebhookServer, configure: Any) -> None:
    with WebhookServer() as other:
        configure("validating", {"clientConfig": {**server.client(), "caBundle": other.ca_bundle}})
        answer = eventually(lambda: create(api, namespace, config_map("a"), "?dryRun=All"), refused)
    assert "x509: certificate signed by unknown authority" in answer.body["message"]
    assert server.reviews == []


def test_it_takes_too_long(api: Harness, namespace: str, server: WebhookServer, configure: Any) -> None:
    def slow(request: Object) -> Object:
        time.sleep(1.3)
        return {"allowed": True}

    server.answer = slow
    configure("validating", {"clientConfig": server.client(), "timeoutSeconds": 1})
    answer = eventually(lambda: create(api, namespace, config_map("a"), "?dryRun=All"), refused)
    assert answer.status == 500
    assert answer.body["message"].endswith('/?timeout=1s": context deadline exceeded')


def test_by_service(api: Harness, namespace: str, server: WebhookServer, configure: Any) -> None:
    """The service's port is not the server's; what it is reached at stands in the endpoint slices."""
    server.answer = lambda request: {"allowed": False, "status": {"message": "reached"}}
    service = {"namespace": namespace, "name": "hook", "port": 8443, "path": "/by-service"}
    configure("validating", {"clientConfig": {"service": service, "caBundle": server.ca_bundle}})
    missing = eventually(lambda: create(api, namespace, config_map("a"), "?dryRun=All"), refused)
    assert missing.body["message"] == (
        'Internal error occurred: failed calling webhook "w0.test.dev": failed to call webhook: Post '
        f'"https://hook.{namespace}.svc:8443/by-service?timeout=10s": service "hook" not found'
    )
    services = f"/api/v1/namespaces/{namespace}/services"
    ports = [{"name": "https", "port": 8443, "targetPort": 1}]
    api.create(services, {"metadata": {"name": "hook"}, "spec": {"ports": ports}})
    empty = eventually(
        lambda: create(api, namespace, config_map("a"), "?dryRun=All"),
        lambda answer: "not found" not in answer.body["message"],
    )
    assert 'no endpoints available for service "hook"' in empty.body["message"]
    api.create(
        f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
        {
            "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["127.0.0.1"]}],
            "ports": [{"name": "https", "port": server.port}],
        },
    )
    answer = eventually(
        lambda: create(api, namespace, config_map("a"), "?dryRun=All"),
        lambda answer: "no endpoints" not in answer.body["message"],
    )
    assert answer.body["message"] == 'admission webhook "w0.test.dev" denied the request: reached'
    assert server.paths == ["/by-service?timeout=10s"]
    assert server.headers[0]["Host"] == f"hook.{namespace}.svc:8443"


def test_side_effects_and_dry_run(
    api: Harness, namespace: str, server: WebhookServer, configure: Any
) -> None:
    configure("mutating", {"clientConfig": server.client(), "sideEffects": "NoneOnDryRun"})
    eventually(lambda: create(api, namespace, config_map("a"), "?dryRun=All"), lambda _: bool(server.reviews))
    assert server.reviews[-1]["request"]["dryRun"] is True


def test_order_and_reinvocation(api: Harness, namespace: str, server: WebhookServer, configure: Any) -> None:
    """The first is called again because the second changed what it has seen; the second does not ask for it."""

    def answer(request: Object) -> Object:
        data = request["object"]["data"]
        who = "second" if server.paths[-1].startswith("/second") else "first"
        seen = data.get(who, "") + str(len(data))
        return patch({"op": "add", "path": f"/data/{who}", "value": seen})

    server.answer = answer
    configure("mutating", {"clientConfig": server.client("/second")}, name=f"{namespace}-b")
    configure(
        "mutating",
        {"clientConfig": server.client("/first"), "reinvocationPolicy": "IfNeeded"},
        name=f"{namespace}-a",
    )
    made = eventually(
        lambda: create(api, namespace, config_map("a"), "?dryRun=All"),
        lambda answer: len(answer.body["data"]) == 3,
    ).body
    assert [path[1:].partition("?")[0] for path in server.paths[-3:]] == ["first", "second", "first"]
    assert made["data"] == {"k": "v", "first": "13", "second": "2"}


def test_another_version(api: Harness, namespace: str, server: WebhookServer, configure: Any) -> None:
    """A rule for autoscaling/v1 sees requests of v2, converted there and back."""
    server.answer = lambda request: patch(
        {"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 55}
    )
    hpas = rule("horizontalpodautoscalers", group="autoscaling", version="v1")
    configure(
        "mutating",
        {"clientConfig": server.client(), "rules": [hpas]},
    )
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": 3,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            }
        ],
    }
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    answer = eventually(
        lambda: api.request("POST", f"{path}?dryRun=All", {"metadata": {"name": "web"}, "spec": spec}),
        lambda _: bool(server.reviews),
    )
    assert answer.status == 201, answer.raw
    target = answer.body["spec"]["metrics"][0]["resource"]["target"]
    assert target == {"type": "Utilization", "averageUtilization": 55}
    request = server.reviews[-1]["request"]
    assert request["kind"]["version"] == "v1"
    assert request["requestKind"]["version"] == "v2"
    assert request["object"]["apiVersion"] == "autoscaling/v1"
    assert request["object"]["spec"]["targetCPUUtilizationPercentage"] == 80


def test_scale(api: Harness, namespace: str, server: WebhookServer, configure: Any) -> None:
    deployment = {
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.create(path, deployment)
    server.answer = lambda request: patch({"op": "replace", "path": "/spec/replicas", "value": 2})
    configure(
        "mutating", {"clientConfig": server.client(), "rules": [rule("deployments/scale", group="apps")]}
    )
    scaled = eventually(
        lambda: api.request(
            "PATCH",
            f"{path}/web/scale",
            {"spec": {"replicas": 5}},
            {"Content-Type": "application/merge-patch+json"},
        ),
        lambda _: bool(server.reviews),
    )
    assert scaled.body["spec"]["replicas"] == 2
    request = server.reviews[-1]["request"]
    assert request["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert (request["subResource"], request["object"]["kind"]) == ("scale", "Scale")
    assert request["object"]["spec"]["replicas"] == 5


def test_objects_that_are_not_selected(
    api: Harness, namespace: str, server: WebhookServer, configure: Any
) -> None:
    server.answer = lambda request: {"allowed": False}
    configure(
        "validating",
        {"clientConfig": server.client(), "objectSelector": {"matchLabels": {"strict": "yes"}}},
    )
    strict = config_map("strict", metadata={"labels": {"strict": "yes"}})
    eventually(lambda: create(api, namespace, strict, "?dryRun=All"), refused)
    assert create(api, namespace, config_map("lax")).status == 201


def test_it_cannot_lock_itself_out(api: Harness, namespace: str, configure: Any) -> None:
    nobody = {"clientConfig": {"url": f"https://127.0.0.1:{free_port()}"}}
    all_of_it = rule("*", group="admissionregistration.k8s.io")
    configure("validating", {**nobody, "rules": [all_of_it], "namespaceSelector": {}})
    path = f"{BASE}/validatingwebhookconfigurations/{namespace}"
    assert api.request("DELETE", path).status == 200

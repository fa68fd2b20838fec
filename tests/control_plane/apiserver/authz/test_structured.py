"""AuthorizationConfiguration: a chain with webhooks, match conditions in CEL, failure policies, reloading."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs.kubeconfig import KubeConfig
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.conditions import MatchConditions, compiled
from control_plane.apiserver.authz.configuration import BadAuthorization, load
from control_plane.apiserver.authz.interface import Attributes
from control_plane.apiserver.authz.webhook import ConditionsFailed, review_of
from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.apiserver.webhook_server import WebhookServer

Object = dict[str, Any]
DEADLINE_S = 15.0
JANE = UserInfo("jane", "", ("devs",), {"scopes": ("read",)})
PODS = Attributes(JANE, "list", resource="pods", namespace="a", version="v1")
PATH = Attributes(JANE, "get", path="/metrics")


@pytest.mark.parametrize(
    ("expressions", "asked", "holds"),
    [
        (["has(request.resourceAttributes)"], PODS, True),
        (["has(request.resourceAttributes)"], PATH, False),
        (["request.nonResourceAttributes.path == '/metrics'"], PATH, True),
        (["'devs' in request.groups", "request.user == 'jane'"], PODS, True),
        (["request.resourceAttributes.namespace == 'kube-system'"], PODS, False),
        (["request.resourceAttributes.subresource == ''"], PODS, True),
        (["request.extra['scopes'].exists(s, s == 'read')"], PODS, True),
        (["request.extra['none'] == []", "false"], PODS, False),
        (["request.?resourceAttributes.labelSelector.requirements.orValue([]).size() == 0"], PODS, True),
        (
            ["request.resourceAttributes.fieldSelector.requirements.exists(r, r.values == ['n'])"],
            replace(PODS, field_selector="spec.nodeName=n"),
            True,
        ),
    ],
)
def test_conditions(expressions: list[str], asked: Attributes, holds: bool) -> None:
    conditions = MatchConditions([compiled(text) for text in expressions])
    assert conditions.hold(review_of(asked, "v1")["spec"]) is holds


@pytest.mark.parametrize(
    ("labels", "fields", "said"),
    [
        ("", "", {}),
        (
            "a=b,c in (e,d),!f,g,h>1",
            "spec.nodeName=n,metadata.name!=x",
            {
                "labelSelector": [
                    {"key": "a", "operator": "In", "values": ["b"]},
                    {"key": "c", "operator": "In", "values": ["d", "e"]},
                    {"key": "f", "operator": "DoesNotExist"},
                    {"key": "g", "operator": "Exists"},
                ],
                "fieldSelector": [
                    {"key": "spec.nodeName", "operator": "In", "values": ["n"]},
                    {"key": "metadata.name", "operator": "NotIn", "values": ["x"]},
                ],
            },
        ),
        ("a=(", "a", {}),
    ],
    ids=["none", "all operators", "broken"],
)
def test_selectors_are_told_parsed(labels: str, fields: str, said: Object) -> None:
    asked = Attributes(JANE, "list", resource="pods", label_selector=labels, field_selector=fields)
    about = review_of(asked, "v1")["spec"]["resourceAttributes"]
    found = {key: about[key]["requirements"] for key in ("labelSelector", "fieldSelector") if key in about}
    assert found == said


def test_a_condition_that_fails() -> None:
    conditions = MatchConditions([compiled("request.extra['none'] == []"), compiled("true")])
    with pytest.raises(ConditionsFailed):
        conditions.hold(review_of(PODS, "v1")["spec"])


def webhook(file: Path, **more: Any) -> Object:
    settings = {
        "timeout": "3s",
        "authorizedTTL": "1s",
        "unauthorizedTTL": "1s",
        "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "failurePolicy": "NoOpinion",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(file)},
        **more,
    }
    return {"type": "Webhook", "name": "outside", "webhook": settings}


def document(*chain: Object) -> bytes:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
    return yaml.safe_dump({**head, "authorizers": list(chain)}).encode()


RBAC: Object = {"type": "RBAC", "name": "rbac"}
HERE = Path(__file__).resolve()
BAD: list[tuple[bytes, str]] = [
    (b"kind: Other", "no AuthorizationConfiguration"),
    (document(), "at least one authorization mode"),
    (document({"name": "a"}), "authorizers[0].type: Required value"),
    (document({"type": "ABAC", "name": "a"}), 'Unsupported value: "ABAC"'),
    (document(RBAC, {**RBAC, "name": "b"}), 'type: Duplicate value: "RBAC"'),
    (document({"type": "RBAC"}), "name: Required value"),
    (document({"type": "RBAC", "name": "A_B"}), "name: Invalid value"),
    (document({**RBAC, "webhook": {}}), "may only be specified when type=Webhook"),
    (document({"type": "Webhook", "name": "a"}), "required when type=Webhook"),
    (document(webhook(HERE, timeout="31s")), "<= 30s"),
    (document(webhook(HERE, timeout=None)), "timeout: Required value"),
    (document(webhook(HERE, authorizedTTL="x")), "authorizedTTL: Invalid value"),
    (document(webhook(HERE, subjectAccessReviewVersion="v2")), 'Unsupported value: "v2"'),
    (document(webhook(HERE, failurePolicy="Allow")), 'failurePolicy: Unsupported value: "Allow"'),
    (document(webhook(Path("relative"))), "must be an absolute path"),
    (document(webhook(HERE.with_name("none"))), "must be a regular file"),
    (document(webhook(HERE, connectionInfo={"type": "InClusterConfig"})), "supported values: KubeConfigFile"),
    (document(webhook(HERE, matchConditions=[{"expression": "request.usr == ''"}])), "undefined field 'usr'"),
    (document(webhook(HERE, matchConditions=[{"expression": "'x'"}])), "must evaluate to bool"),
    (document(webhook(HERE, matchConditions=[{"expression": "true"}] * 2)), "Duplicate value"),
]


@pytest.mark.parametrize(("raw", "why"), BAD, ids=[why for _, why in BAD])
def test_bad_configurations(raw: bytes, why: str) -> None:
    with pytest.raises(BadAuthorization) as caught:
        load(raw)
    assert why in str(caught.value)


@pytest.fixture
def outside() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < ends, "in vain"
        time.sleep(0.05)


def test_over_http(outside: WebhookServer, tmp_path: Path) -> None:
    """The webhook allows reading config maps, and is asked about nothing of kube-system."""

    def respond(sent: Object) -> Object:
        about = sent["spec"].get("resourceAttributes") or {}
        return {"allowed": about.get("resource") == "configmaps"}

    outside.whole = lambda sent: (200, json.dumps({**sent, "status": respond(sent)}).encode())
    kubeconfig = tmp_path / "webhook.kubeconfig"
    KubeConfig(outside.url("/authorize"), outside.ca_pem).write(kubeconfig)
    path = tmp_path / "authorization.yaml"
    conditions = [
        {"expression": "has(request.resourceAttributes)"},
        {"expression": "request.resourceAttributes.namespace != 'kube-system'"},
    ]
    chain = [{"type": "Node", "name": "node"}, RBAC]
    path.write_bytes(document(*chain, webhook(kubeconfig, matchConditions=conditions)))
    with Harness(tmp_path, f"--authorization-config={path}") as api:

        def status(namespace: str, resource: str = "configmaps") -> int:
            url = f"/api/v1/namespaces/{namespace}/{resource}"
            return api.request("GET", url, user="jane").status

        assert [status("default"), status("default", "secrets"), status("kube-system")] == [200, 403, 403]
        asked = [review["spec"]["resourceAttributes"] for review in outside.reviews]
        assert all(each["namespace"] == "default" for each in asked)
        path.write_bytes(document({"type": "Node", "name": "node"}))
        until(lambda: 'reloads_total{status="failure"} 1.0' in metrics(api))
        assert status("default") == 200, "RBAC cannot be taken out"
        path.write_bytes(document(*chain, {"type": "AlwaysAllow", "name": "all"}))
        until(lambda: status("kube-system", "secrets") == 200)


def test_a_webhook_that_is_down_denies_where_it_should(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "webhook.kubeconfig"
    with WebhookServer() as gone:
        KubeConfig(gone.url("/authorize"), gone.ca_pem).write(kubeconfig)
    path = tmp_path / "authorization.yaml"
    only = [{"expression": "request.user == 'jane'"}]
    settings = webhook(kubeconfig, failurePolicy="Deny", timeout="1s", matchConditions=only)
    path.write_bytes(document(settings, {"type": "AlwaysAllow", "name": "all"}))
    with Harness(tmp_path, f"--authorization-config={path}") as api:
        assert api.request("GET", "/api/v1/nodes", user="jane").status == 403
        assert api.request("GET", "/api/v1/nodes", headers={"Impersonate-User": "joe"}).status == 200


def test_flags_that_contradict_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(document(RBAC))
    flags = (f"--authorization-config={tmp_path}/a.yaml", "--authorization-mode=RBAC")
    with pytest.raises(RuntimeError, match="can not be specified"), Harness(tmp_path, *flags):
        pass


def metrics(api: Harness) -> str:
    lines = api.request("GET", "/metrics").raw.decode().splitlines()
    return "\n".join(line for line in lines if "authorization_config_controller" in line)

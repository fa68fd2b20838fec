"""The audit of a server: what its file and its webhook say of what clients have done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs.kubeconfig import KubeConfig
from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.apiserver.webhook_server import WebhookServer

Object = dict[str, Any]

POLICY: Object = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
        {
            "level": "Request",
            "omitStages": ["RequestReceived"],
            "resources": [{"group": "", "resources": ["pods"]}],
        },
        {
            "level": "RequestResponse",
            "omitManagedFields": True,
            "resources": [{"group": "", "resources": ["configmaps"]}],
        },
        {"level": "Metadata", "omitStages": ["RequestReceived"]},
    ],
}
DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def webhook() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        server.whole = lambda sent: (200, b"{}")
        yield server


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, webhook: WebhookServer) -> Iterator[Harness]:
    directory: Path = tmp_path_factory.mktemp("audited")
    (directory / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    KubeConfig(webhook.url("/audit"), webhook.ca_pem).write(directory / "webhook.kubeconfig")
    flags = (
        f"--audit-policy-file={directory}/policy.yaml",
        f"--audit-log-path={directory}/audit.log",
        f"--audit-webhook-config-file={directory}/webhook.kubeconfig",
        "--audit-webhook-batch-max-wait=50ms",
    )
    with Harness(directory, *flags) as harness:
        yield harness


def events(api: Harness, audit_id: str) -> list[Object]:
    lines = (api.directory / "audit.log").read_text().splitlines()
    found = [json.loads(line) for line in lines if audit_id in line]
    return [event for event in found if event["auditID"] == audit_id]


def complete(api: Harness, audit_id: str) -> list[Object]:
    """The events of a request that has been answered; the last may come a moment after the answer."""

    def ended() -> list[Object]:
        found = events(api, audit_id)
        return found if found and found[-1]["stage"] == "ResponseComplete" else []

    return until(ended)


def until(condition: Callable[[], Any]) -> Any:
    ends = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < ends, "in vain"
        time.sleep(0.01)
    return found


CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def test_a_create_is_recorded_whole(audited: Harness) -> None:
    sent = {"metadata": {"name": "whole"}, "data": {"a": "b"}}
    headers = {"User-Agent": "tester/1", "X-Forwarded-For": "10.1.2.3"}
    answer = audited.request("POST", CONFIG_MAPS + "?fieldManager=me", sent, headers=headers)
    received, done = complete(audited, answer.headers["audit-id"])
    assert received["stage"] == "RequestReceived"
    assert "requestObject" not in received
    assert done["requestURI"] == CONFIG_MAPS + "?fieldManager=me"
    assert (done["level"], done["verb"]) == ("RequestResponse", "create")
    assert done["user"]["username"] == "admin"
    assert done["user"]["groups"] == ["system:masters", "system:authenticated"]
    assert done["sourceIPs"] == ["10.1.2.3", "127.0.0.1"]
    assert done["userAgent"] == "tester/1"
    about = {"resource": "configmaps", "namespace": "default", "apiVersion": "v1", "name": "whole"}
    assert done["objectRef"] == about
    assert done["responseStatus"] == {"metadata": {}, "code": 201}
    assert done["requestObject"] == sent
    assert done["responseObject"]["metadata"]["uid"]
    assert "managedFields" not in done["responseObject"]["metadata"]
    assert done["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert done["requestReceivedTimestamp"] <= done["stageTimestamp"]


def test_secrets_are_recorded_without_what_is_in_them(audited: Harness) -> None:
    body = {"metadata": {"name": "hidden"}, "stringData": {"password": "correct horse"}}
    answer = audited.request("POST", "/api/v1/namespaces/default/secrets", body)
    done = complete(audited, answer.headers["audit-id"])[-1]
    assert done["level"] == "Metadata"
    assert "requestObject" not in done
    assert "correct horse" not in (audited.directory / "audit.log").read_text()


def test_protobuf_and_yaml_are_recorded_as_json(audited: Harness) -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: by-yaml}\n"
    answer = audited.request("POST", CONFIG_MAPS, manifest, {"Content-Type": "application/yaml"})
    assert complete(audited, answer.headers["audit-id"])[-1]["requestObject"]["metadata"] == {
        "name": "by-yaml"
    }
    accept = {"Accept": "application/vnd.kubernetes.protobuf"}
    read = audited.request("GET", CONFIG_MAPS + "/by-yaml", headers=accept)
    done = complete(audited, read.headers["audit-id"])[-1]
    assert done["responseObject"]["metadata"]["name"] == "by-yaml"


def test_a_refusal_says_why(audited: Harness) -> None:
    answer = audited.request("GET", "/api/v1/namespaces/default/pods/a", user="jane")
    (done,) = complete(audited, answer.headers["audit-id"])
    status = done["responseStatus"]
    assert (status["code"], status["reason"], status["status"]) == (403, "Forbidden", "Failure")
    assert done["annotations"]["authorization.k8s.io/decision"] == "forbid"


def test_a_bad_credential_is_recorded(audited: Harness) -> None:
    headers = {"Authorization": "Bearer nonsense"}
    answer = audited.request("GET", "/api/v1/nodes", headers=headers, user="")
    assert answer.status == 401
    (event,) = events(audited, answer.headers["audit-id"])
    assert event["stage"] == "ResponseStarted"
    assert event["responseStatus"]["code"] == 401


def test_impersonation_names_both(audited: Harness) -> None:
    answer = audited.request("GET", "/version", headers={"Impersonate-User": "joe"})
    (done,) = complete(audited, answer.headers["audit-id"])
    assert done["user"]["username"] == "admin"
    assert done["impersonatedUser"] == {"username": "joe", "groups": ["system:authenticated"]}


def test_a_watch_is_recorded_when_it_begins_and_when_it_ends(audited: Harness) -> None:
    path = "/api/v1/namespaces/default/pods?watch=true&timeoutSeconds=1"
    answer = audited.request("GET", path)
    found = complete(audited, answer.headers["audit-id"])
    assert [event["stage"] for event in found] == ["ResponseStarted", "ResponseComplete"]


def test_the_client_may_name_the_request(audited: Harness) -> None:
    answer = audited.request("GET", "/api/v1/nodes", headers={"Audit-ID": "mine-1"})
    assert answer.headers["audit-id"] == "mine-1"
    assert complete(audited, "mine-1")


def test_headers_that_are_no_text(audited: Harness) -> None:
    """Bytes outside of UTF-8 are recorded escaped; they name no request."""
    odd = b"\xff\xfe"
    with closing(audited.connection()) as connection:
        connection.putrequest("GET", CONFIG_MAPS + "?limit=" + "9" * 5000)
        for name in ("User-Agent", "X-Forwarded-For", "Audit-ID"):
            connection.putheader(name, odd)
        connection.endheaders()
        response = connection.getresponse()
        assert response.read()
        wanted = response.headers["Audit-ID"]
    assert response.status in (200, 400)
    assert len(wanted) == 36
    assert complete(audited, wanted)[-1]["userAgent"] == "\udcff\udcfe"


def test_pod_security_notes_violations(audited: Harness) -> None:
    labels = {"pod-security.kubernetes.io/audit": "restricted"}
    audited.create("/api/v1/namespaces", {"metadata": {"name": "strict", "labels": labels}})
    audited.create("/api/v1/namespaces/strict/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    answer = audited.request("POST", "/api/v1/namespaces/strict/pods", pod)
    assert answer.status == 201
    done = complete(audited, answer.headers["audit-id"])[-1]
    violations = done["annotations"]["pod-security.kubernetes.io/audit-violations"]
    assert "allowPrivilegeEscalation" in violations


def test_the_webhook_has_the_same(audited: Harness, webhook: WebhookServer) -> None:
    answer = audited.request("DELETE", CONFIG_MAPS + "/whole")
    wanted = answer.headers["audit-id"]

    def posted() -> list[Object]:
        items = [item for review in list(webhook.reviews) for item in review["items"]]
        return [item for item in items if item["auditID"] == wanted and item["stage"] == "ResponseComplete"]

    (event,) = until(posted)
    assert event == complete(audited, wanted)[-1]
    assert webhook.reviews[-1]["kind"] == "EventList"


class Blocked:
    """A server whose audit events are posted one by one, to a webhook that answers with `status`."""

    def __init__(self, directory: Path, mode: str) -> None:
        self.hook = WebhookServer()
        self.status = 200
        self.hook.whole = lambda sent: (self.status, b"{}")
        (directory / "policy.yaml").write_text(yaml.safe_dump(POLICY))
        KubeConfig(self.hook.url("/audit"), self.hook.ca_pem).write(directory / "webhook.kubeconfig")
        self.flags = (
            f"--audit-policy-file={directory}/policy.yaml",
            f"--audit-webhook-config-file={directory}/webhook.kubeconfig",
            f"--audit-webhook-mode={mode}",
            "--audit-webhook-initial-backoff=1ms",
        )

    def stages(self, audit_id: str) -> list[str]:
        items = [item for review in list(self.hook.reviews) for item in review["items"]]
        return [item["stage"] for item in items if item["auditID"] == audit_id]


@pytest.mark.parametrize("mode", ["blocking", "blocking-strict"])
def test_a_webhook_that_is_waited_for(tmp_path: Path, mode: str) -> None:
    blocked = Blocked(tmp_path, mode)
    with blocked.hook, Harness(tmp_path, *blocked.flags) as api:
        answer = api.request("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})
        assert answer.status == 201
        # The answer has not been sent before the last of its events was taken.
        assert blocked.stages(answer.headers["audit-id"]) == ["RequestReceived", "ResponseComplete"]
        assert {len(review["items"]) for review in blocked.hook.reviews} == {1}
        watched = api.request("GET", CONFIG_MAPS + "?watch=true&timeoutSeconds=1")
        until(lambda: len(blocked.stages(watched.headers["audit-id"])) == 3)
        blocked.status = 500
        answer = api.request("POST", CONFIG_MAPS, {"metadata": {"name": "b"}})
        if mode == "blocking":
            assert answer.status == 201
        else:
            assert answer.status == 500
            assert "failed to store audit event" in answer.body["message"]
        blocked.status = 200
        expected = 200 if mode == "blocking" else 404
        assert api.request("GET", CONFIG_MAPS + "/b").status == expected


def test_a_file_that_must_be_written(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    flags = (
        f"--audit-policy-file={tmp_path}/policy.yaml",
        "--audit-log-path=/dev/full",
        "--audit-log-mode=blocking-strict",
        "--audit-log-maxsize=0",
    )
    with Harness(tmp_path, *flags) as api:
        refused = api.request("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})
        assert refused.status == 500
        assert "failed to store audit event" in refused.body["message"]
        assert api.request("GET", "/api/v1/nodes").status == 200  # its arrival is not recorded, by the policy


def test_without_a_policy_there_is_an_id_and_no_file(api: Harness) -> None:
    assert api.request("GET", "/version").headers["audit-id"]
    assert api.request("GET", "/nowhere").headers["audit-id"]


def test_a_bad_policy_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        "kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: All}]\n"
    )
    flags = (f"--audit-policy-file={tmp_path}/policy.yaml", f"--audit-log-path={tmp_path}/audit.log")
    with pytest.raises(RuntimeError, match="Unsupported value"), Harness(tmp_path, *flags):
        pass

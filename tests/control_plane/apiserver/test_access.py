"""Who gets in and who may what, over HTTP on a real server: credentials, roles, nodes, admission."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.control_plane.apiserver.harness import Answer, Harness

Object = dict[str, Any]
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def core(namespace: str, resource: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/{resource}" + (f"/{name}" if name else "")


def pod(name: str, **spec: Any) -> Object:
    containers = spec.pop("containers", [{"name": "c", "image": "busybox"}])
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def token_of(api: Harness, namespace: str, **spec: Any) -> str:
    answer = api.create(core(namespace, "serviceaccounts/default/token"), {"spec": spec})
    return str(answer["status"]["token"])


def with_token(api: Harness, token: str, path: str) -> Answer:
    return api.request("GET", path, headers={"Authorization": f"Bearer {token}"}, user="")


def whoami(api: Harness, headers: dict[str, str] | None = None, user: str = "admin") -> Object:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = api.request("POST", path, {}, headers, user=user)
    assert answer.status == 201, answer.body
    return answer.body["status"]["userInfo"]


class TestCredentials:
    def test_certificate(self, api: Harness) -> None:
        who = whoami(api, user="jane")
        assert (who["username"], who["groups"]) == ("jane", ["developers", "system:authenticated"])

    def test_anonymous_sees_health_and_no_more(self, api: Harness) -> None:
        assert api.request("GET", "/livez", user="").status == 200
        refused = api.request("GET", "/api/v1/pods", user="")
        assert refused.status == 403
        assert refused.body["message"] == (
            'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the '
            "cluster scope"
        )

    def test_a_bad_token_is_unauthorized(self, api: Harness) -> None:
        answer = with_token(api, "nonsense", "/api")
        assert (answer.status, answer.body["reason"]) == (401, "Unauthorized")

    def test_a_service_account(self, api: Harness, namespace: str) -> None:
        token = token_of(api, namespace)
        headers = {"Authorization": f"Bearer {token}"}
        who = whoami(api, headers, user="")
        assert who["username"] == f"system:serviceaccount:{namespace}:default"
        assert with_token(api, token, core(namespace, "pods")).status == 403

    def test_a_pods_token_ends_with_the_pod(self, api: Harness, namespace: str) -> None:
        api.create(core(namespace, "pods"), pod("p"))
        token = token_of(api, namespace, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p"})
        assert with_token(api, token, "/api").status == 200
        api.request("DELETE", core(namespace, "pods", "p") + "?gracePeriodSeconds=0")
        assert with_token(api, token, "/api").status == 401

    def test_a_bootstrap_token(self, api: Harness) -> None:
        plain = {
            "token-id": "abcdef",
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true",
        }
        data = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret = {
            "metadata": {"name": "bootstrap-token-abcdef"},
            "type": "bootstrap.kubernetes.io/token",
            "data": data,
        }
        api.create(core("kube-system", "secrets"), secret)
        who = whoami(api, {"Authorization": "Bearer abcdef.0123456789abcdef"}, user="")
        assert who["username"] == "system:bootstrap:abcdef"
        assert "system:bootstrappers" in who["groups"]


class TestImpersonation:
    def test_an_admin_acts_as_anyone(self, api: Harness) -> None:
        who = whoami(api, {"Impersonate-User": "bob", "Impersonate-Group": "ops"})
        assert (who["username"], who["groups"]) == ("bob", ["ops", "system:authenticated"])

    def test_others_do_not(self, api: Harness) -> None:
        refused = api.request("GET", "/api", headers={"Impersonate-User": "admin"}, user="jane")
        assert refused.status == 403
        assert refused.body["message"] == (
            'users "admin" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the '
            "cluster scope"
        )


class TestRoles:
    def bind(self, api: Harness, namespace: str, role: str) -> None:
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
        path = f"{RBAC}/namespaces/{namespace}/rolebindings"
        api.create(path, {"metadata": {"name": role}, "roleRef": reference, "subjects": [subject]})

    def test_a_binding_counts_at_once(self, api: Harness, namespace: str) -> None:
        path = core(namespace, "pods")
        assert api.request("GET", path, user="jane").status == 403
        self.bind(api, namespace, "view")
        assert api.request("GET", path, user="jane").status == 200
        assert api.request("POST", path, pod("p"), user="jane").status == 403
        assert api.request("GET", core(namespace, "secrets"), user="jane").status == 403
        self.bind(api, namespace, "edit")
        assert api.request("POST", path, pod("p"), user="jane").status == 201

    def test_an_admin_of_a_namespace_gives_no_more_than_that(self, api: Harness, namespace: str) -> None:
        self.bind(api, namespace, "admin")
        path = f"{RBAC}/namespaces/{namespace}/roles"
        mine = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
        assert (
            api.request("POST", path, {"metadata": {"name": "a"}, "rules": [mine]}, user="jane").status == 201
        )
        more = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["delete"]}
        refused = api.request("POST", path, {"metadata": {"name": "b"}, "rules": [more]}, user="jane")
        assert refused.status == 403
        assert "is attempting to grant RBAC permissions not currently held:\n" in refused.body["message"]
        assert '{APIGroups:[""], Resources:["nodes"], Verbs:["delete"]}' in refused.body["message"]

    def test_rules_review(self, api: Harness, namespace: str) -> None:
        self.bind(api, namespace, "view")
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        answer = api.request("POST", path, {"spec": {"namespace": namespace}}, user="jane")
        rules = answer.body["status"]["resourceRules"]
        assert any("pods" in rule["resources"] and "get" in rule["verbs"] for rule in rules)
        assert not any("secrets" in rule["resources"] for rule in rules)


class TestNode:
    def test_a_node_is_itself_and_nobody_else(self, api: Harness) -> None:
        labels = {"kubernetes.io/hostname": "node-1"}
        own = {"metadata": {"name": "node-1", "labels": labels}}
        user = "node-1"
        assert api.request("POST", "/api/v1/nodes", own, user=user).status in (201, 409)
        assert api.request("GET", "/api/v1/nodes/node-1", user=user).status == 200
        other = api.request("POST", "/api/v1/nodes", {"metadata": {"name": "evil"}}, user=user)
        assert other.status == 403
        assert 'is not allowed to modify node "evil"' in other.body["message"]
        taints = {"spec": {"taints": []}}
        merge = {"Content-Type": "application/merge-patch+json"}
        patched = api.request("PATCH", "/api/v1/nodes/node-1", json.dumps(taints).encode(), merge, user=user)
        assert "is not allowed to modify taints" in patched.body["message"]

    def test_a_node_reads_what_its_pods_need(self, api: Harness, namespace: str) -> None:
        for name in ("needed", "foreign"):
            api.create(core(namespace, "secrets"), {"metadata": {"name": name}})
        volume = {"name": "v", "secret": {"secretName": "needed"}}
        api.create(core(namespace, "pods"), pod("p", nodeName="node-1", volumes=[volume]))
        assert api.request("GET", core(namespace, "secrets", "needed"), user="node-1").status == 200
        refused = api.request("GET", core(namespace, "secrets", "foreign"), user="node-1")
        assert refused.status == 403
        assert "no relationship found between node 'node-1' and this object" in refused.body["message"]
        listed = api.request("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1", user="node-1")
        assert listed.status == 200
        assert api.request("GET", "/api/v1/pods", user="node-1").status == 403


class TestAdmission:
    def test_a_pod_is_completed(self, api: Harness, namespace: str) -> None:
        spec = api.create(core(namespace, "pods"), pod("p"))["spec"]
        assert spec["serviceAccountName"] == "default"
        assert spec["volumes"][0]["name"].startswith("kube-api-access-")
        assert spec["priority"] == 0
        assert {t["key"] for t in spec["tolerations"]} == {
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        }

    def test_quota_gives_out_just_what_there_is(self, api: Harness, namespace: str) -> None:
        api.create(
            core(namespace, "resourcequotas"),
            {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "5"}}},
        )

        def create(index: int) -> Answer:
            return api.request("POST", core(namespace, "configmaps"), {"metadata": {"name": f"c{index}"}})

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(create, range(16)))
        assert sorted(a.status for a in answers) == [201] * 5 + [403] * 11
        refused = next(a for a in answers if a.status == 403)
        assert refused.body["message"].endswith(
            "is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=5, limited: configmaps=5"
        )
        assert api.get(core(namespace, "resourcequotas", "q"))["status"]["used"] == {"configmaps": "5"}

    def test_limit_ranges(self, api: Harness, namespace: str) -> None:
        limit = {"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "500m"}}
        api.create(core(namespace, "limitranges"), {"metadata": {"name": "l"}, "spec": {"limits": [limit]}})
        made = api.create(core(namespace, "pods"), pod("p"))
        assert made["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m"}
        greedy = [{"name": "c", "image": "x", "resources": {"limits": {"cpu": "2"}}}]
        refused = api.request("POST", core(namespace, "pods"), pod("q", containers=greedy))
        assert refused.body["message"] == (
            'pods "q" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
        )

    def test_pod_security(self, api: Harness, namespace: str) -> None:
        labels = {"pod-security.kubernetes.io/enforce": "baseline"}
        merge = {"Content-Type": "application/merge-patch+json"}
        body = json.dumps({"metadata": {"labels": labels}}).encode()
        api.request("PATCH", f"/api/v1/namespaces/{namespace}", body, merge)
        privileged = [{"name": "c", "image": "x", "securityContext": {"privileged": True}}]
        refused = api.request("POST", core(namespace, "pods"), pod("p", containers=privileged))
        assert 'violates PodSecurity "baseline:latest": privileged' in refused.body["message"]

    @pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
    def test_some_namespaces_stay(self, api: Harness, name: str) -> None:
        refused = api.request("DELETE", f"/api/v1/namespaces/{name}")
        assert (
            refused.body["message"] == f'namespaces "{name}" is forbidden: this namespace may not be deleted'
        )

    def test_system_priority_classes(self, api: Harness) -> None:
        path = "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical"
        assert api.get(path)["value"] == 2000001000


def test_keys_for_others_to_verify_tokens(api: Harness, namespace: str) -> None:
    token = token_of(api, namespace)
    headers = {"Authorization": f"Bearer {token}"}
    keys = api.request("GET", "/openid/v1/jwks", headers=headers, user="").body["keys"]
    assert keys[0]["kty"] == "EC"
    document = api.request("GET", "/.well-known/openid-configuration", headers=headers, user="").body
    assert document["issuer"] == "https://kubernetes.default.svc"

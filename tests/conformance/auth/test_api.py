"""test/e2e/auth/certificates.go, service_accounts.go, subjectreviews.go, selfsubjectreviews.go"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conformance import crds, operations
from tests.conformance.client import Client, Resource
from tests.conformance.workload import pod_spec
from tests.e2e.conftest import until

Object = dict[str, Any]


def signing_request(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def test_certificate_signing_requests(client: Client, dynamic: Client) -> None:
    """[sig-auth] Certificates API should support CSR API operations"""
    group, plural = "certificates.k8s.io", "certificatesigningrequests"
    operations.discoverable(client, group, "v1", plural, f"{plural}/approval", f"{plural}/status")
    of = client.of(f"{group}/v1", plural, "CertificateSigningRequest")
    signer = f"example.com/{crds.unique('e2e')}"
    template = {
        "spec": {
            "request": signing_request("e2e-test"),
            "signerName": signer,
            "expirationSeconds": 3600,
            "usages": ["digital signature", "key encipherment", "client auth"],
        }
    }

    def condition(kind: str) -> Object:
        return {"type": kind, "status": "True", "reason": "E2E", "message": "Set from an e2e test"}

    def check(resource: Resource, obj: Object) -> None:
        name = obj["metadata"]["name"]
        assert [each["metadata"]["name"] for each in resource.list(fieldSelector=f"spec.signerName={signer}")]
        approval = dynamic.of(f"{group}/v1", plural, "CertificateSigningRequest").get(name, "approval")
        assert approval["metadata"]["uid"] == obj["metadata"]["uid"]
        patch = {
            "metadata": {"annotations": {"patchedapproval": "true"}},
            "status": {"conditions": [condition("ApprovalPatch")]},
        }
        patched = resource.patch(name, patch, subresource="approval")
        assert patched["status"]["conditions"][0]["type"] == "ApprovalPatch"
        assert patched["metadata"]["annotations"]["patchedapproval"] == "true"

        def approve(found: Object) -> None:
            found["status"]["conditions"].append(condition("Approved"))

        approved = resource.change(name, approve, "approval")
        assert [each["type"] for each in approved["status"]["conditions"]] == ["ApprovalPatch", "Approved"]
        certificate = base64.b64encode(PEM).decode()
        patch = {
            "metadata": {"annotations": {"patchedstatus": "true"}},
            "status": {"certificate": certificate},
        }
        issued = resource.patch(name, patch, subresource="status")
        assert issued["status"]["certificate"] == certificate
        assert issued["metadata"]["annotations"]["patchedstatus"] == "true"

        def update(found: Object) -> None:
            found["status"]["conditions"].append(condition("StatusUpdate"))

        updated = resource.change(name, update, "status")
        assert len(updated["status"]["conditions"]) == 3
        assert resource.get(name, "status")["status"]["certificate"] == certificate

    operations.walk(of, template, before_deleting=check)


def _certificate() -> bytes:
    from certs.ca import CertificateAuthority

    return CertificateAuthority.create("e2e").cert_pem


PEM = _certificate()


def accounts(client: Client, namespace: str) -> Resource:
    return client.of("v1", "serviceaccounts", "ServiceAccount", namespace)


def test_life_of_a_service_account(client: Client, namespace: str) -> None:
    """[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount"""
    of = accounts(client, namespace)
    labels = {"test-serviceaccount-static": namespace}
    selector = f"test-serviceaccount-static={namespace}"
    made = of.create({"metadata": {"name": "testserviceaccount", "labels": labels}})
    assert of.get("testserviceaccount")["metadata"]["uid"] == made["metadata"]["uid"]
    with of.watch(labelSelector=selector, timeoutSeconds="180", resourceVersion="") as events:
        events.until("ADDED")
        patch = {"metadata": {"creationTimestamp": None}, "automountServiceAccountToken": False}
        of.patch("testserviceaccount", patch, "strategic")
        events.until("MODIFIED")
        [found] = of.everywhere().list(labelSelector=selector)
        assert found["automountServiceAccountToken"] is False
        of.delete_collection()
        events.until("DELETED")


def test_token_and_its_review(client: Client, namespace: str) -> None:
    """[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview"""
    of = accounts(client, namespace)
    of.create({"metadata": {"name": "e2e-sa"}})
    kinds = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    token = of.post("e2e-sa", "token", kinds)["status"]["token"]
    assert token
    reviews = client.of("authentication.k8s.io/v1", "tokenreviews", "TokenReview")
    status = reviews.create({"metadata": {"name": "e2e-sa"}, "spec": {"token": token}})["status"]
    assert status["authenticated"] is True
    assert not status.get("error")
    assert status["user"]["username"] == f"system:serviceaccount:{namespace}:e2e-sa"


def test_update_a_service_account(client: Client, namespace: str) -> None:
    """[sig-auth] ServiceAccounts should update a ServiceAccount"""
    of = accounts(client, namespace)
    made = of.create({"metadata": {"name": "e2e-sa"}, "automountServiceAccountToken": False})
    assert made["automountServiceAccountToken"] is False
    updated = of.change("e2e-sa", lambda obj: obj.update(automountServiceAccountToken=True))
    assert updated["automountServiceAccountToken"] is True


def test_root_certificates(client: Client, namespace: str) -> None:
    """[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace"""
    of = client.of("v1", "configmaps", "ConfigMap", namespace)
    name = "kube-root-ca.crt"
    of.delete(name, gracePeriodSeconds=0)
    until("it is made again", lambda: of.exists(name))
    of.update({"metadata": {"name": name}, "data": {"ca.crt": ""}})
    until("it is mended", lambda: of.get(name)["data"]["ca.crt"])


@pytest.mark.parametrize("account", [None, True, False], ids=lambda value: f"account-{value}")
@pytest.mark.parametrize("spec", [None, True, False], ids=lambda value: f"pod-{value}")
def test_opting_out_of_tokens(
    client: Client, namespace: str, account: bool | None, spec: bool | None
) -> None:
    """[sig-auth] ServiceAccounts should allow opting out of API token automount"""
    more = {} if account is None else {"automountServiceAccountToken": account}
    accounts(client, namespace).create({"metadata": {"name": "mount"}, **more})
    asked = {} if spec is None else {"automountServiceAccountToken": spec}
    pods = client.of("v1", "pods", "Pod", namespace)
    made = pods.create({"metadata": {"name": "pod"}, "spec": pod_spec(serviceAccountName="mount", **asked)})
    mounts = [each["mountPath"] for each in made["spec"]["containers"][0].get("volumeMounts") or ()]
    expected = spec if spec is not None else account is not False
    assert ("/var/run/secrets/kubernetes.io/serviceaccount" in mounts) is expected


def test_issuer_discovery(client: Client, namespace: str) -> None:
    """[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account
    issuer: what the pod of that test asks for"""
    token = accounts(client, namespace).post(
        "default",
        "token",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": ["oidc-discovery-test"], "expirationSeconds": 600},
        },
    )["status"]["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    document = client.get("/.well-known/openid-configuration")
    assert document["issuer"] == claims["iss"]
    assert claims["aud"] == ["oidc-discovery-test"]
    assert document["response_types_supported"] == ["id_token"]
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    keys = client.get("/openid/v1/jwks")["keys"]
    assert header["kid"] in [each["kid"] for each in keys]


def impersonating(user: str, uid: str, groups: list[str]) -> dict[str, str]:
    """A header for each group: their names differ in capitals alone, since a dict has no name twice."""
    names = ("Impersonate-Group", "impersonate-group", "IMPERSONATE-GROUP")
    return {"Impersonate-User": user, "Impersonate-Uid": uid, **dict(zip(names, groups, strict=True))}


@pytest.mark.parametrize("bound", [False, True], ids=["may not", "may"])
def test_subject_reviews(client: Client, namespace: str, bound: bool) -> None:
    """[sig-auth] SubjectReview should support SubjectReview API operations"""
    uid = accounts(client, namespace).create({"metadata": {"name": "e2e"}})["metadata"]["uid"]
    user = f"system:serviceaccount:{namespace}:e2e"
    groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    authorization = "rbac.authorization.k8s.io"
    if bound:
        client.of(f"{authorization}/v1", "rolebindings", "RoleBinding", namespace).create(
            {
                "metadata": {"name": "view"},
                "roleRef": {"apiGroup": authorization, "kind": "ClusterRole", "name": "view"},
                "subjects": [{"apiGroup": authorization, "kind": "Group", "name": groups[2]}],
            }
        )
    attributes = {"verb": "list", "resource": "configmaps", "version": "v1", "namespace": namespace}
    spec = {"resourceAttributes": attributes, "user": user, "groups": groups, "uid": uid}
    group = "authorization.k8s.io/v1"
    reviews = client.of(group, "subjectaccessreviews", "SubjectAccessReview")

    def allowed() -> bool:
        return bool(reviews.create({"spec": spec})["status"]["allowed"])

    until("the binding counts", lambda: allowed() is bound)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    code, _, _ = client.raw("GET", path, headers=impersonating(user, uid, groups))
    assert code == (200 if bound else 403)
    local = client.of(group, "localsubjectaccessreviews", "LocalSubjectAccessReview", namespace)
    answered = local.create({"metadata": {"namespace": namespace}, "spec": {**spec, "user": "e2e"}})
    assert answered["status"]["allowed"] is bound


def test_self_subject_review(client: Client) -> None:
    """[sig-auth] SelfSubjectReview should support SelfSubjectReview API operations"""
    operations.discoverable(client, "authentication.k8s.io", "v1", "selfsubjectreviews")
    review = client.of("authentication.k8s.io/v1", "selfsubjectreviews", "SelfSubjectReview").create({})
    assert "system:authenticated" in review["status"]["userInfo"]["groups"]
    assert review["status"]["userInfo"]["username"]

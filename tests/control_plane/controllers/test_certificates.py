"""Certificate requests from approval to clean-up, bootstrap tokens, and tokens in Secrets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certs.ca import CertificateAuthority
from control_plane.api.meta import rfc3339
from control_plane.client.gvr import (
    CERTIFICATE_SIGNING_REQUESTS,
    CONFIGMAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from control_plane.controllers import bootstrap_tokens
from control_plane.controllers.certificates import CertificateCleaner, CertificateSigner, approver, cleaner
from control_plane.controllers.certificates import request as requests
from control_plane.controllers.context import Options
from control_plane.controllers.controller import Controller
from control_plane.controllers.main import Manager
from control_plane.controllers.serviceaccount_token import ServiceAccountTokenController
from tests.control_plane.controllers.objects import NOW, Obj
from tests.control_plane.fakeapi import FakeApi
from tests.control_plane.virtual_clock import VirtualClock

KEY = ec.generate_private_key(ec.SECP256R1())
CLIENT_USAGES = ("digital signature", "key encipherment", "client auth")
SERVER_USAGES = ("digital signature", "server auth")


def pkcs10(common_name: str, organizations: Sequence[str] = (), names: Sequence[str] = ()) -> str:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        builder = builder.add_extension(alternative, critical=False)
    pem = builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(pem).decode()


def request(signer: str, content: str, usages: Sequence[str], *conditions: str, **spec: Any) -> Obj:
    made = [{"type": each, "status": "True", "lastUpdateTime": rfc3339(NOW)} for each in conditions]
    return {
        "metadata": {"name": "r", "uid": "uid-r", "creationTimestamp": rfc3339(NOW)},
        "spec": {"signerName": signer, "request": content, "usages": list(usages), **spec},
        "status": {"conditions": made} if made else {},
    }


NODE = ("system:node:n1", ("system:nodes",))


@pytest.mark.parametrize(
    ("signer", "content", "usages", "why"),
    [
        pytest.param(requests.CLIENT, ("jane", ("devs",)), CLIENT_USAGES, "", id="client"),
        pytest.param(requests.CLIENT, ("jane",), SERVER_USAGES, "usages did not match", id="client serves"),
        pytest.param(requests.KUBELET_CLIENT, NODE, CLIENT_USAGES, "", id="kubelet client"),
        pytest.param(requests.KUBELET_CLIENT, NODE, CLIENT_USAGES[::2], "", id="without encipherment"),
        pytest.param(
            requests.KUBELET_CLIENT, ("system:node:n1", ("system:masters",)), CLIENT_USAGES,
            "subject organization is not system:nodes", id="another group",
        ),
        pytest.param(
            requests.KUBELET_CLIENT, ("root", ("system:nodes",)), CLIENT_USAGES,
            "subject common name does not begin with system:node:", id="another name",
        ),
        pytest.param(
            requests.KUBELET_CLIENT, (*NODE, ("n1",)), CLIENT_USAGES,
            "DNS or IP subjectAltNames are not allowed", id="client with a DNS name",
        ),
        pytest.param(requests.KUBELET_SERVING, (*NODE, ("n1",)), SERVER_USAGES, "", id="kubelet serving"),
        pytest.param(
            requests.KUBELET_SERVING, NODE, SERVER_USAGES, "DNS or IP subjectAltName is required", id="no name"
        ),
    ],
)  # fmt: skip
def test_what_a_signer_signs(signer: str, content: tuple[Any, ...], usages: Sequence[str], why: str) -> None:
    made = request(signer, pkcs10(*content), usages)
    found = requests.refusal(signer, requests.subject_of(made), usages)
    assert found.startswith(why)
    assert bool(found) == bool(why)


@pytest.mark.parametrize(
    ("signer", "username", "expected"),
    [
        (requests.KUBELET_CLIENT, "system:bootstrap:abc", ["nodeclient"]),
        (requests.KUBELET_CLIENT, "system:node:n1", ["selfnodeclient", "nodeclient"]),
        (requests.CLIENT, "system:node:n1", []),
    ],
)
def test_what_must_be_allowed_for_approval(signer: str, username: str, expected: list[str]) -> None:
    made = request(signer, pkcs10(*NODE), CLIENT_USAGES, username=username)
    assert [subresource for subresource, _ in approver.permissions(made)] == expected


@pytest.mark.parametrize(
    ("conditions", "certificate", "due_in_s"),
    [
        pytest.param((), None, 24 * 3600, id="undecided"),
        pytest.param(("Denied",), None, 3600, id="denied"),
        pytest.param(("Approved", "Failed"), None, 3600, id="failed"),
        pytest.param(("Approved",), None, 24 * 3600, id="approved, not signed"),
        pytest.param(("Approved",), "bm90IG9uZQ==", 3600, id="signed"),
    ],
)
def test_clean_up(conditions: Sequence[str], certificate: str | None, due_in_s: float) -> None:
    made = request(requests.CLIENT, "", (), *conditions)
    if certificate:
        made["status"]["certificate"] = certificate
    assert cleaner.due_in_s(made, NOW) == due_in_s


@asynccontextmanager
async def loops(
    api: FakeApi, clock: VirtualClock, options: Options, *wanted: type[Controller]
) -> AsyncIterator[None]:
    manager = Manager(api.client(clock=clock), options, list(wanted))
    running = asyncio.ensure_future(manager.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.stop()


async def test_signed_when_approved_and_gone_an_hour_later() -> None:
    api, clock = FakeApi(), VirtualClock()
    options = Options(signing_authority=CertificateAuthority.create("test"))
    good = request(
        requests.CLIENT, pkcs10("jane", ["devs"]), CLIENT_USAGES, "Approved", expirationSeconds=3600
    )
    bad = request(requests.CLIENT, pkcs10("jane"), SERVER_USAGES, "Approved")
    other = request("example.com/mine", pkcs10("jane"), CLIENT_USAGES, "Approved")
    for name, made in (("good", good), ("bad", bad), ("other", other)):
        made["metadata"] = {**made["metadata"], "name": name, "uid": f"uid-{name}"}
        api.create(CERTIFICATE_SIGNING_REQUESTS, made)
    async with loops(api, clock, options, CertificateSigner, CertificateCleaner):
        await clock.advance(1)
        signed = (api.get(CERTIFICATE_SIGNING_REQUESTS, "good") or {})["status"]["certificate"]
        certificate = x509.load_pem_x509_certificate(base64.b64decode(signed))
        assert certificate.subject.rfc4514_string() == "CN=jane,O=devs"
        refused = (api.get(CERTIFICATE_SIGNING_REQUESTS, "bad") or {})["status"]["conditions"][-1]
        assert (refused["type"], refused["reason"]) == ("Failed", "SignerValidationFailure")
        assert "certificate" not in (api.get(CERTIFICATE_SIGNING_REQUESTS, "other") or {})["status"]
        await clock.advance(2 * 3600)
        assert [each["metadata"]["name"] for each in api.list(CERTIFICATE_SIGNING_REQUESTS)] == ["other"]


def encoded(**data: str) -> dict[str, str]:
    return {key.replace("_", "-"): base64.b64encode(text.encode()).decode() for key, text in data.items()}


def token(name: str, **data: str) -> Obj:
    wanted = {"token_id": name, "token_secret": "s3cret", "usage_bootstrap_signing": "true", **data}
    return {
        "metadata": {"name": f"bootstrap-token-{name}", "namespace": "kube-system"},
        "type": bootstrap_tokens.TOKEN_TYPE,
        "data": encoded(**wanted),
    }


def test_the_signature_is_a_detached_jws() -> None:
    header, content, found = bootstrap_tokens.signature("payload", "abcdef", "s3cret").split(".")
    assert content == ""
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "kid": "abcdef"}
    body = base64.urlsafe_b64encode(b"payload").rstrip(b"=")
    expected = hmac.digest(b"s3cret", header.encode() + b"." + body, hashlib.sha256)
    assert base64.urlsafe_b64decode(found + "=") == expected


async def test_tokens_sign_until_they_run_out() -> None:
    api, clock = FakeApi(), VirtualClock(NOW)
    info = {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "x"}}
    api.create(CONFIGMAPS, info)
    api.create(SECRETS, token("aaaaaa"))
    api.create(SECRETS, token("bbbbbb", expiration=rfc3339(NOW + 60)))
    api.create(SECRETS, token("cccccc", usage_bootstrap_signing="false"))
    controllers = (bootstrap_tokens.BootstrapSigner, bootstrap_tokens.TokenCleaner)
    async with loops(api, clock, Options(), *controllers):
        await clock.advance(1)
        data = (api.get(CONFIGMAPS, "cluster-info", "kube-public") or {})["data"]
        assert set(data) == {"kubeconfig", "jws-kubeconfig-aaaaaa", "jws-kubeconfig-bbbbbb"}
        await clock.advance(120)
        data = (api.get(CONFIGMAPS, "cluster-info", "kube-public") or {})["data"]
        assert set(data) == {"kubeconfig", "jws-kubeconfig-aaaaaa"}
        assert len(api.list(SECRETS)) == 2


async def test_a_secret_gets_its_accounts_token_and_goes_with_it() -> None:
    api, clock = FakeApi(), VirtualClock()
    account = {"metadata": {"name": "robot", "namespace": "default", "uid": "uid-robot"}}
    annotations = {"kubernetes.io/service-account.name": "robot"}
    secret = {
        "metadata": {"name": "its-token", "namespace": "default", "annotations": annotations},
        "type": "kubernetes.io/service-account-token",
    }
    api.create(SERVICE_ACCOUNTS, account)
    api.create(SECRETS, secret)
    options = Options(service_account_key=KEY, root_ca_pem="PEM")
    async with loops(api, clock, options, ServiceAccountTokenController):
        await clock.advance(1)
        data = (api.get(SECRETS, "its-token", "default") or {})["data"]
        assert base64.b64decode(data["ca.crt"]) == b"PEM"
        claims = jwt.decode(base64.b64decode(data["token"]), KEY.public_key(), algorithms=["ES256"])
        assert claims["sub"] == "system:serviceaccount:default:robot"
        assert claims["kubernetes.io/serviceaccount/secret.name"] == "its-token"
        api.delete(SERVICE_ACCOUNTS, "robot", "default")
        await clock.advance(1)
        assert api.list(SECRETS) == []

"""Users and rights that servers outside know: OpenID Connect, token webhooks, authorization webhooks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from certs.kubeconfig import KubeConfig
from control_plane.apiserver.authn.interface import Unauthenticated
from control_plane.apiserver.authn.oidc import OIDCAuthenticator, OIDCOptions, user_of
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authn.webhook import WebhookAuthenticator
from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.authz.webhook import WebhookAuthorizer
from control_plane.apiserver.review_client import ReviewClient
from tests.control_plane.apiserver.authn.issuer import CLIENT, Issuer
from tests.control_plane.apiserver.harness import Harness
from tests.control_plane.apiserver.webhook_server import WebhookServer

Object = dict[str, Any]


async def test_a_token_of_the_issuer(issuer: Issuer, ca_file: Path) -> None:
    options = OIDCOptions(issuer.url, CLIENT, ca_file=ca_file, groups_claim="groups", groups_prefix="oidc:")
    found = await OIDCAuthenticator(options).authenticate_token(issuer.token(groups=["devs"]), ())
    assert found is not None
    assert found.user == UserInfo(f"{issuer.url}#ann", "", ("oidc:devs",))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "somebody else"}, "Audience doesn't match"),
        ({"exp": 1}, "expired"),
        ({"sub": ""}, "claim not present"),
    ],
    ids=["audience", "expired", "nobody"],
)
async def test_tokens_refused(issuer: Issuer, ca_file: Path, claims: Object, why: str) -> None:
    authenticator = OIDCAuthenticator(OIDCOptions(issuer.url, CLIENT, ca_file=ca_file))
    with pytest.raises(Unauthenticated, match=why):
        await authenticator.authenticate_token(issuer.token(**claims), ())


async def test_others_tokens_are_others_business(issuer: Issuer, ca_file: Path) -> None:
    authenticator = OIDCAuthenticator(OIDCOptions("https://elsewhere", CLIENT, ca_file=ca_file))
    assert await authenticator.authenticate_token(issuer.token(), ()) is None
    assert await authenticator.authenticate_token("no token at all", ()) is None


async def test_new_keys_are_looked_up(issuer: Issuer, ca_file: Path) -> None:
    now = [0.0]
    options = OIDCOptions(issuer.url, CLIENT, ca_file=ca_file)
    authenticator = OIDCAuthenticator(options, lambda: now[0])
    await authenticator.authenticate_token(issuer.token(), ())
    issuer.rotate("two")
    with pytest.raises(Unauthenticated, match="no key"):
        await authenticator.authenticate_token(issuer.token("two"), ())
    now[0] = 11.0
    assert await authenticator.authenticate_token(issuer.token("two"), ()) is not None


@pytest.mark.parametrize(
    ("more", "claims", "expected"),
    [
        ({}, {"sub": "a"}, "https://i#a"),
        ({"username_prefix": "-"}, {"sub": "a"}, "a"),
        ({"username_prefix": "p:"}, {"sub": "a"}, "p:a"),
        ({"username_claim": "email"}, {"email": "a@b"}, "a@b"),
        ({"username_claim": "email"}, {"email": "a@b", "email_verified": False}, None),
        ({"required_claims": {"hd": "b"}}, {"sub": "a", "hd": "b"}, "https://i#a"),
        ({"required_claims": {"hd": "b"}}, {"sub": "a", "hd": "c"}, None),
        ({"groups_claim": "g"}, {"sub": "a", "g": 1}, None),
    ],
    ids=["issuer", "no prefix", "prefix", "email", "not verified", "required", "missing", "groups"],
)
def test_claims(more: Object, claims: Object, expected: str | None) -> None:
    options = OIDCOptions("https://i", CLIENT, **more)
    if expected is None:
        with pytest.raises(Unauthenticated):
            user_of(claims, options)
    else:
        assert user_of(claims, options).name == expected


def knows(server: WebhookServer, answer: Callable[[Object], Object]) -> None:
    server.whole = lambda review: (200, json.dumps({**review, "status": answer(review["spec"])}).encode())


def client_of(server: WebhookServer) -> ReviewClient:
    return ReviewClient(KubeConfig(server.url("/review"), server.ca_pem))


async def test_a_token_webhook(server: WebhookServer) -> None:
    def answer(spec: Object) -> Object:
        if spec["token"] != "good":
            return {"authenticated": False, "error": "never seen"} if spec["token"] == "bad" else {}
        user = {"username": "eve", "uid": "7", "groups": ["devs"], "extra": {"k": ["v"]}}
        return {"authenticated": True, "user": user, "audiences": spec["audiences"]}

    knows(server, answer)
    client = client_of(server)
    try:
        authenticator = WebhookAuthenticator(client, ("api",))
        for _ in range(2):
            found = await authenticator.authenticate_token("good", ())
            assert found is not None
            assert found.user == UserInfo("eve", "7", ("devs",), {"k": ("v",)})
        assert len(server.reviews) == 1, "remembered"
        assert server.reviews[0]["kind"] == "TokenReview"
        assert await authenticator.authenticate_token("unknown", ()) is None
        with pytest.raises(Unauthenticated, match="never seen"):
            await authenticator.authenticate_token("bad", ())
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"allowed": True, "reason": "friend"}, (Decision.ALLOW, "friend")),
        ({"allowed": False, "denied": True, "reason": "foe"}, (Decision.DENY, "foe")),
        ({"allowed": False}, (Decision.NO_OPINION, "")),
    ],
    ids=["allowed", "denied", "no opinion"],
)
async def test_an_authorization_webhook(
    server: WebhookServer, status: Object, expected: tuple[Decision, str]
) -> None:
    knows(server, lambda spec: status)
    client = client_of(server)
    try:
        authorizer = WebhookAuthorizer(client)
        asked = Attributes(UserInfo("ann", groups=("g",)), "get", "apps", "v1", "deployments", namespace="ns")
        assert await authorizer.authorize(asked) == expected
        assert await authorizer.authorize(asked) == expected
    finally:
        await client.close()
    assert len(server.reviews) == 1, "remembered"
    assert server.reviews[0]["spec"] == {
        "user": "ann",
        "groups": ["g"],
        "resourceAttributes": {
            "namespace": "ns",
            "verb": "get",
            "group": "apps",
            "version": "v1",
            "resource": "deployments",
        },
    }


async def test_an_authorization_webhook_that_is_broken(server: WebhookServer) -> None:
    server.whole = lambda review: (400, b"")
    client = client_of(server)
    try:
        asked = Attributes(UserInfo("ann"), "get", path="/metrics")
        assert await WebhookAuthorizer(client).authorize(asked) == (Decision.NO_OPINION, "")
    finally:
        await client.close()


def test_all_of_it_in_a_server(tmp_path: Path, server: WebhookServer, issuer: Issuer, ca_file: Path) -> None:
    """A user of the issuer's and one of the token webhook's; what they may the authorization webhook says."""

    def answer(spec: Object) -> Object:
        if "token" in spec:
            return {"authenticated": spec["token"] == "t", "user": {"username": "eve"}}
        attributes = spec.get("resourceAttributes", {})
        return {"allowed": attributes.get("resource") == "configmaps", "reason": "only config maps"}

    knows(server, answer)
    config = tmp_path / "webhook.kubeconfig"
    KubeConfig(server.url("/review"), server.ca_pem).write(config)
    flags = (
        f"--oidc-issuer-url={issuer.url}",
        f"--oidc-client-id={CLIENT}",
        f"--oidc-ca-file={ca_file}",
        "--oidc-username-prefix=oidc:",
        f"--authentication-token-webhook-config-file={config}",
        "--authorization-mode=RBAC,Webhook",
        f"--authorization-webhook-config-file={config}",
    )
    with Harness(tmp_path, *flags) as api:
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        for token, name in ((issuer.token(), "oidc:ann"), ("t", "eve")):
            headers = {"Authorization": f"Bearer {token}"}
            answered = api.request("POST", path, {}, headers=headers, user="")
            assert answered.status == 201, answered.raw
            assert answered.body["status"]["userInfo"]["username"] == name
            maps = api.request("GET", "/api/v1/configmaps", headers=headers, user="")
            assert maps.status == 200
            secrets = api.request("GET", "/api/v1/secrets", headers=headers, user="")
            assert secrets.status == 403
            assert "only config maps" in secrets.body["message"]
        nobody = api.request("GET", "/api/v1/configmaps", headers={"Authorization": "Bearer x"}, user="")
        assert nobody.status == 401

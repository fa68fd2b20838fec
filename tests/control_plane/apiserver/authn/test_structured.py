"""AuthenticationConfiguration: several issuers, claims by CEL, anonymous paths, reloading."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane.apiserver import cel
from control_plane.apiserver.authn.claim_mapping import CLAIMS, USER, ClaimMapping, Rule, Source, user_of
from control_plane.apiserver.authn.configuration import BadAuthentication, load
from control_plane.apiserver.authn.interface import Unauthenticated
from control_plane.apiserver.authn.user import UserInfo
from tests.control_plane.apiserver.authn.test_outside import CLIENT, Issuer
from tests.control_plane.apiserver.harness import Answer, Harness
from tests.control_plane.apiserver.webhook_server import WebhookServer

Object = dict[str, Any]
DEADLINE_S = 15.0


def claims(text: str) -> cel.Program:
    return cel.compile_expression(text, CLAIMS)


def rule(text: str, variables: Any, message: str = "") -> Rule:
    return Rule(text, cel.compile_expression(text, variables), message)


NAMED = Source("sub", "oidc:")
GIVEN = {
    "sub": "ann",
    "email": "a@b",
    "email_verified": True,
    "groups": ["x", "y"],
    "team": {"name": "t"},
    "n": 1,
}


@pytest.mark.parametrize(
    ("mapping", "user"),
    [
        (ClaimMapping(NAMED), UserInfo("oidc:ann")),
        (ClaimMapping(NAMED, Source("groups", "g:")), UserInfo("oidc:ann", "", ("g:x", "g:y"))),
        (ClaimMapping(Source(expression=claims("'u:' + claims.sub"))), UserInfo("u:ann")),
        (
            ClaimMapping(NAMED, Source(expression=claims("claims.groups.map(g, 'p:' + g)"))),
            UserInfo("oidc:ann", "", ("p:x", "p:y")),
        ),
        (
            ClaimMapping(NAMED, Source(expression=claims("claims.team.name"))),
            UserInfo("oidc:ann", "", ("t",)),
        ),
        (ClaimMapping(NAMED, uid=Source("sub")), UserInfo("oidc:ann", "ann")),
        (
            ClaimMapping(NAMED, extra={"a.b/c": claims("claims.email"), "a.b/d": claims("''")}),
            UserInfo("oidc:ann", extra={"a.b/c": ("a@b",)}),
        ),
        (
            ClaimMapping(NAMED, user_rules=[rule("!user.username.startsWith('system:')", USER)]),
            UserInfo("oidc:ann"),
        ),
        (
            ClaimMapping(NAMED, claim_rules=[rule("claims.?email_verified.orValue(false)", CLAIMS)]),
            UserInfo("oidc:ann"),
        ),
    ],
    ids=["claim", "groups", "expression", "list", "nested", "uid", "extra", "user rule", "claim rule"],
)
def test_mapping(mapping: ClaimMapping, user: UserInfo) -> None:
    assert user_of(GIVEN, mapping) == user


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        (ClaimMapping(Source("name")), "claim not present"),
        (ClaimMapping(Source(expression=claims("claims.name"))), "no such key"),
        (ClaimMapping(Source(expression=claims("claims.n"))), "must return a string"),
        (ClaimMapping(Source(expression=claims("''"))), "empty username"),
        (ClaimMapping(NAMED, Source(expression=claims("claims.team"))), "list of strings"),
        (ClaimMapping(NAMED, required={"hd": "b"}), "required claim hd not present"),
        (ClaimMapping(NAMED, required={"sub": "eve"}), "value does not match"),
        (ClaimMapping(NAMED, claim_rules=[rule("claims.n == 2", CLAIMS, "no two")]), "no two"),
        (ClaimMapping(NAMED, user_rules=[rule("user.groups.size() > 0", USER)]), "validation expression"),
    ],
    ids=["claim", "key", "type", "empty", "groups", "required", "value", "claim rule", "user rule"],
)
def test_refused(mapping: ClaimMapping, why: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        user_of(GIVEN, mapping)
    assert why in str(caught.value)


ISSUER: Object = {"url": "https://issuer.example.com", "audiences": ["kubernetes"]}
MAPPINGS: Object = {"username": {"claim": "sub", "prefix": ""}}


def document(*issuers: Object, **more: Any) -> bytes:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    return yaml.safe_dump({**head, "jwt": list(issuers), **more}).encode()


def issuer(mappings: Object | None = None, **more: Any) -> Object:
    about = {**ISSUER, **more.pop("issuer", {})}
    return {"issuer": about, "claimMappings": mappings or MAPPINGS, **more}


BAD: list[tuple[bytes, str]] = [
    (b"kind: Other", "no AuthenticationConfiguration"),
    (b"kind: AuthenticationConfiguration\napiVersion: v1", "apiVersion must be"),
    (document(issuer(issuer={"url": "http://a"})), "URL scheme must be https"),
    (document(issuer(issuer={"url": ""})), "jwt[0].issuer.url: Required value"),
    (document(issuer(issuer={"url": "https://own"})), "disallowed issuers"),
    (document(issuer(issuer={"discoveryURL": ISSUER["url"]})), "must be different from URL"),
    (document(issuer(issuer={"audiences": []})), "audiences: Required value"),
    (document(issuer(issuer={"audiences": ["a", "b"]})), "must be MatchAny"),
    (document(issuer(issuer={"certificateAuthority": "x"})), "no certificate"),
    (document(issuer(), issuer()), "Duplicate value"),
    (document(issuer({"username": {}})), "claim or expression is required"),
    (document(issuer({"username": {"claim": "a"}})), "prefix is required"),
    (document(issuer({"username": {"claim": "a", "expression": "b", "prefix": ""}})), "can't both be set"),
    (document(issuer({"username": {"expression": "claims."}})), "compilation failed"),
    (document(issuer({"username": {"expression": "1"}})), "must evaluate to string"),
    (document(issuer({"username": {"expression": "claims.email"}})), "email_verified must be used"),
    (document(issuer({**MAPPINGS, "extra": [{"key": "a", "valueExpression": "''"}]})), "domain-prefixed"),
    (document(issuer({**MAPPINGS, "extra": [{"key": "k8s.io/a", "valueExpression": "''"}]})), "reserved"),
    (document(issuer(claimValidationRules=[{}])), "claim or expression is required"),
    (document(issuer(userValidationRules=[{"expression": "user.nme == ''"}])), "undefined field 'nme'"),
    (document(anonymous={"enabled": False, "conditions": [{"path": "/livez"}]}), "enabled should be set"),
]


@pytest.mark.parametrize(("raw", "why"), BAD, ids=[why for _, why in BAD])
def test_bad_configurations(raw: bytes, why: str) -> None:
    with pytest.raises(BadAuthentication) as caught:
        load(raw, ["https://own"])
    assert why in str(caught.value)


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with WebhookServer() as made:
        yield made


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < ends, "in vain"
        time.sleep(0.05)


def test_over_http(server: WebhookServer, tmp_path: Path) -> None:
    outside = Issuer(server)
    path = tmp_path / "authentication.yaml"

    def write(prefix: str, *paths: str) -> None:
        mappings = {
            "username": {"expression": f"'{prefix}' + claims.sub"},
            "groups": {"expression": "claims.?roles.orValue([])"},
            "extra": [{"key": "example.com/tenant", "valueExpression": "claims.tenant"}],
        }
        entry = {
            "issuer": {
                "url": outside.url,
                "audiences": ["other", CLIENT],
                "audienceMatchPolicy": "MatchAny",
                "certificateAuthority": server.ca_pem.decode(),
            },
            "claimMappings": mappings,
            "claimValidationRules": [{"expression": "claims.tenant != 'evil'", "message": "no evil"}],
            "userValidationRules": [{"expression": "!user.username.startsWith('system:')"}],
        }
        anonymous = {"enabled": True, "conditions": [{"path": each} for each in paths]}
        path.write_bytes(document(entry, anonymous=anonymous))

    write("jwt:", "/livez")
    with Harness(tmp_path, f"--authentication-config={path}") as api:

        def me(**said: Any) -> Answer:
            headers = {"Authorization": f"Bearer {outside.token(**said)}"}
            review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
            return api.request("POST", review, {}, headers=headers, user="")

        found = me(tenant="t", roles=["dev"]).body["status"]["userInfo"]
        assert (found["username"], found["groups"]) == ("jwt:ann", ["dev", "system:authenticated"])
        assert found["extra"]["example.com/tenant"] == ["t"]
        assert me(tenant="evil").status == 401
        assert me().status == 401, "an expression that has no value"
        assert api.request("GET", "/livez", user="").status == 200
        assert api.request("GET", "/healthz", user="").status == 401
        assert api.request("GET", "/version", user="").status == 401
        path.write_text("nonsense")
        until(lambda: 'automatic_reloads_total{status="failure"} 1.0' in metrics(api))
        assert me(tenant="t").status == 201
        write("new:", "/version")
        until(lambda: api.request("GET", "/version", user="").status == 200)
        assert me(tenant="t").body["status"]["userInfo"]["username"] == "new:ann"
        assert api.request("GET", "/livez", user="").status == 401


def metrics(api: Harness) -> str:
    lines = api.request("GET", "/metrics").raw.decode().splitlines()
    return "\n".join(line for line in lines if "authentication_config_controller" in line)


def test_flags_that_contradict_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(document())
    flags = (
        f"--authentication-config={tmp_path}/a.yaml",
        "--oidc-issuer-url=https://a",
        "--oidc-client-id=b",
    )
    with pytest.raises(RuntimeError, match="mutually exclusive"), Harness(tmp_path, *flags):
        pass

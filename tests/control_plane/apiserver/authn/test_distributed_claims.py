"""Groups that the token does not hold, but says where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.apiserver.authn.claim_mapping import ClaimMapping, JWTAuthenticator, Source
from control_plane.apiserver.authn.distributed_claims import source_of
from control_plane.apiserver.authn.external_issuer import TokenIssuer
from control_plane.apiserver.authn.interface import Unauthenticated
from control_plane.apiserver.authn.oidc import OIDCAuthenticator, OIDCOptions
from tests.control_plane.apiserver.authn.issuer import CLIENT, Issuer
from tests.control_plane.apiserver.webhook_server import WebhookServer

Object = dict[str, Any]
NAMES = {"groups": "src"}
SOURCE = {"endpoint": "https://e/groups", "access_token": "t"}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param({}, None, id="nowhere"),
        pytest.param({"groups": ["a"], "_claim_names": NAMES}, None, id="there already"),
        pytest.param({"_claim_names": {"other": "src"}, "_claim_sources": {}}, None, id="another claim"),
        pytest.param({"_claim_names": NAMES, "_claim_sources": {"src": {"JWT": "x"}}}, None, id="aggregated"),
        pytest.param(
            {"_claim_names": NAMES, "_claim_sources": {"src": SOURCE}},
            ("https://e/groups", "t"),
            id="elsewhere",
        ),
        pytest.param(
            {"_claim_names": NAMES, "_claim_sources": {"src": {"endpoint": "https://e"}}},
            ("https://e", ""),
            id="for everybody",
        ),
        pytest.param({"_claim_names": NAMES}, "no claim sources", id="no sources"),
        pytest.param({"_claim_names": "x"}, "error parsing distributed claim names", id="odd names"),
        pytest.param(
            {"_claim_names": NAMES, "_claim_sources": []}, "could not parse claim sources", id="odd sources"
        ),
        pytest.param(
            {"_claim_names": NAMES, "_claim_sources": {}}, "a source src missing in", id="a missing source"
        ),
    ],
)
def test_where_a_claim_is(claims: Object, expected: Any) -> None:
    if isinstance(expected, str):
        with pytest.raises(Unauthenticated, match=expected):
            source_of(claims, "groups")
    else:
        assert source_of(claims, "groups") == expected
    assert source_of(claims, "") is None


@pytest.fixture
def other() -> Iterator[WebhookServer]:
    with WebhookServer() as made:
        yield made


def flags(issuer: Issuer, ca: Path) -> OIDCAuthenticator:
    return OIDCAuthenticator(OIDCOptions(issuer.url, CLIENT, groups_claim="groups", ca_file=ca))


def configured(issuer: Issuer, ca: Path) -> JWTAuthenticator:
    trusted = TokenIssuer(issuer.url, [CLIENT], ca_pem=ca.read_text())
    return JWTAuthenticator(trusted, ClaimMapping(Source("sub", "x:"), Source("groups")))


def pointing(issuer: Issuer, server: WebhookServer) -> str:
    source = {"endpoint": server.url("/groups"), "access_token": "let me in"}
    return issuer.token(_claim_names=NAMES, _claim_sources={"src": source})


@pytest.mark.parametrize("made", [flags, configured])
async def test_groups_of_a_source(
    made: Callable[[Issuer, Path], Any], issuer: Issuer, server: WebhookServer, ca_file: Path
) -> None:
    server.documents["/groups"] = issuer.token(groups=["a", "b"], sub="nobody")
    found = await made(issuer, ca_file).authenticate_token(pointing(issuer, server), ())
    assert found.user.groups == ("a", "b")
    assert found.user.name.endswith("ann")  # nothing else is taken over
    assert server.headers[-1]["Authorization"] == "Bearer let me in"


async def test_a_source_of_another_issuer(
    issuer: Issuer, server: WebhookServer, other: WebhookServer, ca_file: Path
) -> None:
    theirs = Issuer(other)
    ca_file.write_bytes(server.ca_pem + other.ca_pem)
    other.documents["/groups"] = theirs.token(groups=["theirs"])
    authenticator = flags(issuer, ca_file)
    for _ in range(2):
        found = await authenticator.authenticate_token(pointing(issuer, other), ())
        assert found is not None
        assert found.user.groups == ("theirs",)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(
            lambda issuer: None, 'while getting distributed claim "groups": 404', id="nothing there"
        ),
        pytest.param(lambda issuer: "no token", "getting untrusted issuer from endpoint", id="no token"),
        pytest.param(lambda issuer: issuer.token(), "did not contain claim: groups", id="other claims"),
        pytest.param(
            lambda issuer: issuer.token(groups=["a"], aud="x"), "verify token", id="for somebody else"
        ),
        pytest.param(lambda issuer: issuer.token(groups=["a"], exp=1), "verify token", id="expired"),
        pytest.param(
            lambda issuer: issuer.token(groups=["a"], iss=issuer.url + "/nobody"),
            "authenticator not initialized",
            id="an issuer that is not there",
        ),
        pytest.param(
            lambda issuer: issuer.token(groups=["a"])[:-8] + "AAAAAAAA",
            "verify token",
            id="a forged signature",
        ),
    ],
)
async def test_what_a_source_may_not_say(
    answer: Callable[[Issuer], str | None], why: str, issuer: Issuer, server: WebhookServer, ca_file: Path
) -> None:
    said = answer(issuer)
    if said is not None:
        server.documents["/groups"] = said
    with pytest.raises(Unauthenticated, match=why):
        await flags(issuer, ca_file).authenticate_token(pointing(issuer, server), ())

"""Client certificates and the front proxy: whose authority decides what a certificate is good for."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest

from certs.ca import CertificateAuthority
from control_plane.apiserver.authn.build import AuthenticationOptions, build_authenticator
from control_plane.apiserver.authn.front_proxy import FrontProxyAuthenticator
from control_plane.apiserver.authn.interface import Unauthenticated
from control_plane.apiserver.authn.x509 import X509Authenticator, load_authorities
from tests.control_plane.apiserver.authn.fakes import FakeReader, request

CLUSTER = CertificateAuthority.create("cluster")
FRONT_PROXY = CertificateAuthority.create("front-proxy")


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def issued(authority: CertificateAuthority, name: str, *groups: str) -> bytes:
    return der(authority.issue_client(name, list(groups)).cert_pem)


def authorities(authority: CertificateAuthority) -> list:
    return load_authorities(authority.cert_pem)


async def test_the_common_name_is_the_user_and_organizations_are_groups() -> None:
    authenticator = X509Authenticator(authorities(CLUSTER))
    user = await authenticator.authenticate(request(certificate_der=issued(CLUSTER, "ann", "dev", "ops")))
    assert user is not None
    assert (user.name, set(user.groups)) == ("ann", {"dev", "ops"})
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


async def test_another_authority_names_no_user() -> None:
    authenticator = X509Authenticator(authorities(CLUSTER))
    assert await authenticator.authenticate(request(certificate_der=issued(FRONT_PROXY, "ann"))) is None


async def test_a_connection_does_not_outlive_its_certificate() -> None:
    later = X509Authenticator(authorities(CLUSTER), clock=lambda: time.time() + 100 * 365 * 86400)
    with pytest.raises(Unauthenticated, match="expired"):
        await later.authenticate(request(certificate_der=issued(CLUSTER, "ann")))


HEADERS = [
    ("X-Remote-User", "ann"),
    ("X-Remote-Group", "dev"),
    ("X-Remote-Group", "ops"),
    ("X-Remote-Uid", "7"),
    ("X-Remote-Extra-Acme.com%2fProject", "one"),
]


async def test_the_front_proxy_names_the_user() -> None:
    authenticator = FrontProxyAuthenticator(authorities(FRONT_PROXY), ["proxy"])
    user = await authenticator.authenticate(request(HEADERS, issued(FRONT_PROXY, "proxy")))
    assert user is not None
    assert (user.name, user.uid, user.groups) == ("ann", "7", ("dev", "ops"))
    assert user.extra == {"acme.com/project": ("one",)}


@pytest.mark.parametrize("certificate", [None, issued(CLUSTER, "proxy")], ids=["none", "of the cluster"])
async def test_headers_without_the_proxys_certificate_are_ignored(certificate: bytes | None) -> None:
    authenticator = FrontProxyAuthenticator(authorities(FRONT_PROXY), ["proxy"])
    assert await authenticator.authenticate(request(HEADERS, certificate)) is None


async def test_a_proxy_of_another_name_is_refused() -> None:
    authenticator = FrontProxyAuthenticator(authorities(FRONT_PROXY), ["proxy"])
    with pytest.raises(Unauthenticated, match="not allowed"):
        await authenticator.authenticate(request(HEADERS, issued(FRONT_PROXY, "someone")))


@pytest.fixture
def options(tmp_path: Path) -> AuthenticationOptions:
    (tmp_path / "ca.crt").write_bytes(CLUSTER.cert_pem)
    (tmp_path / "proxy.crt").write_bytes(FRONT_PROXY.cert_pem)
    (tmp_path / "tokens.csv").write_text('secret-token,bob,1,"dev,ops"\n')
    return AuthenticationOptions(
        client_ca_file=tmp_path / "ca.crt",
        requestheader_client_ca_file=tmp_path / "proxy.crt",
        token_auth_file=tmp_path / "tokens.csv",
    )


@pytest.mark.parametrize(
    ("headers", "certificate", "name", "groups"),
    [
        pytest.param([], None, "system:anonymous", ("system:unauthenticated",), id="nothing"),
        pytest.param([], issued(CLUSTER, "ann"), "ann", ("system:authenticated",), id="certificate"),
        pytest.param(
            [("Authorization", "Bearer secret-token")],
            None,
            "bob",
            ("dev", "ops", "system:authenticated"),
            id="token",
        ),
        pytest.param(
            [("Authorization", "bearer wrong")],
            issued(CLUSTER, "ann"),
            "ann",
            ("system:authenticated",),
            id="either",
        ),
        pytest.param(HEADERS[:1], issued(FRONT_PROXY, "p"), "ann", ("system:authenticated",), id="proxy"),
        pytest.param(HEADERS[:1], issued(CLUSTER, "eve"), "eve", ("system:authenticated",), id="no proxy"),
        pytest.param(
            [("Authorization", "Basic x")], None, "system:anonymous", ("system:unauthenticated",), id="basic"
        ),
    ],
)
async def test_union(
    options: AuthenticationOptions, headers: list, certificate: bytes | None, name: str, groups: tuple
) -> None:
    authenticator = build_authenticator(options, FakeReader()).authenticator
    user = await authenticator.authenticate(request(headers, certificate))
    assert user is not None
    assert (user.name, user.groups) == (name, groups)


async def test_a_bad_token_is_not_anonymous(options: AuthenticationOptions) -> None:
    authenticator = build_authenticator(options, FakeReader()).authenticator
    with pytest.raises(Unauthenticated, match="invalid bearer token"):
        await authenticator.authenticate(request([("Authorization", "Bearer wrong")]))


async def test_anonymous_can_be_turned_off() -> None:
    off = build_authenticator(AuthenticationOptions(anonymous_auth=False), FakeReader()).authenticator
    assert await off.authenticate(request()) is None

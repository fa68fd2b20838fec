"""Puts the authenticators together from the server's options."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from certs.serviceaccount import load_private_key, load_public_keys
from control_plane.apiserver.admission.interface import Reader, Writer
from control_plane.apiserver.authn.anonymous import AnonymousAuthenticator, AnonymousConfig
from control_plane.apiserver.authn.bearer import BearerAuthenticator
from control_plane.apiserver.authn.bootstrap_token import BootstrapTokenAuthenticator
from control_plane.apiserver.authn.front_proxy import FrontProxyAuthenticator, FrontProxyHeaders
from control_plane.apiserver.authn.interface import Authenticator, TokenAuthenticator
from control_plane.apiserver.authn.oidc import OIDCAuthenticator, OIDCOptions
from control_plane.apiserver.authn.service_account_tokens import ServiceAccountAuthenticator
from control_plane.apiserver.authn.token_file import TokenFileAuthenticator, parse_token_file
from control_plane.apiserver.authn.token_issuer import TokenIssuer, TokenRequests
from control_plane.apiserver.authn.token_signatures import TokenSignatures
from control_plane.apiserver.authn.token_usage import TokenUsage
from control_plane.apiserver.authn.union import UnionAuthenticator
from control_plane.apiserver.authn.webhook import DEFAULT_TTL_S, WebhookAuthenticator
from control_plane.apiserver.authn.x509 import X509Authenticator, load_authorities
from control_plane.apiserver.review_client import ReviewClient

if TYPE_CHECKING:
    from control_plane.apiserver.authn.structured import StructuredAuthentication

DEFAULT_ISSUER = "https://kubernetes.default.svc"


@dataclass(frozen=True, slots=True)
class AuthenticationOptions:
    """The fields are kube-apiserver's flags of the same name."""

    client_ca_file: Path | None = None
    requestheader_client_ca_file: Path | None = None
    requestheader_allowed_names: Sequence[str] = ()
    requestheader_headers: FrontProxyHeaders = field(default_factory=FrontProxyHeaders)
    service_account_key_files: Sequence[Path] = ()  # public keys; may hold several during a rotation
    service_account_signing_key_file: Path | None = None
    service_account_issuers: Sequence[str] = (DEFAULT_ISSUER,)  # the first one signs
    service_account_max_token_expiration_s: int = 0
    service_account_extend_token_expiration: bool = True
    api_audiences: Sequence[str] = ()  # () means the issuers
    token_auth_file: Path | None = None
    enable_bootstrap_token_auth: bool = True
    anonymous_auth: bool = True
    oidc: OIDCOptions | None = None
    authentication_config_file: Path | None = None
    token_webhook_config_file: Path | None = None
    token_webhook_version: str = "v1"  # noqa: S105 - a version of the API
    token_webhook_cache_ttl_s: float = DEFAULT_TTL_S

    @property
    def audiences(self) -> tuple[str, ...]:
        return tuple(self.api_audiences or self.service_account_issuers)


@dataclass(frozen=True, slots=True)
class Authentication:
    """What the apiserver needs of this package."""

    authenticator: UnionAuthenticator  # every request: `await authenticate(request)` -> UserInfo | None (401)
    tokens: BearerAuthenticator  # TokenReview: `await authenticate_token(token, audiences)`
    token_requests: TokenRequests | None  # the `token` subresource; None without a signing key
    public_keys: tuple[ec.EllipticCurvePublicKey, ...]  # for the OIDC documents
    token_webhook: ReviewClient | None  # to be closed at the end
    issuer: str
    structured: StructuredAuthentication | None = None


def build_authenticator(
    options: AuthenticationOptions,
    reader: Reader,
    clock: Callable[[], float] = time.time,
    writer: Writer | None = None,
) -> Authentication:
    """Reads the files of the options. Order as in kube-apiserver: front proxy, certificate, tokens,
    anonymous. `writer`: to note which tokens of Secrets are used."""
    keys = _public_keys(options)
    config_file = options.token_webhook_config_file
    webhook = ReviewClient.load(config_file) if config_file is not None else None
    structured = _structured(options)
    usage = TokenUsage(writer, clock) if writer is not None else None
    found = _token_authenticators(options, keys, reader, webhook, structured, clock, usage)
    bearer = BearerAuthenticator(found)
    authenticators: list[Authenticator] = []
    if options.requestheader_client_ca_file is not None:
        authorities = load_authorities(options.requestheader_client_ca_file.read_bytes())
        names, headers = options.requestheader_allowed_names, options.requestheader_headers
        authenticators.append(FrontProxyAuthenticator(authorities, names, headers, clock))
    if options.client_ca_file is not None:
        authenticators.append(X509Authenticator(load_authorities(options.client_ca_file.read_bytes()), clock))
    authenticators.append(bearer)
    anonymous = AnonymousAuthenticator(AnonymousConfig(options.anonymous_auth))
    if structured is not None:
        anonymous = structured.anonymous
    return Authentication(
        UnionAuthenticator(authenticators, anonymous),
        bearer,
        _token_requests(options, reader, clock),
        tuple(keys),
        webhook,
        options.service_account_issuers[0],
        structured,
    )


def _structured(options: AuthenticationOptions) -> StructuredAuthentication | None:
    """Raises BadAuthentication."""
    path = options.authentication_config_file
    if path is None:
        return None
    # loads the compiler of CEL, which a server without expressions does not need
    from control_plane.apiserver.authn.structured import StructuredAuthentication

    return StructuredAuthentication(path, options.service_account_issuers, options.anonymous_auth)


def _token_authenticators(
    options: AuthenticationOptions,
    keys: Sequence[ec.EllipticCurvePublicKey],
    reader: Reader,
    webhook: ReviewClient | None,
    structured: StructuredAuthentication | None,
    clock: Callable[[], float],
    usage: TokenUsage | None,
) -> list[TokenAuthenticator]:
    found: list[TokenAuthenticator] = []
    if options.token_auth_file is not None:
        found.append(TokenFileAuthenticator(parse_token_file(options.token_auth_file.read_text())))
    if keys:
        issuers, audiences = options.service_account_issuers, options.audiences
        signatures = TokenSignatures(keys)
        found.append(ServiceAccountAuthenticator(signatures, issuers, audiences, reader, clock, usage))
    if options.enable_bootstrap_token_auth:
        found.append(BootstrapTokenAuthenticator(reader, clock))
    if options.oidc is not None:
        found.append(OIDCAuthenticator(options.oidc))
    if structured is not None:
        found.append(structured)
    if webhook is not None:
        version, ttl_s = options.token_webhook_version, options.token_webhook_cache_ttl_s
        found.append(WebhookAuthenticator(webhook, options.audiences, version, ttl_s))
    return found


def _public_keys(options: AuthenticationOptions) -> list[ec.EllipticCurvePublicKey]:
    keys = [key for path in options.service_account_key_files for key in load_public_keys(path)]
    if not keys and options.service_account_signing_key_file is not None:
        keys = [load_private_key(options.service_account_signing_key_file).public_key()]
    return keys


def _token_requests(
    options: AuthenticationOptions, reader: Reader, clock: Callable[[], float]
) -> TokenRequests | None:
    if options.service_account_signing_key_file is None:
        return None
    key = load_private_key(options.service_account_signing_key_file)
    return TokenRequests(
        TokenIssuer(key, options.service_account_issuers[0], clock),
        options.audiences,
        reader,
        options.service_account_max_token_expiration_s,
        options.service_account_extend_token_expiration,
    )

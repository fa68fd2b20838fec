"""OpenID Connect by flags: tokens that one issuer outside has signed (`--oidc-issuer-url` and its kin).

Claims become the user: by default `sub` with the issuer before it, so that nobody outside can call themselves by a
name of the cluster's own. Several issuers, and more of what becomes of claims: `--authentication-config`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from control_plane.apiserver.authn.distributed_claims import DistributedClaim
from control_plane.apiserver.authn.external_issuer import Claims, TokenIssuer
from control_plane.apiserver.authn.interface import TokenResult, Unauthenticated
from control_plane.apiserver.authn.user import UserInfo


@dataclass(frozen=True, slots=True)
class OIDCOptions:
    """The fields are kube-apiserver's `--oidc-` flags."""

    issuer_url: str
    client_id: str
    username_claim: str = "sub"
    username_prefix: str = ""  # "" means the issuer, unless the claim is `email`; "-" means none
    groups_claim: str = ""
    groups_prefix: str = ""
    required_claims: Mapping[str, str] = field(default_factory=dict)
    ca_file: Path | None = None
    signing_algorithms: Sequence[str] = ("RS256",)


class OIDCAuthenticator:
    def __init__(self, options: OIDCOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        ca_pem = options.ca_file.read_text() if options.ca_file is not None else ""
        audiences, algorithms = [options.client_id], options.signing_algorithms
        self._issuer = TokenIssuer(options.issuer_url, audiences, algorithms, ca_pem, clock=clock)
        self._groups = DistributedClaim(options.groups_claim, self._issuer)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenResult | None:
        """None for a token of another issuer, or none at all."""
        claims = await self._issuer.claims(token)
        if claims is None:
            return None
        return TokenResult(user_of(await self._groups.expanded(claims), self._options), tuple(audiences))


def user_of(claims: Claims, options: OIDCOptions) -> UserInfo:
    """Pure. Raises Unauthenticated for claims that name no user, or lack what is required."""
    name = claims.get(options.username_claim)
    if not isinstance(name, str) or not name:
        raise Unauthenticated(f"oidc: parse username claims {options.username_claim!r}: claim not present")
    if options.username_claim == "email" and claims.get("email_verified", True) is not True:
        raise Unauthenticated("oidc: email not verified")
    for claim, wanted in options.required_claims.items():
        if claims.get(claim) != wanted:
            raise Unauthenticated(f"oidc: required claim {claim} value does not match")
    return UserInfo(_username_prefix(options) + name, "", _groups(claims, options), {})


def _username_prefix(options: OIDCOptions) -> str:
    if options.username_prefix == "-":
        return ""
    if options.username_prefix or options.username_claim == "email":
        return options.username_prefix
    return f"{options.issuer_url}#"


def _groups(claims: Claims, options: OIDCOptions) -> tuple[str, ...]:
    given = claims.get(options.groups_claim) if options.groups_claim else None
    if given is None:
        return ()
    groups = [given] if isinstance(given, str) else given
    if not isinstance(groups, list) or not all(isinstance(each, str) for each in groups):
        raise Unauthenticated(f"oidc: parse groups claim {options.groups_claim!r}: not a list of strings")
    return tuple(options.groups_prefix + each for each in groups)

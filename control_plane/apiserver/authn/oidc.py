"""OpenID Connect: tokens that an issuer outside has signed (`--oidc-issuer-url` and its kin).

The issuer's keys are found through its discovery document when the first token comes, and looked for again when a
token names a key that is not among them (no more often than every REFRESH_S, so that forged tokens cost the issuer
nothing). Claims become the user: by default `sub` with the issuer before it, so that nobody outside can call
themselves by a name of the cluster's own.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import orjson

from control_plane.apiserver.authn.interface import TokenResult, Unauthenticated
from control_plane.apiserver.authn.user import UserInfo

REFRESH_S = 10.0
FETCH_TIMEOUT_S = 10.0
MAX_DOCUMENT_SIZE_BYTES = 1024 * 1024
CLOCK_SKEW_S = 10

Claims = Mapping[str, Any]


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
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._fetched_s = float("-inf")
        self._fetching = asyncio.Lock()

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenResult | None:
        """None for a token of another issuer, or none at all."""
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return None
        if claims.get("iss") != self._options.issuer_url:
            return None
        key = await self._key(str(header.get("kid") or ""))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self._options.signing_algorithms),
                audience=self._options.client_id,
                issuer=self._options.issuer_url,
                leeway=CLOCK_SKEW_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"oidc: verify token: {error}") from error
        return TokenResult(user_of(claims, self._options), tuple(audiences))

    async def _key(self, key_id: str) -> Any:
        """Raises Unauthenticated."""
        if key_id not in self._keys:
            async with self._fetching:
                if key_id not in self._keys and self._clock() - self._fetched_s >= REFRESH_S:
                    self._fetched_s = self._clock()
                    self._keys = await self._fetch()
        if key_id in self._keys:
            return self._keys[key_id]
        if not key_id and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        raise Unauthenticated("oidc: failed to verify signature: no key of the issuer's has this id")

    async def _fetch(self) -> dict[str, Any]:
        """Raises Unauthenticated."""
        url = self._options.issuer_url.rstrip("/") + "/.well-known/openid-configuration"
        try:
            async with self._session() as session:
                found = await _document(session, url)
                if found.get("issuer") != self._options.issuer_url:
                    raise Unauthenticated(f"oidc: the issuer calls itself {found.get('issuer')!r}")
                keys = jwt.PyJWKSet.from_dict(await _document(session, str(found.get("jwks_uri"))))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, jwt.PyJWTError) as error:
            raise Unauthenticated(f"oidc: authenticator not initialized: {error}") from error
        return {key.key_id or "": key for key in keys.keys}

    def _session(self) -> aiohttp.ClientSession:
        """Of this one look-up: they are rare."""
        ca_file = self._options.ca_file
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context),
            timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S),
        )


async def _document(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Raises ValueError, aiohttp.ClientError, OSError, TimeoutError."""
    async with session.get(url) as response:
        response.raise_for_status()
        body = await response.content.read(MAX_DOCUMENT_SIZE_BYTES)
        while not response.content.at_eof() and len(body) < MAX_DOCUMENT_SIZE_BYTES:
            body += await response.content.read(MAX_DOCUMENT_SIZE_BYTES - len(body))
    value = orjson.loads(body)
    if not isinstance(value, dict):
        raise ValueError(f"{url} holds no object")
    return value


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

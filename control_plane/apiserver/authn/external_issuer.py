"""Tokens of an issuer outside: who has signed them, and whether they are for us.

The issuer's keys are found through its discovery document when the first token comes, and looked for again when a
token names a key that is not among them (no more often than every REFRESH_S, so that forged tokens cost the issuer
nothing).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
import jwt
import orjson

from control_plane.apiserver.authn.interface import Unauthenticated

REFRESH_S = 10.0
FETCH_TIMEOUT_S = 10.0
MAX_DOCUMENT_SIZE_BYTES = 1024 * 1024
CLOCK_SKEW_S = 10
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")

Claims = Mapping[str, Any]


class TokenIssuer:
    """`audiences`: one of them must be among the token's. `discovery_url`: instead of the well-known one."""

    def __init__(
        self,
        url: str,
        audiences: Sequence[str],
        algorithms: Sequence[str] = ALGORITHMS,
        ca_pem: str = "",
        discovery_url: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._audiences = list(audiences)
        self._algorithms = list(algorithms)
        self._ca_pem = ca_pem
        self._discovery_url = discovery_url or url.rstrip("/") + "/.well-known/openid-configuration"
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._fetched_s = float("-inf")
        self._fetching = asyncio.Lock()

    def like(self, url: str) -> TokenIssuer:
        """Another issuer, trusted and judged as this one."""
        return TokenIssuer(url, self._audiences, self._algorithms, self._ca_pem, clock=self._clock)

    async def fetch(self, url: str, bearer: str = "") -> bytes:
        """Raises ValueError, aiohttp.ClientError, OSError, TimeoutError."""
        async with self._session() as session:
            return await _body(session, url, {"Authorization": f"Bearer {bearer}"} if bearer else {})

    async def claims(self, token: str) -> Claims | None:
        """What the token says; None for one of another issuer, or none at all. Raises Unauthenticated."""
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return None
        if claims.get("iss") != self.url:
            return None
        key = await self._key(str(header.get("kid") or ""))
        try:
            verified: Claims = jwt.decode(
                token,
                key,
                algorithms=self._algorithms,
                audience=self._audiences,
                issuer=self.url,
                leeway=CLOCK_SKEW_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"oidc: verify token: {error}") from error
        return verified

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
        try:
            async with self._session() as session:
                found = await _document(session, self._discovery_url)
                if found.get("issuer") != self.url:
                    raise Unauthenticated(f"oidc: the issuer calls itself {found.get('issuer')!r}")
                keys = jwt.PyJWKSet.from_dict(await _document(session, str(found.get("jwks_uri"))))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, jwt.PyJWTError) as error:
            raise Unauthenticated(f"oidc: authenticator not initialized: {error}") from error
        return {key.key_id or "": key for key in keys.keys}

    def _session(self) -> aiohttp.ClientSession:
        """Of this one look-up: they are rare."""
        context = ssl.create_default_context(cadata=self._ca_pem or None)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context),
            timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S),
        )


async def _document(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Raises ValueError, aiohttp.ClientError, OSError, TimeoutError."""
    value = orjson.loads(await _body(session, url, {}))
    if not isinstance(value, dict):
        raise ValueError(f"{url} holds no object")
    return value


async def _body(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> bytes:
    async with session.get(url, headers=headers) as response:
        response.raise_for_status()
        body = await response.content.read(MAX_DOCUMENT_SIZE_BYTES)
        while not response.content.at_eof() and len(body) < MAX_DOCUMENT_SIZE_BYTES:
            body += await response.content.read(MAX_DOCUMENT_SIZE_BYTES - len(body))
    return body

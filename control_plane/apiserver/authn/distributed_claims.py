"""Groups that a token does not hold, but says where to find (OpenID Connect Core 1.0 §5.6.2): Entra ID's answer to
users of very many groups.

The source answers with a token of its own, whose issuer is found and whose signature, audience and time are checked
as for any token. Whatever else that token says is not taken over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import aiohttp
import jwt

from control_plane.apiserver.authn.external_issuer import Claims, TokenIssuer
from control_plane.apiserver.authn.interface import Unauthenticated

MAX_ISSUERS = 32  # whose keys are kept; of more, those that were asked for longest ago are looked up again
NAMES, SOURCES = "_claim_names", "_claim_sources"


class DistributedClaim:
    """One claim by name ("" is none) of the tokens of `issuer`."""

    def __init__(self, claim: str, issuer: TokenIssuer) -> None:
        self._claim = claim
        self._issuer = issuer
        self._issuers: OrderedDict[str, TokenIssuer] = OrderedDict()

    async def expanded(self, claims: Claims) -> Claims:
        """The claims of a verified token with this one among them, if it has a source. Raises Unauthenticated."""
        found = source_of(claims, self._claim)
        if found is None:
            return claims
        url, access_token = found
        try:
            token = (await self._issuer.fetch(url, access_token)).decode().strip()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unauthenticated(
                f'oidc: while getting distributed claim "{self._claim}": {error}'
            ) from error
        theirs = await self._verified(token, url)
        if self._claim not in theirs:
            why = f"jwt returned by distributed claim endpoint {url} did not contain claim: {self._claim}"
            raise Unauthenticated(f"oidc: {why}")
        return {**claims, self._claim: theirs[self._claim]}

    async def _verified(self, token: str, url: str) -> Claims:
        try:
            name = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError as error:
            raise Unauthenticated(
                f"oidc: getting untrusted issuer from endpoint {url} failed: {error}"
            ) from error
        theirs = await self._issuer_named(str(name)).claims(token)
        assert theirs is not None, "it is a token of the issuer that it names"
        return theirs

    def _issuer_named(self, name: str) -> TokenIssuer:
        if name == self._issuer.url:
            return self._issuer
        found = self._issuers.pop(name, None) or self._issuer.like(name)
        self._issuers[name] = found
        if len(self._issuers) > MAX_ISSUERS:
            self._issuers.popitem(last=False)
        return found


def source_of(claims: Claims, claim: str) -> tuple[str, str] | None:
    """The URL of the claim and the token to ask with; None where the claim is there, or is nowhere. Pure. Raises
    Unauthenticated."""
    if not claim or claim in claims or NAMES not in claims:
        return None
    names, sources = claims[NAMES], claims.get(SOURCES)
    if not isinstance(names, Mapping):
        raise Unauthenticated("oidc: error parsing distributed claim names")
    if sources is None:
        raise Unauthenticated("oidc: no claim sources")
    if not isinstance(sources, Mapping):
        raise Unauthenticated("oidc: could not parse claim sources")
    name = names.get(claim)
    if name is None:
        return None
    source: Any = sources.get(name)
    if not isinstance(source, Mapping):
        raise Unauthenticated(f"oidc: id token {NAMES} contained a source {name} missing in {SOURCES}")
    url = str(source.get("endpoint") or "")
    return (
        (url, str(source.get("access_token") or "")) if url else None
    )  # the claim may be aggregated, in a JWT

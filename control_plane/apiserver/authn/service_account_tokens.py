"""Authenticates service accounts by their tokens, bound or legacy.

Every request checks the token against the objects as they are now, so deleting a pod, a secret or the account
revokes its tokens at once (bound to what the watch cache has seen). What the cache does not hold is asked of
the store before a token is refused: a new account must be able to speak on the replica that has not seen it
yet.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from control_plane.api import meta
from control_plane.apiserver.admission.interface import Object, Reader
from control_plane.apiserver.authn import service_accounts
from control_plane.apiserver.authn import token_claims as rules
from control_plane.apiserver.authn.interface import TokenResult, Unauthenticated
from control_plane.apiserver.authn.legacy_tokens import INVALID_SINCE
from control_plane.apiserver.authn.token_signatures import TokenSignatures, issuer_of
from control_plane.apiserver.authn.token_usage import TokenUsage


class ServiceAccountAuthenticator:
    """`issuers`: the first is ours, the others are still accepted. `api_audiences`: whom we are."""

    def __init__(
        self,
        signatures: TokenSignatures,
        issuers: Sequence[str],
        api_audiences: Sequence[str],
        reader: Reader,
        clock: Callable[[], float] = time.time,
        usage: TokenUsage | None = None,
    ) -> None:
        self._signatures = signatures
        self._issuers = frozenset(issuers)
        self._api_audiences = tuple(api_audiences)
        self._reader = reader
        self._clock = clock
        self._usage = usage

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenResult | None:
        issuer = issuer_of(token)
        if issuer not in self._issuers and issuer != rules.LEGACY_ISSUER:
            return None
        claims = self._signatures.verify(token)
        if claims is None:
            raise Unauthenticated("invalid signature of a service account token")
        wanted = tuple(audiences) or self._api_audiences
        if issuer == rules.LEGACY_ISSUER:
            return await self._legacy(token, claims, wanted)
        return await self._bound(claims, wanted)

    async def _bound(self, claims: Mapping[str, Any], wanted: Sequence[str]) -> TokenResult:
        now_s = self._clock()
        matching = rules.matching_audiences(rules.audiences_of(claims), wanted)
        rules.check_times(claims, now_s)
        token = rules.BoundToken.read(claims)
        rules.check_account(
            await self._get("serviceaccounts", token.namespace, token.account.name), token, now_s
        )
        if token.secret is not None:
            secret = await self._get("secrets", token.namespace, token.secret.name)
            rules.check_bound_object("secret", secret, token.secret, now_s)
        if token.pod is not None:
            pod = await self._get("pods", token.namespace, token.pod.name)
            rules.check_bound_object("pod", pod, token.pod, now_s)
        elif token.node is not None:  # beside a pod the node is told, not checked: it may go first
            node = await self._get("nodes", "", token.node.name)
            rules.check_bound_object("node", node, token.node, now_s)
        return TokenResult(token.user(), matching)

    async def _legacy(self, text: str, claims: Mapping[str, Any], wanted: Sequence[str]) -> TokenResult:
        token = rules.LegacyToken.read(claims)
        matching = rules.matching_audiences(self._api_audiences, wanted)
        secret = await self._get("secrets", token.namespace, token.secret)
        if secret is None or not _holds(secret, text):
            raise Unauthenticated("service account token has been invalidated")
        if INVALID_SINCE in meta.labels(secret):
            where = f"{token.namespace}/{token.secret}"
            raise Unauthenticated(
                f"the token in secret {where} has been marked invalid. Use tokens from the TokenRequest API, or "
                f"remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            )
        account = await self._get("serviceaccounts", token.namespace, token.account.name)
        bound = rules.BoundToken(token.namespace, token.account)
        rules.check_account(account, bound, self._clock())
        user = service_accounts.user_info(token.namespace, token.account.name, token.account.uid)
        if self._usage is not None:
            self._usage.used(dict(secret))
        return TokenResult(user, matching)

    async def _get(self, resource: str, namespace: str, name: str) -> Object | None:
        cached = self._reader.get("", resource, namespace, name)
        return cached if cached is not None else await self._reader.get_live("", resource, namespace, name)


def _holds(secret: Mapping[str, Any], token: str) -> bool:
    try:
        kept = base64.b64decode((secret.get("data") or {}).get("token", ""))
    except binascii.Error:
        return False
    return hmac.compare_digest(kept, token.encode())

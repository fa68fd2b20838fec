"""Tokens that another server knows (`--authentication-token-webhook-config-file`): one TokenReview per token, its
answer remembered for a while, good or bad."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

from control_plane.apiserver.authn.interface import TokenResult, Unauthenticated
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.memory import Memory
from control_plane.apiserver.review_client import Object, ReviewClient, ReviewFailed

GROUP = "authentication.k8s.io"
DEFAULT_TTL_S = 120.0
MAX_REMEMBERED = 4096


class WebhookAuthenticator:
    def __init__(
        self,
        client: ReviewClient,
        audiences: Sequence[str],
        version: str = "v1",
        ttl_s: float = DEFAULT_TTL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._audiences = tuple(audiences)
        self._version = version
        self._ttl_s = ttl_s
        self._known: Memory[Object] = Memory(MAX_REMEMBERED, clock)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenResult | None:
        wanted = tuple(audiences) or self._audiences
        status = await self._status(token, wanted)
        if not status.get("authenticated"):
            if status.get("error"):
                raise Unauthenticated(str(status["error"]))
            return None
        good_for = tuple(each for each in status.get("audiences") or () if each in wanted)
        if status.get("audiences") and not good_for:
            return None
        return TokenResult(user_of(status.get("user") or {}), good_for)

    async def _status(self, token: str, audiences: tuple[str, ...]) -> Object:
        key = (hashlib.sha256(token.encode()).digest(), audiences)
        known = self._known.get(key)
        if known is not None:
            return known
        spec: Object = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
        review = {"apiVersion": f"{GROUP}/{self._version}", "kind": "TokenReview", "spec": spec}
        try:
            status: Object = (await self._client.ask(review))["status"]
        except ReviewFailed as error:
            raise Unauthenticated(f"the token webhook failed: {error}") from error
        self._known.put(key, status, self._ttl_s)
        return status


def user_of(user: Object) -> UserInfo:
    extra = {str(key): tuple(map(str, values)) for key, values in (user.get("extra") or {}).items()}
    groups = tuple(map(str, user.get("groups") or ()))
    return UserInfo(str(user.get("username") or ""), str(user.get("uid") or ""), groups, extra)

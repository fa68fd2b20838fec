"""Bearer tokens: taken from the request, shown to each token authenticator in turn.

Browsers cannot set a header on a WebSocket; they send the token as a subprotocol instead.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence

from control_plane.apiserver.authn.interface import TokenAuthenticator, TokenResult, Unauthenticated
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.messages import Request

MAX_TOKEN_SIZE_BYTES = 16 * 1024
WEBSOCKET_PREFIX = "base64url.bearer.authorization.k8s.io."


class BearerAuthenticator:
    def __init__(self, authenticators: Sequence[TokenAuthenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, request: Request) -> UserInfo | None:
        token = token_of(request)
        if not token:
            return None
        result = await self.authenticate_token(token, ())
        if result is None:
            raise Unauthenticated("invalid bearer token")
        return result.user

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenResult | None:
        """The first answer; the errors of those who refused it are told only if nobody knows it."""
        if len(token) > MAX_TOKEN_SIZE_BYTES:
            raise Unauthenticated("the bearer token is too long")
        return await first_answer(self._authenticators, token, audiences)


async def first_answer(
    authenticators: Iterable[TokenAuthenticator], token: str, audiences: Sequence[str]
) -> TokenResult | None:
    """Raises Unauthenticated with the errors of those who refused it, if nobody knows it."""
    refused: list[str] = []
    for authenticator in authenticators:
        try:
            result = await authenticator.authenticate_token(token, audiences)
        except Unauthenticated as error:
            refused.append(str(error))
            continue
        if result is not None:
            return result
    if refused:
        raise Unauthenticated("; ".join(refused))
    return None


def token_of(request: Request) -> str:
    """The bearer token of the request, "" if it has none."""
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return _websocket_token(request.headers.get("Sec-WebSocket-Protocol", ""))


def _websocket_token(protocols: str) -> str:
    for protocol in protocols.split(","):
        name = protocol.strip()
        if name.startswith(WEBSOCKET_PREFIX):
            encoded = name.removeprefix(WEBSOCKET_PREFIX)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise Unauthenticated("the WebSocket bearer token cannot be decoded") from error
    return ""

"""What an authenticator is, and what can go wrong.

An authenticator answers None when the request carries nothing that it knows, so that the next one is asked,
and raises Unauthenticated when it carries a credential of its kind that is bad: such a request is answered
401 and never treated as anonymous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.messages import Request


class Unauthenticated(Exception):
    """The credential is bad. The reason is for the server's log; the client reads `Unauthorized`."""


@dataclass(frozen=True, slots=True)
class TokenResult:
    user: UserInfo
    audiences: tuple[str, ...] = ()  # of those asked for, the ones that the token is good for
    warnings: tuple[str, ...] = field(default=())


class Authenticator(Protocol):
    async def authenticate(self, request: Request) -> UserInfo | None: ...


class TokenAuthenticator(Protocol):
    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenResult | None:
        """Whose token it is; None if it is not of this authenticator's kind. Raises Unauthenticated."""

"""Requests without any credential: `system:anonymous` in `system:unauthenticated`."""

from __future__ import annotations

from control_plane.apiserver.authn.user import ALL_UNAUTHENTICATED, ANONYMOUS, UserInfo
from control_plane.apiserver.messages import Request

ANONYMOUS_USER = UserInfo(ANONYMOUS, groups=(ALL_UNAUTHENTICATED,))


class AnonymousAuthenticator:
    async def authenticate(self, request: Request) -> UserInfo | None:
        return ANONYMOUS_USER

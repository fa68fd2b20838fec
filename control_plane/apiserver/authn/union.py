"""All authenticators as one: the first that knows the request answers.

Everyone but the anonymous user is in `system:authenticated`. A bad credential ends in Unauthenticated even
if a later authenticator would let anyone in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from control_plane.apiserver.authn.anonymous import AnonymousAuthenticator
from control_plane.apiserver.authn.interface import Authenticator, Unauthenticated
from control_plane.apiserver.authn.user import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, UserInfo
from control_plane.apiserver.messages import Request


class UnionAuthenticator:
    def __init__(self, authenticators: Sequence[Authenticator], anonymous: AnonymousAuthenticator) -> None:
        self._authenticators = tuple(authenticators)
        self._anonymous = anonymous

    async def authenticate(self, request: Request) -> UserInfo | None:
        refused: list[str] = []
        for authenticator in self._authenticators:
            try:
                user = await authenticator.authenticate(request)
            except Unauthenticated as error:
                refused.append(str(error))
                continue
            if user is not None:
                return with_authenticated_group(user)
        if refused:
            raise Unauthenticated("; ".join(refused))
        return await self._anonymous.authenticate(request)

    def admits_anonymous(self, request: Request) -> bool:
        return self._anonymous.config.admits(request.path)


def with_authenticated_group(user: UserInfo) -> UserInfo:
    """The user in `system:authenticated`, unless it is anonymous or already in one of the two groups."""
    if user.name == ANONYMOUS or {ALL_AUTHENTICATED, ALL_UNAUTHENTICATED} & set(user.groups):
        return user
    return replace(user, groups=(*user.groups, ALL_AUTHENTICATED))

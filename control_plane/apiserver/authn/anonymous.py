"""Requests without any credential: `system:anonymous` in `system:unauthenticated`, where they are let in."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.apiserver.authn.user import ALL_UNAUTHENTICATED, ANONYMOUS, UserInfo
from control_plane.apiserver.messages import Request

ANONYMOUS_USER = UserInfo(ANONYMOUS, groups=(ALL_UNAUTHENTICATED,))


@dataclass(frozen=True, slots=True)
class AnonymousConfig:
    """`paths`: where requests may be anonymous; none are listed where they may everywhere."""

    enabled: bool = True
    paths: frozenset[str] = frozenset()

    def admits(self, path: str) -> bool:
        return self.enabled and (not self.paths or path in self.paths)


class AnonymousAuthenticator:
    """`config` may be replaced at any time."""

    def __init__(self, config: AnonymousConfig) -> None:
        self.config = config

    async def authenticate(self, request: Request) -> UserInfo | None:
        return ANONYMOUS_USER if self.config.admits(request.path) else None

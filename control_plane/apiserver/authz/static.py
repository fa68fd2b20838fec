"""Authorizers that ask nobody: everyone, nobody, and the group that may do all."""

from __future__ import annotations

from control_plane.apiserver.authn.user import PRIVILEGED_GROUP
from control_plane.apiserver.authz.interface import Attributes, Decision


class AlwaysAllow:
    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return Decision.ALLOW, ""


class AlwaysDeny:
    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return Decision.NO_OPINION, "Everything is forbidden."


class PrivilegedGroup:
    """`system:masters` may do everything, whatever the roles say: the way back in when they are broken."""

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        if PRIVILEGED_GROUP in attributes.user.groups:
            return Decision.ALLOW, ""
        return Decision.NO_OPINION, ""

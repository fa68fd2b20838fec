"""Puts the parts of aggregation together, and answers the one question of the request's way: is it another's?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from control_plane.api.discovery import Discovery
from control_plane.api.openapi.served import Additions
from control_plane.apiserver.aggregator import proxy
from control_plane.apiserver.aggregator.controller import Controller, Remotes
from control_plane.apiserver.aggregator.documents import OpenAPIAdditions
from control_plane.apiserver.aggregator.remote import Identity, RemoteClient
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.core import Core
from control_plane.apiserver.egress import Egress
from control_plane.apiserver.messages import Request, Response


@dataclass(frozen=True, slots=True)
class Aggregator:
    core: Core
    controller: Controller
    openapi: OpenAPIAdditions

    async def serve(self, request: Request, group: str, version: str, user: UserInfo) -> Response | None:
        """The answer of the server that the group version belongs to; None when that is this one."""
        remote = self.controller.remotes.current().get((group, version))
        if remote is None:
            return None
        return await proxy.serve(self.core, self.controller.client, remote, request, user)

    async def run(self) -> None:
        """For the life of the server."""
        await self.controller.run()

    async def close(self) -> None:
        await self.controller.client.close()


def aggregator(
    core: Core,
    discovery: Discovery,
    openapi: Additions,
    egress: Egress,
    cert_file: Path | None,
    key_file: Path | None,
) -> Aggregator:
    """Makes the parts, and `core` know of them."""
    additions = OpenAPIAdditions(openapi)
    client = RemoteClient(egress, Identity(cert_file, key_file))
    made = Aggregator(core, Controller(core, Remotes(core), client, discovery, additions), additions)
    core.aggregator = made
    return made

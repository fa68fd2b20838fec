"""Puts the parts that serve custom resources together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from control_plane.apiserver.core import Core
from control_plane.apiserver.crd import definition
from control_plane.apiserver.crd.controller import Controller
from control_plane.apiserver.crd.follower import Follower
from control_plane.apiserver.crd.instances import deleter
from control_plane.apiserver.crd.openapi import CustomDocuments
from control_plane.apiserver.crd.webhook import Client, webhooks

_RULES = definition  # importing it registers the rules of definitions


@dataclass(frozen=True, slots=True)
class CustomResources:
    follower: Follower
    controller: Controller
    documents: CustomDocuments

    async def run(self) -> None:
        """For the life of the server."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.follower.run())
            group.create_task(self.controller.run())


def custom_resources(core: Core, client: Client) -> CustomResources:
    """Makes the parts, and `core` know of them. `client` calls webhooks."""
    documents = CustomDocuments()
    follower = Follower(core, webhooks(client), documents.change)
    core.custom = follower
    return CustomResources(follower, Controller(core, follower, deleter(core)), documents)

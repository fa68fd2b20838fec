"""The chain of an AuthorizationConfiguration, replaced as a whole when the file has changed.

A reload may add, remove and change webhooks and put the chain in another order; Node and RBAC stay what they were,
since the rest of the server was built around them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from certs.errors import CertsError
from control_plane.apiserver.authz.configuration import BadAuthorization, Link, load
from control_plane.apiserver.authz.interface import Attributes, Authorizer, Decision
from control_plane.apiserver.authz.static import PrivilegedGroup
from control_plane.apiserver.authz.union import UnionAuthorizer
from control_plane.apiserver.authz.webhook import WebhookAuthorizer
from control_plane.apiserver.reloading import Reloading, ReloadMetrics
from control_plane.apiserver.review_client import ReviewClient

METRICS = ReloadMetrics("authorization")


class StructuredAuthorizer:
    """`builtin` makes the authorizers that are no webhooks, by their type. Raises BadAuthorization, CertsError."""

    def __init__(self, path: Path, builtin: Callable[[str], Authorizer]) -> None:
        self._builtin = builtin
        self._made: dict[str, Authorizer] = {}
        self._clients: list[ReviewClient] = []
        self._retired: set[asyncio.Task[None]] = set()
        self._chain = UnionAuthorizer(())
        self.modes: tuple[str, ...] = ()
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise BadAuthorization(
                f"cannot read the authorization configuration {path}: {error.strerror}"
            ) from error
        self._use(raw)
        self.reloading = Reloading(path, METRICS, self._use, (BadAuthorization, CertsError))
        self.reloading.start(raw)

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return await self._chain.authorize(attributes)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        await asyncio.gather(*self._retired)

    def _use(self, raw: bytes) -> None:
        links = load(raw)
        modes = tuple(link.type for link in links)
        for fixed in ("Node", "RBAC"):
            if self.modes and (fixed in self.modes) is not (fixed in modes):
                raise BadAuthorization(f"reloading the configuration cannot add or remove {fixed}")
        clients: list[ReviewClient] = []
        authorizers: list[Authorizer] = [PrivilegedGroup()]
        authorizers += [self._authorizer(link, clients) for link in links]
        old, self._clients = self._clients, clients
        self.modes, self._chain = modes, UnionAuthorizer(authorizers)
        for client in old:
            task = asyncio.create_task(client.close())
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    def _authorizer(self, link: Link, clients: list[ReviewClient]) -> Authorizer:
        settings = link.webhook
        if settings is None:
            if link.type not in self._made:
                self._made[link.type] = self._builtin(link.type)
            return self._made[link.type]
        client = ReviewClient.load(settings.config_file, settings.timeout_s)
        clients.append(client)
        return WebhookAuthorizer(
            client,
            settings.version,
            settings.allowed_ttl_s,
            settings.refused_ttl_s,
            denies_on_failure=settings.denies_on_failure,
            conditions=settings.conditions,
        )

"""What every handler works with: the parts of one apiserver, and one request on its way through them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from control_plane.api.registry import Registry, Resource
from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.authn.interface import TokenAuthenticator
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.interface import Authorizer
from control_plane.apiserver.kubelet import KubeletClient
from control_plane.apiserver.messages import Request, Response
from control_plane.apiserver.node_usage import NodeUsages
from control_plane.apiserver.proxy import Proxy
from control_plane.apiserver.routes import RequestInfo
from control_plane.apiserver.services.allocator import ServiceAllocator
from control_plane.apiserver.storage.objects import Objects
from control_plane.apiserver.tunnels import Tunnels
from control_plane.apiserver.watch_cache.cache import ResourceCache
from control_plane.apiserver.watch_cache.feed import Feed
from control_plane.apiserver.watch_cache.freshness import Freshness

Object = dict[str, Any]


class Admission(Protocol):
    async def mutate(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None: ...


class Aggregation(Protocol):
    async def serve(self, request: Request, group: str, version: str, user: UserInfo) -> Response | None:
        """The answer of another server, where the group version is its own."""


class RulesOf(Protocol):
    def status(self, user: UserInfo, namespace: str) -> Object:
        """What the user may do in the namespace: the status of a SelfSubjectRulesReview."""


class CustomResources(Protocol):
    async def refresh(self) -> None:
        """Serve what definitions that were written before the call define. Raises StoreError."""


class TokenIssuer(Protocol):
    async def create(self, account: Object, request: Object) -> Object:
        """A TokenRequest with its status filled in, for a ServiceAccount. Raises StatusError."""


@dataclass(slots=True)
class Core:
    """The parts of one apiserver. `clock` is wall time in seconds; `stopping` ends the watches and tunnels."""

    registry: Registry
    feed: Feed
    freshness: Freshness
    objects: Objects
    admission: Admission
    authorizer: Authorizer
    services: ServiceAllocator
    kubelet: KubeletClient
    tokens: TokenIssuer
    token_authenticator: TokenAuthenticator
    rules_of: RulesOf
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    new_uid: Callable[[], str]
    stopping: asyncio.Event
    draining: asyncio.Event = field(default_factory=asyncio.Event)  # not ready any more, and still serving
    watch_grace_s: float = 0.0  # over how long watches end once the server stops
    tunnels: Tunnels = field(default_factory=Tunnels)
    proxy: Proxy = field(default_factory=Proxy)
    usages: NodeUsages = field(default_factory=NodeUsages)
    custom: CustomResources | None = None
    aggregator: Aggregation | None = None

    def cache(self, resource: Resource) -> ResourceCache:
        return self.feed.cache(resource.storage_group, resource.resource)


@dataclass(slots=True)
class Context:
    """One request for a resource."""

    core: Core
    request: Request
    info: RequestInfo
    user: UserInfo
    resource: Resource
    warnings: list[str] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """The namespace of the object; "" for a cluster-scoped one (a Namespace's request has its own)."""
        return self.info.namespace if self.resource.namespaced else ""

    @property
    def stored_resource(self) -> Resource:
        """The version in which the objects are kept."""
        return self.core.registry.storage(self.resource)

    @property
    def cache(self) -> ResourceCache:
        return self.core.cache(self.resource)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

"""What few kinds do besides: work that must be settled in the same transaction as the write of the object.

Services take and release addresses and ports; a definition of custom resources is held until their instances
are gone. Everything else has no hook. A hook may complete the object; what it
returns is added to the transaction, which fails as a whole when it does not hold.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from control_plane.api.registry import Resource
from control_plane.apiserver.core import Core
from control_plane.apiserver.services import allocator
from control_plane.apiserver.storage.objects import Also

Object = dict[str, Any]

OnCreate = Callable[[Core, Object], Awaitable[Also | None]]
OnUpdate = Callable[[Core, Object, Object], Awaitable[Also | None]]
OnMark = Callable[[Object, float], None]
OnDelete = Callable[[Object], Also | None]


def on_create(resource: Resource) -> OnCreate | None:
    """Takes the core and the new object."""
    return _create_service if resource.group_resource == "services" else None


def on_update(resource: Resource) -> OnUpdate | None:
    """Takes the core, the new object and the old one."""
    return _update_service if resource.group_resource == "services" else None


def on_mark(resource: Resource) -> OnMark | None:
    """Takes the object (a copy) whose deletion begins, and the time in seconds."""
    is_definition = resource.group_resource == "customresourcedefinitions.apiextensions.k8s.io"
    return _begin_cleanup if is_definition else None


def on_delete(resource: Resource) -> OnDelete | None:
    """Takes the object that is removed."""
    return allocator.release if resource.group_resource == "services" else None


def _begin_cleanup(definition: Object, now_s: float) -> None:
    from control_plane.apiserver.crd.cleanup import begin

    begin(definition, now_s)


async def _create_service(core: Core, service: Object) -> Also | None:
    return await core.services.allocate(service, None)


async def _update_service(core: Core, service: Object, old: Object) -> Also | None:
    return await core.services.allocate(service, old)

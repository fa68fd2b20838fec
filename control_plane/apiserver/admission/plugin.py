"""What most plugins are made of: a base that does nothing, what they may use, and how they refuse."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from control_plane.api import errors, meta
from control_plane.api.registry import Registry
from control_plane.apiserver.admission.interface import AdmissionRequest, Kind, Object, Reader, Writer
from control_plane.apiserver.authz.escalation import EscalationCheck
from control_plane.apiserver.authz.interface import Authorizer

if TYPE_CHECKING:  # they are made of what is defined here
    from control_plane.apiserver.admission.webhooks.client import WebhookClient


PODS: Kind = ("", "pods")
CLAIMS: Kind = ("", "persistentvolumeclaims")


class Creator(Protocol):
    async def create(self, group: str, resource: str, obj: Object) -> Object:
        """Raises StatusError AlreadyExists."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What plugins may use. A plugin takes what it needs and keeps no more."""

    reader: Reader
    writer: Writer
    authorizer: Authorizer
    escalation: EscalationCheck | None = None
    creator: Creator | None = None  # NamespaceAutoProvision only
    resource_of_kind: Callable[[str, str], str | None] = lambda group, kind: None
    registry: Registry = field(default_factory=Registry)  # webhooks and policies only
    webhooks: WebhookClient | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: random.Random = field(default_factory=random.Random)  # for names of volumes, not for secrets


class Plugin:
    """Overridden where a plugin has something to do."""

    name = ""
    concerns: ClassVar[frozenset[Kind] | None] = (
        None  # the only kinds it is asked about, with their subresources
    )

    async def mutate(self, request: AdmissionRequest) -> None:
        """May change `request.object`. Raises StatusError."""

    async def validate(self, request: AdmissionRequest) -> None:
        """May change nothing. Raises StatusError."""


def forbidden(request: AdmissionRequest, why: str) -> errors.StatusError:
    """403 in the words of admission: `pods "web" is forbidden: …`."""
    return errors.forbidden(request.group, request.resource, name_for_messages(request), why)


def name_for_messages(request: AdmissionRequest) -> str:
    """The object's name, or what its name will be generated from."""
    if request.name:
        return request.name
    metadata = meta.metadata(request.object or {})
    return str(metadata.get("name") or metadata.get("generateName") or "Unknown")


def is_resource(request: AdmissionRequest, group: str, resource: str, subresource: str = "") -> bool:
    return (request.group, request.resource, request.subresource) == (group, resource, subresource)

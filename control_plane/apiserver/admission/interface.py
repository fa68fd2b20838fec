"""What an admission plugin is: one file, one object, registered in one list.

The chain calls every plugin's `mutate` in order, then the object is validated, then every plugin's
`validate`. A plugin refuses by raising `control_plane.api.errors.StatusError` (mostly `forbidden`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from control_plane.apiserver.authn.user import UserInfo

Object = dict[str, Any]
Kind = tuple[str, str]  # group and resource


class Operation(StrEnum):
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


@dataclass(slots=True)
class Reinvocation:
    """A webhook or policy that changes the object wants the other plugins to see it: the chain runs once more.
    `memo` is what plugins keep between the two runs."""

    wanted: bool = False
    running: bool = False
    memo: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class AdmissionRequest:
    operation: Operation
    group: str
    version: str
    resource: str  # plural
    kind: str
    subresource: str  # "" for the object itself
    namespace: str  # "" for cluster-scoped
    name: str
    object: Object | None  # None for DELETE; mutated in place
    old_object: Object | None  # read-only
    user: UserInfo
    dry_run: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)  # for the audit log
    reinvocation: Reinvocation = field(default_factory=Reinvocation)


class Reader(Protocol):
    """Read access to what is stored. `get` and `list` answer from the watch cache; `get_live` asks the store.
    Objects are shared and must not be changed."""

    def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None: ...

    def list(self, group: str, resource: str, namespace: str = "") -> Sequence[Object]: ...

    async def get_live(self, group: str, resource: str, namespace: str, name: str) -> Object | None: ...

    async def catch_up(self) -> None:
        """Wait, within bounds, until `get` and `list` know all that was written before the call."""


class Writer(Protocol):
    """Write access for what must be settled before a request goes on (quota)."""

    async def update_status(self, group: str, resource: str, obj: Object) -> Object:
        """Compare-and-swap on the object's resourceVersion. Raises StatusError Conflict."""


class AdmissionPlugin(Protocol):
    name: str

    async def mutate(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None: ...

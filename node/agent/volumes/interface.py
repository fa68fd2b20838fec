"""What a volume type is: one file that registers one Plugin (see `registry`).

`set_up` is idempotent and is called again when something it reads may have changed, and after a restart of the
agent; it returns the directory or file on the host that containers mount, and when to be called again at the
latest. `tear_down` removes what `set_up` made. Both raise VolumeError with the text of the FailedMount event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from node.agent.downward import NodeFacts
from node.agent.pod_spec import Obj
from node.agent.references import Ref
from node.agent.tokens import Token


@dataclass(frozen=True, slots=True)
class Services:
    """What plugins need of the agent."""

    read: Callable[[Ref], Awaitable[Obj | None]]
    token: Callable[[Obj, str, int], Awaitable[Token]]
    claim: Callable[[str, str], Awaitable[Obj | None]]  # namespace, name
    persistent_volume: Callable[[str], Awaitable[Obj | None]]
    node: Callable[[], NodeFacts]
    host_ips: Callable[[], tuple[str, ...]]
    local_volumes: Path | None = None  # where the built-in provisioner puts volumes on this node


@dataclass(frozen=True, slots=True)
class Request:
    pod: Obj
    volume: Obj
    directory: Path  # of this volume alone; not made yet
    services: Services

    @property
    def source(self) -> Obj:
        """The plugin's own part of the volume."""
        name = next(key for key in self.volume if key != "name")
        found: Obj = self.volume[name] or {}
        return found


@dataclass(frozen=True, slots=True)
class Volume:
    path: Path
    read_only: bool = False
    of_node: bool = False  # data of a persistent volume that the agent keeps in its own directory
    renew_at_s: float | None = None


class Plugin(Protocol):
    field: str  # of the volume source: "emptyDir"
    directory: str  # below the pod's volumes: "kubernetes.io~empty-dir"
    changes: bool  # set_up again when an object that the pod refers to has changed

    async def set_up(self, request: Request) -> Volume: ...

    async def tear_down(self, directory: Path) -> None: ...

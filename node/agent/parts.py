"""What a pod worker works with, injected: everything that is shared by the pods of this node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from control_plane.client.clock import Clock
from node.agent.downward import NodeFacts
from node.agent.pod_spec import Obj, field_path
from node.agent.probes import Prober
from node.agent.references import Ref
from node.agent.view import Host
from node.runtime.interface import Mount, Runtime


class Recorder(Protocol):
    def event(
        self, obj: Obj, type: Literal["Normal", "Warning"], reason: str, message: str, *, field_path: str = ""
    ) -> None: ...


class StatusSink(Protocol):
    def current(self, pod: Obj) -> Obj:
        """The status written last, or the API's."""

    def set(self, pod: Obj, status: Obj) -> None: ...

    def finish(self, pod: Obj) -> None:
        """Nothing of the pod is left here: its object may go, once its last status is written."""

    def object_changed(self, pod_uid: str) -> None: ...

    def forget(self, pod_uid: str) -> None: ...


class Volumes(Protocol):
    async def set_up(self, pod: Obj) -> None: ...

    async def tear_down(self, pod_uid: str) -> None: ...

    def mounts(self, pod: Obj, container: Obj, env: dict[str, str]) -> list[Mount]: ...

    def pod_directory(self, pod_uid: str) -> Path: ...

    def forget(self, pod_uid: str) -> None: ...


class Objects(Protocol):
    def retain(self, owner: str, refs: set[Ref]) -> None: ...

    async def get(self, ref: Ref) -> Obj | None: ...

    def peek(self, kind: str, namespace: str, name: str) -> Obj | None: ...

    def release(self, owner: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    runtime: Runtime
    volumes: Volumes
    objects: Objects
    status: StatusSink
    events: Recorder
    prober: Prober
    clock: Clock
    host: Host
    log_root: Path
    services: Callable[[], Iterable[Obj]]
    node: Callable[[], NodeFacts]
    forget_tokens: Callable[[str], None] = lambda _: None
    cluster_dns: Sequence[str] = ()
    cluster_domain: str = "cluster.local"
    memory_bytes: int = 0
    says_pod_ip: bool = False

    def tell(self, pod: Obj, reason: str, message: str, container: str = "") -> None:
        self.events.event(pod, "Normal", reason, message, field_path=field_path(pod, container))

    def warn(self, pod: Obj, reason: str, message: str, container: str = "") -> None:
        self.events.event(pod, "Warning", reason, message, field_path=field_path(pod, container))

"""The runtime interface: the shape of CRI (k8s.io/cri-api runtime/v1), as plain dataclasses.

Every implementation passes one contract test suite. Ids are opaque strings. Times are nanoseconds since
the epoch, 0 when not reached, as in CRI. All calls are idempotent where CRI's are (stop, remove).
Containers and sandboxes outlive the agent: after a restart `list_*` and `*_status` find them again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class RuntimeError_(Exception):
    """Root of the runtime's errors.

    RuntimeError_
    ├── NotFound           no such sandbox or container
    ├── CreateError        the container's configuration cannot be carried out (reason CreateContainerError)
    ├── StartError         the process cannot be started: missing binary, no permission (reason StartError)
    ├── ImageError         the image cannot be had; `reason` is ErrImagePull, ErrImageNeverPull, InvalidImageName
    ├── NotRunning         exec, attach or an update in a container that is not running
    ├── UpdateError        a running container's limits cannot be changed
    │   └── BelowUsage     its memory limit would be less than what it uses
    └── ExecTimeout        exec_sync's time is up; the process has been killed
    """


class NotFound(RuntimeError_): ...


class CreateError(RuntimeError_): ...


class StartError(RuntimeError_): ...


class ImageError(RuntimeError_):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotRunning(RuntimeError_): ...


class UpdateError(RuntimeError_): ...


class BelowUsage(UpdateError):
    """Its text is `LIMIT USAGE`, in bytes; `pod LIMIT USAGE` where the limit is the pod's."""


class ExecTimeout(RuntimeError_): ...


class SandboxState(StrEnum):
    READY = "ready"
    NOT_READY = "notready"


class ContainerState(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PodResources:
    """What the containers of a pod share, whatever each of them may have."""

    cpu_shares: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 100_000
    memory_limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Resources:
    cpu_shares: int = 0
    cpu_quota_us: int = 0  # per cpu_period_us
    cpu_period_us: int = 100_000
    memory_limit_bytes: int = 0
    oom_score_adj: int = 0
    pod: PodResources | None = None  # None: the pod as a whole asks for nothing


@dataclass(frozen=True, slots=True)
class MemoryVolume:
    """A directory of the pod that is kept in memory: its content lives as long as the sandbox."""

    host_path: str
    size_bytes: int
    group: int = 0  # whose files they are, when not 0


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    namespace: str
    name: str
    uid: str
    attempt: int
    hostname: str
    log_directory: str  # /…/<ns>_<name>_<uid>; container log paths are relative to it
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False
    host_pid: bool = False
    share_process_namespace: bool = False
    dns_servers: Sequence[str] = ()
    dns_searches: Sequence[str] = ()
    dns_options: Sequence[str] = ()
    host_aliases: Sequence[tuple[str, Sequence[str]]] = ()  # ip, names
    sysctls: Mapping[str, str] = field(default_factory=dict)
    memory_volumes: Sequence[MemoryVolume] = ()


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    id: str
    config: SandboxConfig
    state: SandboxState
    created_at_ns: int
    ips: tuple[str, ...]  # empty with host_network


@dataclass(frozen=True, slots=True)
class Mount:
    container_path: str
    host_path: str
    read_only: bool = False
    of_node: bool = False  # the agent's own choice, not the pod's: it may lie in the state directory


@dataclass(frozen=True, slots=True)
class SecurityContext:
    run_as_user: int | None = None
    run_as_group: int | None = None
    supplemental_groups: Sequence[int] = ()
    privileged: bool = False
    read_only_root: bool = False
    add_capabilities: Sequence[str] = ()
    drop_capabilities: Sequence[str] = ()
    no_new_privs: bool = False


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    name: str
    attempt: int  # the restart count
    image: str
    command: Sequence[str]  # replaces the image's entrypoint when not empty
    args: Sequence[str]
    env: Sequence[tuple[str, str]]
    log_path: str  # relative to the sandbox's log_directory: "<container>/<attempt>.log", in CRI's log format
    working_dir: str = ""
    mounts: Sequence[Mount] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    security: SecurityContext = SecurityContext()
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    id: str
    sandbox_id: str
    config: ContainerConfig
    state: ContainerState
    created_at_ns: int
    started_at_ns: int = 0
    finished_at_ns: int = 0
    exit_code: int = 0
    reason: str = ""  # Completed, Error, OOMKilled, StartError
    message: str = ""
    image_ref: str = ""
    log_path: str = ""  # absolute
    pid: int = 0


@dataclass(frozen=True, slots=True)
class ExecResult:
    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True, slots=True)
class TerminalSize:
    width: int
    height: int


class Source(Protocol):
    async def read(self) -> bytes:
        """Some bytes; b"" when there are no more."""


class Sink(Protocol):
    async def write(self, data: bytes) -> None:
        """Waits while the reader is slow. What it raises ends the exec or attach that writes to it."""


@dataclass(frozen=True, slots=True)
class Streams:
    """The caller's ends of a process's standard streams; None is not attached. With `tty` there is no stderr."""

    stdin: Source | None = None
    stdout: Sink | None = None
    stderr: Sink | None = None
    tty: bool = False
    sizes: AsyncIterator[TerminalSize] | None = None


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something changed; the agent looks at the sandbox anew. Events may be doubled, never lost while
    subscribed."""

    sandbox_id: str
    pod_uid: str


class Runtime(Protocol):
    name: str  # "process", "containerd"
    version: str

    async def start(self) -> None: ...

    async def close(self) -> None:
        """Let go of everything; sandboxes and containers go on."""

    async def run_pod_sandbox(self, config: SandboxConfig) -> str: ...

    async def stop_pod_sandbox(self, sandbox_id: str) -> None: ...

    async def remove_pod_sandbox(self, sandbox_id: str) -> None: ...

    async def list_pod_sandboxes(self) -> list[SandboxStatus]: ...

    async def pod_sandbox_status(self, sandbox_id: str) -> SandboxStatus: ...

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str: ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, timeout_s: float) -> None:
        """SIGTERM (or the stop signal), then SIGKILL after `timeout_s`; returns when it has ended."""

    async def update_container(
        self, container_id: str, resources: Resources, annotations: Mapping[str, str]
    ) -> None:
        """Other limits and annotations for a running container; raises UpdateError, and then nothing changed."""

    async def remove_container(self, container_id: str) -> None: ...

    async def list_containers(self, sandbox_id: str | None = None) -> list[ContainerStatus]: ...

    async def container_status(self, container_id: str) -> ContainerStatus: ...

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult: ...

    async def exec(self, container_id: str, command: Sequence[str], streams: Streams) -> int:
        """Run a command with the caller's streams and return its exit code; being cancelled kills it.
        CRI's Exec gives a URL instead; an implementation over CRI connects to it here."""

    async def attach(self, container_id: str, streams: Streams) -> None:
        """Join the container's own streams until it ends; being cancelled leaves it alone. The end of `stdin`
        ends the container's when it was created with stdin_once."""

    async def pull_image(self, image: str, has_command: bool) -> str:
        """Make `image` available; return its reference. `has_command`: the container brings a command, so that
        the process runtime may run it on the host's filesystem. Raises ImageError."""

    def events(self) -> AsyncIterator[RuntimeEvent]: ...

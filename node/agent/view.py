"""What the pod state machine sees, and what it answers: immutable values, no behaviour beyond look-ups.

    View (spec, runtime, probes, problems, what is under way, now)  ->  Plan (actions, outcome, wake_at_s)

A View is built anew for each step from the runtime's own record, so that a restarted agent comes to the same
plan as the one that died. The little that the runtime does not know (`problems`, `probes`) is only about
attempts that have left no container, and is rebuilt by trying again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from node.agent.pod_spec import Obj, Role
from node.agent.resize import NO_RESIZE, Resizing
from node.runtime.interface import ContainerState, ContainerStatus, SandboxState, SandboxStatus

PULL_ERROR_SHOWN_S = 2.0
BACKOFF_ANNOTATION = "balsa.io/restart-backoff-seconds"


@dataclass(frozen=True, slots=True)
class Probes:
    """Results for one container; None: no such probe has come to a verdict yet."""

    startup: bool | None = None
    liveness: bool | None = None
    readiness: bool | None = None


_NO_PROBES = Probes()


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a container could not be created, and when to try again."""

    container: str
    reason: str
    message: str
    at_s: float
    retry_at_s: float
    failures: int = 1
    image: str = ""  # set when it is the image that cannot be had

    @property
    def backs_off_at_s(self) -> float:
        """From when on a failed pull is shown as waiting for the next."""
        return self.at_s + PULL_ERROR_SHOWN_S if self.reason == "ErrImagePull" else self.retry_at_s

    def shown(self, now_s: float) -> tuple[str, str]:
        """Reason and message of the container's waiting state."""
        if self.reason == "ErrImagePull" and now_s >= self.backs_off_at_s:
            return "ImagePullBackOff", f'Back-off pulling image "{self.image}": {self.reason}: {self.message}'
        return self.reason, self.message


@dataclass(frozen=True, slots=True)
class Outcome:
    """The pod's end is decided: nothing is started any more, what runs is stopped, then the phase is set."""

    phase: str
    reason: str = ""
    message: str = ""
    grace_s: float | None = None  # of an eviction, instead of the pod's own
    disruption: str = ""  # the reason of the condition DisruptionTarget


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    ips: tuple[str, ...]
    runtime_name: str = "process"


@dataclass(frozen=True, slots=True)
class View:
    pod: Obj
    host: Host
    now_s: float
    sandboxes: tuple[SandboxStatus, ...] = ()  # newest first
    containers: tuple[ContainerStatus, ...] = ()
    probes: Mapping[str, Probes] = field(default_factory=dict)  # by container id
    problems: Mapping[str, Problem] = field(default_factory=dict)  # by container name
    starting: frozenset[str] = frozenset()  # names of containers being started
    stopping: Mapping[str, float] = field(default_factory=dict)  # container id -> deadline of its stop
    sandbox_busy: bool = False  # one is being made or stopped
    sandbox_retry_at_s: float = 0.0
    volumes_ready: bool = False
    volumes_busy: bool = False
    volumes_retry_at_s: float = 0.0
    outcome: Outcome | None = None
    kill_at_s: float | None = None  # when the pod's stop began, once it has
    gone: bool = False  # no longer in the API
    started_at_s: float | None = None  # when this node took it
    resizing: Resizing = NO_RESIZE

    @property
    def sandbox(self) -> SandboxStatus | None:
        """The newest sandbox when it is alive."""
        newest = self.sandboxes[0] if self.sandboxes else None
        return newest if newest is not None and newest.state is SandboxState.READY else None

    def latest(self, container_name: str) -> ContainerStatus | None:
        mine = [each for each in self.containers if each.config.name == container_name]
        return max(mine, key=lambda each: (each.config.attempt, each.created_at_ns), default=None)

    def previous(self, container_name: str) -> ContainerStatus | None:
        """The one before the latest, when the runtime still has it."""
        mine = [each for each in self.containers if each.config.name == container_name]
        mine.sort(key=lambda each: (each.config.attempt, each.created_at_ns))
        return mine[-2] if len(mine) > 1 else None

    def in_sandbox(self, container_name: str) -> ContainerStatus | None:
        """The latest one, if it belongs to the live sandbox: an older sandbox's init must run again."""
        latest, sandbox = self.latest(container_name), self.sandbox
        return latest if latest and sandbox and latest.sandbox_id == sandbox.id else None

    def probes_of(self, status: ContainerStatus) -> Probes:
        return self.probes.get(status.id, _NO_PROBES)

    def is_started(self, container: Obj, status: ContainerStatus | None) -> bool:
        """Running, its postStart hook done, its startup probe passed."""
        if status is None or not is_running(status) or container["name"] in self.starting:
            return False
        return not container.get("startupProbe") or bool(self.probes_of(status).startup)

    def is_ready(self, container: Obj, status: ContainerStatus | None) -> bool:
        if status is None or not self.is_started(container, status):
            return False
        return not container.get("readinessProbe") or bool(self.probes_of(status).readiness)

    @property
    def running(self) -> list[ContainerStatus]:
        return [each for each in self.containers if is_running(each)]


def is_running(status: ContainerStatus | None) -> bool:
    return status is not None and status.state is ContainerState.RUNNING


def has_exited(status: ContainerStatus | None) -> bool:
    return status is not None and status.state is ContainerState.EXITED


@dataclass(frozen=True, slots=True)
class SetUpVolumes: ...


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class StopSandbox:
    sandbox_id: str


@dataclass(frozen=True, slots=True)
class StartContainer:
    name: str
    role: Role
    attempt: int
    backoff_s: int  # how long to wait after this one has ended, before the next


@dataclass(frozen=True, slots=True)
class StopContainer:
    container_id: str
    name: str
    deadline_s: float
    message: str  # the Killing event's text
    run_pre_stop: bool = True


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Give a running container the amounts that are allocated to it."""

    container_id: str
    name: str


@dataclass(frozen=True, slots=True)
class BackOff:
    """Say that a container is not restarted yet."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ImageBackOff:
    """Say that an image is not pulled again yet."""

    name: str
    image: str
    failures: int


@dataclass(frozen=True, slots=True)
class Finish:
    """All containers are gone: take the volumes down, report, and let the pod go."""


Action = (
    SetUpVolumes
    | CreateSandbox
    | StopSandbox
    | StartContainer
    | StopContainer
    | ResizeContainer
    | BackOff
    | ImageBackOff
    | Finish
)


@dataclass(frozen=True, slots=True)
class Plan:
    actions: tuple[Action, ...] = ()
    outcome: Outcome | None = None
    wake_at_s: float | None = None

"""A world for the pure pod state machine: it carries out plans piece by piece, in any order, and misbehaves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from node.agent import pod_state, pod_status
from node.agent.times import NS_PER_S
from node.agent.view import (
    BACKOFF_ANNOTATION,
    Action,
    CreateSandbox,
    Finish,
    Host,
    Outcome,
    Plan,
    Probes,
    Problem,
    SetUpVolumes,
    StartContainer,
    StopContainer,
    StopSandbox,
    View,
)
from node.runtime.interface import (
    ContainerConfig,
    ContainerState,
    ContainerStatus,
    SandboxConfig,
    SandboxState,
    SandboxStatus,
)

Obj = dict[str, Any]


@dataclass
class PodWorld:
    pod: Obj
    now_s: float = 1_000_000.0
    sandboxes: list[SandboxStatus] = field(default_factory=list)
    containers: list[ContainerStatus] = field(default_factory=list)
    probes: dict[str, Probes] = field(default_factory=dict)
    problems: dict[str, Problem] = field(default_factory=dict)
    starting: list[StartContainer] = field(default_factory=list)
    stopping: dict[str, float] = field(default_factory=dict)
    sandbox_work: list[CreateSandbox | StopSandbox] = field(default_factory=list)
    volumes_ready: bool = False
    volumes_busy: bool = False
    outcome: Outcome | None = None
    kill_at_s: float | None = None
    gone: bool = False
    finished: bool = False
    status: Obj = field(default_factory=dict)
    starts: list[tuple[str, int]] = field(default_factory=list)

    def view(self) -> View:
        return View(
            pod=self.pod,
            host=Host("node-1", ("172.30.0.11",)),
            now_s=self.now_s,
            sandboxes=tuple(reversed(self.sandboxes)),
            containers=tuple(self.containers),
            probes=dict(self.probes),
            problems=dict(self.problems),
            starting=frozenset(each.name for each in self.starting),
            stopping=dict(self.stopping),
            sandbox_busy=bool(self.sandbox_work),
            volumes_ready=self.volumes_ready,
            volumes_busy=self.volumes_busy,
            outcome=self.outcome,
            kill_at_s=self.kill_at_s,
            gone=self.gone,
            started_at_s=1_000_000.0,
        )

    # ---- the agent's side

    def step(self) -> Plan:
        view = self.view()
        plan = pod_state.plan(view)
        self.outcome = self.outcome or plan.outcome
        stopping = plan.outcome is not None or self.gone or self.pod["metadata"].get("deletionTimestamp")
        if stopping and self.kill_at_s is None:
            self.kill_at_s = self.now_s
        self.status = pod_status.make(view, self.status)
        for action in plan.actions:
            self._begin(action)
        if self.kill_at_s is not None:
            self.starting.clear()
        return plan

    def _begin(self, action: Action) -> None:
        match action:
            case SetUpVolumes():
                assert not self.volumes_busy, "volumes asked for twice"
                self.volumes_busy = True
            case CreateSandbox() | StopSandbox():
                self.sandbox_work.append(action)
            case StartContainer():
                assert self.outcome is None, "started after the end was decided"
                assert all(each.name != action.name for each in self.starting), "started twice"
                alive = [
                    each for each in self.containers if each.config.name == action.name and is_alive(each)
                ]
                assert not alive, "started beside a running one"
                self.starting.append(action)
            case StopContainer():
                self.stopping[action.container_id] = action.deadline_s
            case Finish():
                assert not any(is_alive(each) for each in self.containers), "finished with something running"
                self.finished = True

    # ---- the world's side: one piece of work is done

    def work(self) -> None:
        """Carry out everything that is under way, well."""
        if self.volumes_busy:
            self.volumes_busy, self.volumes_ready = False, True
        for action in list(self.sandbox_work):
            self.finish_sandbox_work(action)
        while self.starting:
            self.finish_start(self.starting[0])
        for container_id in list(self.stopping):
            self.finish_stop(container_id, 143)

    def finish_sandbox_work(self, action: CreateSandbox | StopSandbox) -> None:
        self.sandbox_work.remove(action)
        if isinstance(action, CreateSandbox):
            config = SandboxConfig("default", "web", "uid-web", action.attempt, "web", "/logs")
            made = SandboxStatus(
                f"s{action.attempt}", config, SandboxState.READY, self._ns(), ("10.244.1.7",)
            )
            self.sandboxes.append(made)
        else:
            self.kill_sandbox(action.sandbox_id)

    def kill_sandbox(self, sandbox_id: str) -> None:
        self.sandboxes = [
            replace(each, state=SandboxState.NOT_READY, ips=()) if each.id == sandbox_id else each
            for each in self.sandboxes
        ]
        for each in list(self.containers):
            if each.sandbox_id == sandbox_id and is_alive(each):
                self.exit(each.id, 137)

    def finish_start(self, action: StartContainer) -> None:
        self.starting.remove(action)
        self.starts.append((action.name, action.attempt))
        sandbox = self.sandboxes[-1]
        container_id = f"{action.name}-{action.attempt}"
        annotations = {BACKOFF_ANNOTATION: str(action.backoff_s)}
        config = ContainerConfig(
            action.name, action.attempt, "busybox", ["run"], [], [], "x", annotations=annotations
        )
        status = ContainerStatus(
            container_id, sandbox.id, config, ContainerState.RUNNING, self._ns(), self._ns(), pid=1
        )
        if sandbox.state is not SandboxState.READY:
            status = replace(status, state=ContainerState.EXITED, finished_at_ns=self._ns(), exit_code=137)
        self.containers = [each for each in self.containers if each.id != container_id] + [status]
        self.problems.pop(action.name, None)

    def finish_stop(self, container_id: str, code: int) -> None:
        del self.stopping[container_id]
        status = self.find(container_id)
        if is_alive(status):
            self.exit(container_id, code)

    def exit(self, container_id: str, code: int) -> None:
        self.containers = [
            replace(each, state=ContainerState.EXITED, finished_at_ns=self._ns(), exit_code=code)
            if each.id == container_id
            else each
            for each in self.containers
        ]

    def find(self, container_id: str) -> ContainerStatus:
        return next(each for each in self.containers if each.id == container_id)

    def running(self) -> list[ContainerStatus]:
        return [each for each in self.containers if is_alive(each)]

    def delete(self, grace_s: int) -> None:
        meta = {**self.pod["metadata"], "deletionTimestamp": "x", "deletionGracePeriodSeconds": grace_s}
        self.pod = {**self.pod, "metadata": meta}

    def settle(self, steps: int = 50) -> None:
        """Step and work until nothing more happens by itself."""
        for _ in range(steps):
            if not self.step().actions and not self._busy():
                return
            self.work()
            if self.finished:
                self.step()
                return

    def _busy(self) -> bool:
        return bool(self.starting or self.stopping or self.sandbox_work or self.volumes_busy)

    def _ns(self) -> int:
        return int(self.now_s * NS_PER_S)


def is_alive(status: ContainerStatus) -> bool:
    return status.state in (ContainerState.RUNNING, ContainerState.UNKNOWN)

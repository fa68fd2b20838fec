"""The pod state machine, pure: what the agent does next for one pod.

    plan(view) -> Plan(actions, outcome, wake_at_s)

Level-triggered: called again after every change with a new View, it asks only for what is still missing, and
never for what is under way (`starting`, `stopping`, `sandbox_busy`, `volumes_busy`). The order of a life:

    volumes -> sandbox -> init containers one by one (sidecars stay and the next follows once started)
            -> main containers -> [restarts with back-off] -> outcome or deletion -> stop -> Finish

Invariants, checked by the property test: with an outcome, a deletion or an absent pod nothing is started;
attempts only grow; a container is never started while an older one of its name runs. The rules are those of
kubelet's computePodActions (KEP-753 for sidecars).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.agent import outcome, resize, restart, termination
from node.agent.pod_spec import (
    Obj,
    Role,
    ephemeral_containers,
    init_containers,
    is_deleting,
    is_sidecar,
    main_containers,
    probe_grace_s,
    restart_policy,
)
from node.agent.view import (
    Action,
    BackOff,
    CreateSandbox,
    ImageBackOff,
    Plan,
    Problem,
    ResizeContainer,
    SetUpVolumes,
    StartContainer,
    StopContainer,
    View,
    has_exited,
)
from node.runtime.interface import ContainerState, ContainerStatus


@dataclass(slots=True)
class Step:
    """One plan in the making: the actions so far, and the earliest moment that changes anything by itself."""

    view: View
    actions: list[Action] = field(default_factory=list)
    wake_at_s: float | None = None

    def wake(self, at_s: float) -> None:
        self.wake_at_s = at_s if self.wake_at_s is None else min(self.wake_at_s, at_s)


def plan(view: View) -> Plan:
    decided = outcome.decide(view)
    if decided is not None or view.gone or is_deleting(view.pod) or view.kill_at_s is not None:
        return termination.plan(view, decided)
    step = Step(view)
    if deadline_s := outcome.active_deadline_s(view):
        step.wake(deadline_s)
    if _volumes(step) and _sandbox(step):
        _ephemeral(step)
        if _init(step):
            for container in main_containers(view.pod):
                _keep_running(step, container, Role.MAIN)
    return Plan(tuple(step.actions), None, step.wake_at_s)


def _volumes(step: Step) -> bool:
    view = step.view
    if view.volumes_ready:
        return True
    if not view.volumes_busy:
        if view.now_s < view.volumes_retry_at_s:
            step.wake(view.volumes_retry_at_s)
        else:
            step.actions.append(SetUpVolumes())
    return False


def _sandbox(step: Step) -> bool:
    """True with a live sandbox; else what remains of the dead one ends before the next is made."""
    view = step.view
    if view.sandbox is not None:
        return True
    if view.sandbox_busy:
        return False
    if view.running:
        for each in view.running:
            _stop(step, each, 0, "Stopping container {name}: its pod sandbox is gone", run_pre_stop=False)
    elif view.now_s < view.sandbox_retry_at_s:
        step.wake(view.sandbox_retry_at_s)
    else:
        step.actions.append(CreateSandbox(view.sandboxes[0].config.attempt + 1 if view.sandboxes else 0))
    return False


def _init(step: Step) -> bool:
    """Bring init containers forward; True when the main containers may start."""
    view = step.view
    begun = any(view.in_sandbox(each["name"]) for each in main_containers(view.pod))
    for container in init_containers(view.pod):
        status = view.in_sandbox(container["name"])
        if is_sidecar(container):
            _keep_running(step, container, Role.SIDECAR)
            if not begun and not view.is_started(container, status):
                return False
        elif begun or (has_exited(status) and status is not None and status.exit_code == 0):
            continue
        else:
            _keep_running(step, container, Role.INIT)
            return False
    return True


def _ephemeral(step: Step) -> None:
    for container in ephemeral_containers(step.view.pod):
        if step.view.latest(container["name"]) is None:
            _keep_running(step, container, Role.EPHEMERAL)


def _keep_running(step: Step, container: Obj, role: Role) -> None:
    """Start the container unless it runs, is under way, has ended for good, or has to wait."""
    view, name = step.view, container["name"]
    latest = view.latest(name)
    if name in view.starting:
        return
    if latest is not None and latest.state in (ContainerState.RUNNING, ContainerState.UNKNOWN):
        _check_running(step, container, latest)
        return
    problem = view.problems.get(name)
    if problem is not None and view.now_s < problem.retry_at_s:
        step.wake(problem.retry_at_s)
        if problem.image:
            _image_backoff(step, problem)
        return
    if latest is not None and has_exited(latest) and not _may_restart(step, container, role, latest):
        return
    attempt = 0 if latest is None else latest.config.attempt
    if has_exited(latest):
        attempt += 1
    ended = latest if has_exited(latest) else None
    step.actions.append(StartContainer(name, role, attempt, restart.next_backoff_s(ended)))


def _image_backoff(step: Step, problem: Problem) -> None:
    if step.view.now_s < problem.backs_off_at_s:
        step.wake(problem.backs_off_at_s)
    else:
        step.actions.append(ImageBackOff(problem.container, problem.image, problem.failures))


def _may_restart(step: Step, container: Obj, role: Role, ended: ContainerStatus) -> bool:
    view = step.view
    same_sandbox = view.sandbox is not None and ended.sandbox_id == view.sandbox.id
    rerun = role is Role.INIT and not same_sandbox  # a new sandbox is initialised from the beginning
    if not rerun and not restart.wanted(view, container, role, ended):
        return False
    at_s = restart.restart_at_s(ended)
    if view.now_s >= at_s:
        return True
    step.actions.append(BackOff(container["name"], ended.config.attempt))
    step.wake(at_s)
    return False


def _check_running(step: Step, container: Obj, status: ContainerStatus) -> None:
    view, name = step.view, container["name"]
    probes = view.probes_of(status)
    restarts = is_sidecar(container) or restart_policy(view.pod) != "Never"
    suffix = ", will be restarted" if restarts else ""
    if status.state is ContainerState.UNKNOWN:
        _stop(step, status, 0, f'Container "{name}" is in an unknown state, try killing it before restart')
    elif status.config.image != container.get("image", ""):
        _stop(step, status, probe_grace_s(view.pod, None), f"Container {name} definition changed{suffix}")
    elif probes.startup is False:
        grace_s = probe_grace_s(view.pod, container.get("startupProbe"))
        _stop(step, status, grace_s, f"Container {name} failed startup probe{suffix}")
    elif probes.liveness is False:
        grace_s = probe_grace_s(view.pod, container.get("livenessProbe"))
        _stop(step, status, grace_s, f"Container {name} failed liveness probe{suffix}")
    elif resize.is_due(view.pod, container, status):
        _resize(step, container, status)


def _resize(step: Step, container: Obj, status: ContainerStatus) -> None:
    view, name = step.view, container["name"]
    if status.id in view.resizing.under_way:
        return
    if resize.needs_restart(container, status):
        _stop(step, status, probe_grace_s(view.pod, None), f"Container {name} resize requires restart")
    elif view.resizing.trouble is not None and view.now_s < view.resizing.trouble.retry_at_s:
        step.wake(view.resizing.trouble.retry_at_s)
    else:
        step.actions.append(ResizeContainer(status.id, name))


def _stop(
    step: Step, status: ContainerStatus, grace_s: float, message: str, run_pre_stop: bool = True
) -> None:
    if status.id in step.view.stopping:
        return
    text = message.replace("{name}", status.config.name)
    deadline_s = step.view.now_s + max(grace_s, termination.MIN_GRACE_S)
    step.actions.append(StopContainer(status.id, status.config.name, deadline_s, text, run_pre_stop))

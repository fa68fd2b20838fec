"""How a pod is stopped, pure: main containers together, then sidecars in reverse order, then the sandbox.

The grace period is the pod's as a whole, counted from the moment its stop began. It can only shrink: a
second deletion with a shorter grace moves the deadline forward, and stops under way are told. Sidecars wait
for what they serve until the deadline; a container always gets MIN_GRACE_S between SIGTERM and SIGKILL.
"""

from __future__ import annotations

from node.agent.pod_spec import grace_s, is_deleting, sidecars
from node.agent.view import Action, Finish, Outcome, Plan, StopContainer, StopSandbox, View, is_running
from node.runtime.interface import ContainerState, ContainerStatus, SandboxState

MIN_GRACE_S = 2.0
_SLACK_S = 0.5  # deadlines closer than this are the same


def plan(view: View, outcome: Outcome | None) -> Plan:
    began_s = view.now_s if view.kill_at_s is None else view.kill_at_s
    decided = outcome.grace_s if outcome is not None else None
    deadline_s = began_s + (grace_s(view.pod) if decided is None else decided)
    actions, wake_at_s = _stops(view, deadline_s)
    alive = [
        each for each in view.containers if each.state in (ContainerState.RUNNING, ContainerState.UNKNOWN)
    ]
    if not alive and not view.starting and not view.stopping and not view.sandbox_busy:
        ready = [each.id for each in view.sandboxes if each.state is SandboxState.READY]
        if ready:
            actions = [StopSandbox(each) for each in ready]
        elif not view.volumes_busy:
            actions = [Finish()]
    return Plan(tuple(actions), outcome, wake_at_s)


def _stops(view: View, deadline_s: float) -> tuple[list[Action], float | None]:
    running = [each for each in view.containers if _is_alive(each)]
    names = [each["name"] for each in sidecars(view.pod)]
    first = [each for each in running if each.config.name not in names]
    served = bool(first) or bool(view.starting)
    actions: list[Action] = [each for status in first for each in _stop(view, status, deadline_s)]
    overdue = view.now_s >= deadline_s
    for name in reversed(names):
        mine = [each for each in running if each.config.name == name]
        if not served or overdue:
            actions += [each for status in mine for each in _stop(view, status, deadline_s)]
        served = served or any(is_running(each) for each in mine)
    return actions, (deadline_s if running and not overdue else None)


def _is_alive(status: ContainerStatus) -> bool:
    return status.state in (ContainerState.RUNNING, ContainerState.UNKNOWN)


def _stop(view: View, status: ContainerStatus, deadline_s: float) -> list[Action]:
    due_s = max(deadline_s, view.now_s + MIN_GRACE_S)
    current = view.stopping.get(status.id)
    if current is not None and current <= due_s + _SLACK_S:
        return []
    name = status.config.name
    return [StopContainer(status.id, name, due_s, f"Stopping container {name}", current is None)]


def is_stopping(view: View) -> bool:
    return view.kill_at_s is not None or view.gone or is_deleting(view.pod)

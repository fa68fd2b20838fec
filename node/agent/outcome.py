"""When a pod's end is decided, and how: Succeeded, Failed, or not yet. Pure.

Once decided it stays: by the API's terminal phase, by the agent (rejected, evicted: `view.outcome`), by
activeDeadlineSeconds, or by containers that have ended and are not to be started again.
"""

from __future__ import annotations

from node.agent import restart, times
from node.agent.pod_spec import (
    Role,
    init_containers,
    is_sidecar,
    is_terminal,
    main_containers,
    restart_policy,
)
from node.agent.view import Outcome, View, has_exited
from node.runtime.interface import ContainerState

DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


def decide(view: View) -> Outcome | None:
    if view.outcome is not None:
        return view.outcome
    if is_terminal(view.pod):
        status = view.pod["status"]
        return Outcome(status["phase"], status.get("reason", ""), status.get("message", ""))
    deadline_s = active_deadline_s(view)
    if deadline_s is not None and view.now_s >= deadline_s:
        return Outcome("Failed", "DeadlineExceeded", DEADLINE_MESSAGE)
    by_containers = _by_main_containers(view)
    if by_containers is None and (_init_failed(view) or _sandbox_lost_for_good(view)):
        return Outcome("Failed")
    return by_containers


def active_deadline_s(view: View) -> float | None:
    seconds = view.pod["spec"].get("activeDeadlineSeconds")
    if seconds is None:
        return None
    started = (view.pod.get("status") or {}).get("startTime")
    started_s = times.parse(started) if started else view.started_at_s
    return None if started_s is None else started_s + float(seconds)


def _init_failed(view: View) -> bool:
    for container in init_containers(view.pod):
        status = view.in_sandbox(container["name"])
        if is_sidecar(container) or status is None or not has_exited(status) or status.exit_code == 0:
            continue
        if container["name"] in view.starting:
            continue
        if not restart.wanted(view, container, Role.INIT, status):
            return not any(view.in_sandbox(each["name"]) for each in main_containers(view.pod))
    return False


def _sandbox_lost_for_good(view: View) -> bool:
    """A pod that must not restart has lost its sandbox after something ran in it."""
    return (
        restart_policy(view.pod) == "Never"
        and bool(view.sandboxes)
        and view.sandbox is None
        and not view.sandbox_busy
        and any(each.state is not ContainerState.CREATED for each in view.containers)
        and not view.running
        and not any(each.get("restartPolicy") or each.get("restartPolicyRules") for each in _all(view))
    )


def _all(view: View) -> list[dict[str, object]]:
    return [*init_containers(view.pod), *main_containers(view.pod)]


def _by_main_containers(view: View) -> Outcome | None:
    """Succeeded or Failed when every main container has ended for good."""
    codes: list[int] = []
    for container in main_containers(view.pod):
        status = view.latest(container["name"])
        if status is None or not has_exited(status) or container["name"] in view.starting:
            return None
        if restart.wanted(view, container, Role.MAIN, status):
            return None
        codes.append(status.exit_code)
    if not codes:
        return None
    return Outcome("Failed" if any(codes) else "Succeeded")

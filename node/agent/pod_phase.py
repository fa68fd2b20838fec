"""The phase of a pod, from the states of its containers. Pure; the rules are kubelet's getPhase.

A terminal phase is told only when nothing of the pod runs any more, for others (Job, schedulers) count on it
that the pod's resources are free then.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.agent import outcome
from node.agent.pod_spec import Obj, init_containers, is_deleting, is_sidecar, main_containers
from node.agent.view import View


def make(view: View, main: Sequence[Obj], init: Sequence[Obj]) -> str:
    decided = outcome.decide(view)
    stopped = not view.running and not view.starting and not view.stopping
    if decided is not None and (stopped or not view.containers):
        return decided.phase
    if stopped and (is_deleting(view.pod) or view.gone):
        return _phase_of_deleted(main)
    if _initializing(view, init):
        return "Pending"
    return _running_or_pending(main, len(main_containers(view.pod)))


def _phase_of_deleted(main: Sequence[Obj]) -> str:
    codes = [(each["state"].get("terminated") or {}).get("exitCode") for each in main]
    return "Succeeded" if codes and all(code == 0 for code in codes) else "Failed"


def _initializing(view: View, init: Sequence[Obj]) -> bool:
    """An init container is still to come or under way, and no main container was ever there."""
    if any(view.latest(each["name"]) for each in main_containers(view.pod)):
        return False
    by_name = {each["name"]: each for each in init}
    for container in init_containers(view.pod):
        status = by_name.get(container["name"], {})
        if is_sidecar(container):
            if not status.get("started"):
                return True
        elif (status.get("state", {}).get("terminated") or {}).get("exitCode") != 0:
            return True
    return False


def _running_or_pending(main: Sequence[Obj], expected: int) -> str:
    waiting = [each for each in main if "waiting" in each["state"] and "terminated" not in each["lastState"]]
    if waiting or len(main) < expected:
        return "Pending"
    return "Running"

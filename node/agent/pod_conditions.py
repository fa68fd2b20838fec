"""The pod conditions that the agent owns. Pure; reasons and messages are kubelet's.

    PodReadyToStartContainers, Initialized, Ready, ContainersReady, PodScheduled
    PodResizePending, PodResizeInProgress       only while they hold
    DisruptionTarget                            only when the agent itself ends the pod

A condition keeps its lastTransitionTime while its status stays. Conditions of others (readiness gates,
DisruptionTarget) are never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.agent import resize
from node.agent.pod_spec import Obj, containers_by_role, init_containers, is_sidecar, main_containers
from node.agent.times import rfc3339
from node.agent.view import View, is_running

PASSING = ("PodResizePending", "PodResizeInProgress")
OWNED = (
    "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled", *PASSING
)  # fmt: skip


def make(view: View, phase: str, statuses: Sequence[Obj], old: Sequence[Obj]) -> list[Obj]:
    """`statuses`: of main and init containers; `old`: all conditions there are now."""
    by_name = {each["name"]: each for each in statuses}
    containers_ready = _containers_ready(view, phase, by_name)
    made = [
        _condition("PodReadyToStartContainers", _has_sandbox(view)),
        _initialized(view, phase, by_name),
        _ready(view, phase, containers_ready, old),
        containers_ready,
        _condition("PodScheduled", True),
        *_resize(view),
    ]
    return [_dated(view, each, old) for each in made]


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Obj:
    condition: Obj = {"type": kind, "status": "True" if holds else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _dated(view: View, condition: Obj, old: Sequence[Obj]) -> Obj:
    before = next((each for each in old if each.get("type") == condition["type"]), None)
    since = rfc3339(view.now_s)
    if before is not None and before.get("status") == condition["status"]:
        since = before.get("lastTransitionTime") or since
    generation = view.pod["metadata"].get("generation")
    observed = {"observedGeneration": generation} if generation else {}
    return {**condition, "lastProbeTime": None, "lastTransitionTime": since, **observed}


def _resize(view: View) -> list[Obj]:
    state, made = view.resizing, []
    if state.pending is not None:
        made.append(_condition("PodResizePending", True, state.pending.reason, state.pending.message))
    if state.trouble is not None:
        made.append(_condition("PodResizeInProgress", True, "Error", state.trouble.message))
    elif state.begun or _is_due(view):
        made.append(_condition("PodResizeInProgress", True))
    return made


def _is_due(view: View) -> bool:
    """So that an agent that was restarted meanwhile shows it too."""
    lasting = resize.allocation(view.pod)
    containers = (each for _, each in containers_by_role(view.pod) if each["name"] in lasting)
    statuses = ((each, view.latest(each["name"])) for each in containers)
    return any(
        status is not None and is_running(status) and resize.is_due(view.pod, each, status)
        for each, status in statuses
    )


def disruption(view: View, reason: str, message: str, old: Sequence[Obj]) -> Obj:
    """The condition of a pod that is being ended by its node."""
    return _dated(view, _condition("DisruptionTarget", True, reason, message), old)


def _has_sandbox(view: View) -> bool:
    sandbox = view.sandbox
    return sandbox is not None and (bool(sandbox.ips) or sandbox.config.host_network)


def _initialized(view: View, phase: str, statuses: dict[str, Obj]) -> Obj:
    if phase == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    if any(view.latest(each["name"]) for each in main_containers(view.pod)):
        return _condition("Initialized", True)
    incomplete = [each["name"] for each in init_containers(view.pod) if not _initialised(each, statuses)]
    if incomplete:
        message = f"containers with incomplete status: {_names(incomplete)}"
        return _condition("Initialized", False, "ContainersNotInitialized", message)
    return _condition("Initialized", True)


def _initialised(container: Obj, statuses: dict[str, Obj]) -> bool:
    status = statuses.get(container["name"], {})
    return bool(status.get("started") if is_sidecar(container) else status.get("ready"))


def _containers_ready(view: View, phase: str, statuses: dict[str, Obj]) -> Obj:
    if phase == "Succeeded":
        return _condition("ContainersReady", False, "PodCompleted")
    if phase == "Failed":
        return _condition("ContainersReady", False, "PodFailed")
    counted = [each for each in init_containers(view.pod) if is_sidecar(each)] + main_containers(view.pod)
    unready = [each["name"] for each in counted if not statuses.get(each["name"], {}).get("ready")]
    if unready:
        message = f"containers with unready status: {_names(unready)}"
        return _condition("ContainersReady", False, "ContainersNotReady", message)
    return _condition("ContainersReady", True)


def _ready(view: View, phase: str, containers_ready: Obj, old: Sequence[Obj]) -> Obj:
    if containers_ready["status"] != "True":
        return {**containers_ready, "type": "Ready"}
    messages = []
    for gate in view.pod["spec"].get("readinessGates") or []:
        kind = gate["conditionType"]
        current = next((each for each in old if each.get("type") == kind), None)
        if current is None:
            messages.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif current.get("status") != "True":
            shown = current.get("status", "")
            messages.append(f'the status of pod readiness gate "{kind}" is not "True", but {shown}')
    if messages:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(messages))
    return _condition("Ready", True)


def _names(names: Iterable[str]) -> str:
    return "[" + " ".join(names) + "]"

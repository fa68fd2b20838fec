"""Pods: the STATUS column tells the one thing a person wants to know, by rules of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.api.tables.layout import Cells, Object, conditions, table
from control_plane.api.tables.text import NONE, age, age_of, container_cells, labels, name_of, or_none

_NODE_LOST = "NodeLost"
_FINISHED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


@dataclass(slots=True)
class _Summary:
    """What the loop over container statuses gathers."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""  # RFC 3339 in UTC: text order is time order

    def count(self, status: Mapping[str, Any]) -> None:
        self.restarts += status.get("restartCount", 0)
        finished = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last_restart = max(self.last_restart, finished)


@table(
    "v1",
    "pods",
    "Name, Ready, Status, Restarts, Age | IP, Node, Nominated Node, Readiness Gates",
)
def pod(obj: Object, now_s: float) -> Cells:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    summary = summarize(obj)
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    total = len(spec.get("containers") or ()) + len(sidecars)
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts = f"{restarts} ({age(summary.last_restart, now_s)} ago)"
    return [
        name_of(obj),
        f"{summary.ready}/{total}",
        summary.reason,
        restarts,
        age_of(obj, now_s),
        _pod_ip(status),
        or_none(spec.get("nodeName")),
        or_none(status.get("nominatedNodeName")),
        _readiness_gates(spec, status),
    ]


def summarize(obj: Object) -> _Summary:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    summary = _Summary(status.get("reason") or status.get("phase") or "")
    if any(
        _is(c, "PodScheduled") and c.get("reason") == "SchedulingGated"
        for c in status.get("conditions") or ()
    ):
        summary.reason = "SchedulingGated"
    sidecars = _Summary("")
    initializing = _init_containers(spec, status, summary, sidecars)
    if not initializing or _condition(status, "Initialized"):
        summary.restarts, summary.last_restart = sidecars.restarts, sidecars.last_restart
        _containers(status, summary)
    if (obj.get("metadata") or {}).get("deletionTimestamp"):
        if status.get("reason") == _NODE_LOST:
            summary.reason = "Unknown"
        elif status.get("phase") not in _FINISHED:
            summary.reason = "Terminating"
    return summary


def _init_containers(
    spec: Mapping[str, Any], status: Mapping[str, Any], summary: _Summary, sidecars: _Summary
) -> bool:
    """Whether one of them is still at it; then it says what to show."""
    declared = {c.get("name"): c for c in spec.get("initContainers") or ()}
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        summary.count(container)
        sidecar = declared.get(container.get("name"), {}).get("restartPolicy") == "Always"
        if sidecar:
            sidecars.count(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if sidecar and container.get("started"):
            summary.ready += 1 if container.get("ready") else 0
            continue
        if terminated is not None:
            summary.reason = "Init:" + _how_it_ended(terminated)
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            summary.reason = "Init:" + waiting["reason"]
        else:
            summary.reason = f"Init:{index}/{len(declared)}"
        return True
    return False


def _containers(status: Mapping[str, Any], summary: _Summary) -> None:
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        summary.count(container)
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            summary.reason = waiting["reason"]
        elif terminated is not None:
            summary.reason = _how_it_ended(terminated)
        elif container.get("ready") and state.get("running") is not None:
            running = True
            summary.ready += 1
    if summary.reason == "Completed" and running:
        summary.reason = "Running" if _condition(status, "Ready") else "NotReady"


def _how_it_ended(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _condition(status: Mapping[str, Any], type_: str) -> bool:
    return any(_is(c, type_) and c.get("status") == "True" for c in status.get("conditions") or ())


def _is(condition: Mapping[str, Any], type_: str) -> bool:
    return condition.get("type") == type_


def _pod_ip(status: Mapping[str, Any]) -> str:
    addresses = status.get("podIPs") or ()
    return (addresses[0].get("ip") if addresses else status.get("podIP")) or NONE


def _readiness_gates(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    return f"{sum(_condition(status, gate.get('conditionType', '')) for gate in gates)}/{len(gates)}"


def _finished(obj: Object) -> list[dict[str, str]]:
    phase = (obj.get("status") or {}).get("phase", "")
    if phase not in _FINISHED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _FINISHED[phase]}]


conditions("pods", _finished)


@table("v1", "podtemplates", "Name, Containers, Images, Pod Labels")
def pod_template(obj: Object, now_s: float) -> Cells:
    template = obj.get("template") or {}
    return [name_of(obj), *container_cells(template), labels((template.get("metadata") or {}).get("labels"))]

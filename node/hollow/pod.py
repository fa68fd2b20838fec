"""The life of a hollow pod. Pure: a function of its object, its behaviour and the time.

    created --start_delay--> running --runs_for--> ended
                                ^                    | (restarted by its policy)
                                +--- back-off -------+
    deleted: from any of them, after stop_delay, gone

`step` moves a pod on to where the time says it is and tells when it must be looked at again. What is to be
written follows from where it is (`status`), so a write that was lost is made good by the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from control_plane.api import meta
from node.agent.pod_spec import Obj, init_containers, is_deleting, is_sidecar, is_terminal, main_containers
from node.agent.times import rfc3339
from node.hollow.behaviour import Behaviour

FIRST_BACKOFF_S = 10.0  # as kubelet's; the first restart is at once
MAX_BACKOFF_S = 300.0
KILLED = 137
WORTH_TELLING_S = 1.0  # a pod that starts later than this is shown being created until then


class Stage(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    BACKOFF = "back-off"
    ENDED = "ended"
    GONE = "gone"


@dataclass(slots=True)
class HollowPod:
    """Times are seconds since the epoch. `version` grows when the status becomes another."""

    pod: Obj
    behaviour: Behaviour
    seen_s: float
    ip: str
    host_ip: str
    stage: Stage = Stage.CREATED
    since_s: float = 0.0
    started_s: float = 0.0
    restarts: int = 0
    deleted_s: float = 0.0
    killed: bool = False  # deleted before it ended by itself
    version: int = 0
    written: int = 0

    def enter(self, stage: Stage, at_s: float) -> None:
        self.stage, self.since_s = stage, at_s
        self.version += 1


def adopt(pod: Obj, behaviour: Behaviour, now_s: float, ip: str, host_ip: str) -> HollowPod:
    """A pod seen for the first time by this process: new, or left by the one before it."""
    status = pod.get("status") or {}
    made = HollowPod(pod, behaviour, now_s, status.get("podIP") or ip, host_ip)
    if is_terminal(pod):
        made.stage = Stage.ENDED
    elif status.get("phase") == "Running":
        made.stage = Stage.RUNNING
        made.started_s = made.since_s = meta.parse_time(status.get("startTime")) or now_s
    elif behaviour.waiting or behaviour.start_delay_s >= WORTH_TELLING_S:
        made.version += 1
    return made


def step(each: HollowPod, now_s: float) -> float | None:
    """Moves it on; the time at which it moves again, None when only an event can move it."""
    while True:
        due_s = _due_s(each)
        if due_s is None or due_s > now_s:
            return due_s
        _move(each, due_s)


def _due_s(each: HollowPod) -> float | None:
    behaviour = each.behaviour
    if each.stage is Stage.GONE:
        return None
    if is_deleting(each.pod):
        return each.deleted_s + (0.0 if each.stage is Stage.ENDED else behaviour.stop_delay_s)
    match each.stage:
        case Stage.CREATED:
            return None if behaviour.waiting else each.seen_s + behaviour.start_delay_s
        case Stage.RUNNING:
            return None if behaviour.runs_for_s is None else each.since_s + behaviour.runs_for_s
        case Stage.BACKOFF:
            return each.since_s + backoff_s(each.restarts)
        case _:
            return None


def _move(each: HollowPod, at_s: float) -> None:
    if is_deleting(each.pod):
        each.killed = each.stage is not Stage.ENDED
        each.enter(Stage.GONE, at_s)
    elif each.stage is Stage.CREATED:
        each.started_s = at_s
        each.enter(Stage.RUNNING, at_s)
    elif each.stage is Stage.BACKOFF:
        each.restarts += 1
        each.enter(Stage.RUNNING, at_s)
    elif each.behaviour.restarts:
        each.enter(Stage.BACKOFF, at_s)
    else:
        each.enter(Stage.ENDED, at_s)


def backoff_s(restarts: int) -> float:
    """Before the next restart, after so many."""
    return 0.0 if restarts == 0 else float(min(FIRST_BACKOFF_S * 2.0 ** min(restarts - 1, 8), MAX_BACKOFF_S))


# ---- status


def status(each: HollowPod) -> Obj:
    """What the node agent owns of the pod's status."""
    phase = _phase(each)
    ready = each.stage is Stage.RUNNING and each.behaviour.ready
    made: Obj = {
        "phase": phase,
        "conditions": _conditions(each, phase, ready),
        "startTime": rfc3339(each.started_s or each.seen_s),
        "hostIP": each.host_ip,
        "hostIPs": [{"ip": each.host_ip}],
        "containerStatuses": [_container(each, c, _state(each), ready) for c in main_containers(each.pod)],
    }
    if generation := each.pod["metadata"].get("generation"):
        made["observedGeneration"] = generation
    if started := each.stage is not Stage.CREATED:
        made |= {"podIP": each.ip, "podIPs": [{"ip": each.ip}]}
    if init := init_containers(each.pod):
        made["initContainerStatuses"] = [_init(each, container, started) for container in init]
    return made


def _phase(each: HollowPod) -> str:
    match each.stage:
        case Stage.CREATED:
            return "Pending"
        case Stage.RUNNING | Stage.BACKOFF:
            return "Running"
        case _:
            return "Failed" if each.killed or each.behaviour.exit_code != 0 else "Succeeded"


def _state(each: HollowPod) -> Obj:
    match each.stage:
        case Stage.CREATED:
            return {"waiting": {"reason": each.behaviour.waiting or "ContainerCreating"}}
        case Stage.RUNNING:
            return {"running": {"startedAt": rfc3339(each.since_s)}}
        case Stage.BACKOFF:
            wait_s = backoff_s(each.restarts)
            message = f"back-off {wait_s:.0f}s restarting failed container"
            return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        case _:
            return _terminated(each)


def _terminated(each: HollowPod) -> Obj:
    code = KILLED if each.killed else each.behaviour.exit_code
    return {
        "terminated": {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": rfc3339(each.started_s or each.seen_s),
            "finishedAt": rfc3339(each.since_s),
        }
    }


def _container(each: HollowPod, container: Obj, state: Obj, ready: bool) -> Obj:
    ran = each.restarts > 0 or each.stage is Stage.BACKOFF
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": f"hollow://{container.get('image', '')}" if each.stage is not Stage.CREATED else "",
        "ready": ready,
        "started": each.stage is Stage.RUNNING,
        "restartCount": each.restarts,
        "state": state,
        "lastState": _terminated(each) if ran and each.stage is not Stage.GONE else {},
    }


def _init(each: HollowPod, container: Obj, started: bool) -> Obj:
    if is_sidecar(container) or not started:
        return _container(each, container, _state(each), each.stage is Stage.RUNNING)
    at = rfc3339(each.started_s)
    done = {"exitCode": 0, "reason": "Completed", "startedAt": at, "finishedAt": at}
    return _container(each, container, {"terminated": done}, True)


def _conditions(each: HollowPod, phase: str, ready: bool) -> list[Obj]:
    started = each.stage is not Stage.CREATED
    begun = rfc3339(each.started_s or each.seen_s)
    moved = rfc3339(each.since_s or each.seen_s)
    reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
    why = {} if ready else {"reason": reason}
    if not ready and reason == "ContainersNotReady":
        names = " ".join(container["name"] for container in main_containers(each.pod))
        why["message"] = f"containers with unready status: [{names}]"
    return [
        {"type": "PodReadyToStartContainers", "status": _truth(started), "lastTransitionTime": begun},
        {"type": "Initialized", "status": _truth(started), "lastTransitionTime": begun},
        {"type": "Ready", "status": _truth(ready), "lastTransitionTime": moved, **why},
        {"type": "ContainersReady", "status": _truth(ready), "lastTransitionTime": moved, **why},
    ]


def _truth(holds: bool) -> str:
    return "True" if holds else "False"

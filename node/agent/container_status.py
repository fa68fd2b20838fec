"""The status of one container as the API shows it: state, lastState, reasons, counts. Pure.

What the runtime says comes first; a container that waits to be restarted shows why it waits, with its end as
`lastState`. Reasons and messages are kubelet's, for people and tools match on them.
"""

from __future__ import annotations

from node.agent import resize, restart, times
from node.agent.pod_spec import Obj, Role, full_name, init_containers
from node.agent.view import Problem, View, has_exited, is_running
from node.runtime.interface import ContainerStatus

GONE_EXIT_CODE = 137
GONE_REASON = "ContainerStatusUnknown"
GONE_MESSAGE = "The container could not be located when the pod was terminated"


def make(view: View, container: Obj, role: Role, old: Obj | None, ended_for_good: bool) -> Obj:
    """`old`: the status written last; what the runtime has forgotten is kept from it."""
    latest = view.latest(container["name"])
    if latest is None:
        return _without_container(view, container, role, old, ended_for_good)
    state, last_state = _states(view, container, role, latest, old, ended_for_good)
    ready = view.is_ready(container, latest)
    if role is Role.INIT:
        ready = has_exited(latest) and latest.exit_code == 0
    status: Obj = {
        "name": container["name"],
        "state": state,
        "lastState": last_state,
        "ready": ready,
        "restartCount": max(latest.config.attempt, int((old or {}).get("restartCount", 0))),
        "image": latest.config.image,
        "imageID": latest.image_ref,
        "containerID": f"{view.host.runtime_name}://{latest.id}",
        "started": is_running(latest) if role is Role.INIT else view.is_started(container, latest),
    }
    status.update(_declared(container, latest))
    return status


def _declared(container: Obj, latest: ContainerStatus) -> Obj:
    """What was asked and has been given: resources (KEP-1287) and mounts (KEP-3857)."""
    extra: Obj = {}
    allocated = container.get("resources") or {}
    given = resize.actuated(latest) if is_running(latest) else None
    if resources := allocated if given is None else given:
        extra["resources"] = resources
    if requests := allocated.get("requests"):
        extra["allocatedResources"] = requests
    mounts = [_mount(each) for each in container.get("volumeMounts") or []]
    if mounts:
        extra["volumeMounts"] = mounts
    return extra


def _mount(mount: Obj) -> Obj:
    shown = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        shown |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return shown


def _states(
    view: View, container: Obj, role: Role, latest: ContainerStatus, old: Obj | None, ended_for_good: bool
) -> tuple[Obj, Obj]:
    last_state = _last_state(view, latest, old)
    if is_running(latest):
        return {"running": {"startedAt": times.from_ns(latest.started_at_ns)}}, last_state
    if not has_exited(latest):
        return _waiting(view, container, role), last_state
    ended = terminated(view, latest)
    if ended_for_good or not _will_restart(view, container, role, latest):
        return {"terminated": ended}, last_state
    waiting = _waiting_to_restart(view, container, latest)
    return (waiting, {"terminated": ended}) if waiting else ({"terminated": ended}, last_state)


def _last_state(view: View, latest: ContainerStatus, old: Obj | None) -> Obj:
    previous = view.previous(latest.config.name)
    if previous is not None and has_exited(previous):
        return {"terminated": terminated(view, previous)}
    kept: Obj = (old or {}).get("lastState") or {}
    return kept


def _will_restart(view: View, container: Obj, role: Role, ended: ContainerStatus) -> bool:
    if role is Role.INIT and view.in_sandbox(container["name"]) is None and view.sandbox is not None:
        return True
    return restart.wanted(view, container, role, ended)


def _waiting_to_restart(view: View, container: Obj, ended: ContainerStatus) -> Obj | None:
    """None while the restart is immediate: then the end itself is shown."""
    problem = view.problems.get(container["name"])
    if problem is not None and (problem.image or view.now_s < problem.retry_at_s):
        return _problem(view, problem)
    if view.now_s >= restart.restart_at_s(ended) or not restart.waiting_s(ended):
        return None
    wait = restart.go_duration(restart.waiting_s(ended))
    message = f"back-off {wait} restarting failed container={container['name']} pod={full_name(view.pod)}"
    return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}


def _problem(view: View, problem: Problem) -> Obj:
    reason, message = problem.shown(view.now_s)
    return {"waiting": {"reason": reason, "message": message}}


def _waiting(view: View, container: Obj, role: Role) -> Obj:
    problem = view.problems.get(container["name"])
    if problem is not None:
        return _problem(view, problem)
    initializing = bool(init_containers(view.pod)) and role is not Role.EPHEMERAL
    return {"waiting": {"reason": "PodInitializing" if initializing else "ContainerCreating"}}


def _without_container(view: View, container: Obj, role: Role, old: Obj | None, ended_for_good: bool) -> Obj:
    """Never created, or removed from the runtime; a running one that vanished has failed."""
    state = _waiting(view, container, role)
    last_state: Obj = (old or {}).get("lastState") or {}
    old_state = (old or {}).get("state") or {}
    if "terminated" in old_state:
        state = old_state
    elif ended_for_good and "running" in old_state:
        lost = {"exitCode": GONE_EXIT_CODE, "reason": GONE_REASON, "message": GONE_MESSAGE}
        state = {
            "terminated": {**lost, "startedAt": old_state["running"].get("startedAt"), "finishedAt": None}
        }
    return {
        "name": container["name"],
        "state": state,
        "lastState": last_state,
        "ready": role is Role.INIT and (state.get("terminated") or {}).get("exitCode") == 0,
        "restartCount": int((old or {}).get("restartCount", 0)),
        "image": container.get("image", ""),
        "imageID": (old or {}).get("imageID", ""),
        "started": False,
        **({"containerID": old["containerID"]} if old and old.get("containerID") else {}),
    }


def terminated(view: View, status: ContainerStatus) -> Obj:
    ended: Obj = {
        "exitCode": status.exit_code,
        "reason": status.reason or ("Error" if status.exit_code else "Completed"),
        "startedAt": times.from_ns(status.started_at_ns),
        "finishedAt": times.from_ns(status.finished_at_ns),
        "containerID": f"{view.host.runtime_name}://{status.id}",
    }
    if status.message:
        ended["message"] = status.message
    return ended

"""In-place resize (KEP-1287, KEP-5419), pure: what a pod asks for, what this node has given it, what its
containers have.

    desired    the pod's spec, which `pods/resize` changes
    allocated  what the node counts for the pod: moves to the desired amounts when they fit (`judge`)
    actuated   what a container runs with; the runtime keeps it, in annotations of the container: its own amounts,
               and those of its pod where that asks for any as a whole

The agent works on the pod as it is allocated (`with_allocation`); a container whose actuated amounts differ is
changed while it runs, or started anew where its resizePolicy says so. After a restart of the agent the allocation
is what the containers have, and what is still desired is judged again. Reasons and messages are kubelet's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from control_plane.api.quantity import ZERO
from node.agent import admission, qos
from node.agent.errors import Rejected
from node.agent.pod_spec import Obj, Role, containers_by_role, is_static
from node.runtime.interface import BelowUsage, ContainerState, ContainerStatus, RuntimeError_

RESOURCES_ANNOTATION = "balsa.io/resources"
POD_RESOURCES_ANNOTATION = "balsa.io/pod-resources"
POD = ""  # among the names of containers: the pod as a whole
RESIZABLE = ("cpu", "memory")
DEFERRED, INFEASIBLE = "Deferred", "Infeasible"
STATIC_MESSAGE = "In-place resize of static-pods is not supported"

Allocation = Mapping[str, Obj]  # container name, or POD -> its `resources`


@dataclass(frozen=True, slots=True)
class Pending:
    """Why the desired amounts cannot be allocated now (Deferred), or ever on this node (Infeasible)."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """An allocated change that a container does not take."""

    message: str
    retry_at_s: float


@dataclass(frozen=True, slots=True)
class Resizing:
    """Where a pod's resize stands; shown as its conditions."""

    pending: Pending | None = None
    under_way: frozenset[str] = frozenset()  # ids of containers being changed
    trouble: Trouble | None = None
    begun: bool = False  # allocated since, and not all containers have it


NO_RESIZE = Resizing()


def allocation(pod: Obj) -> Allocation:
    found = {
        container["name"]: container.get("resources") or {}
        for role, container in containers_by_role(pod)
        if role in (Role.MAIN, Role.SIDECAR)
    }
    return {POD: pod_level(pod), **found} if pod_level(pod) else found


def pod_level(pod: Obj) -> Obj:
    found: Obj = pod["spec"].get("resources") or {}
    return found


def adopted(pod: Obj, containers: Iterable[ContainerStatus]) -> Allocation:
    """What an earlier agent had given: the amounts of the newest container of each name, else the spec's."""
    found = dict(allocation(pod))
    for status in sorted(containers, key=lambda each: each.config.attempt):
        given = actuated(status)
        if given is None or status.config.name not in found:
            continue
        found[status.config.name] = given
        if POD in found:
            found[POD] = actuated(status, POD_RESOURCES_ANNOTATION) or {}
    return found


def with_allocation(pod: Obj, given: Allocation) -> Obj:
    """The pod as this node counts and runs it."""
    if not differs(pod, given):
        return pod
    spec = dict(pod["spec"])
    if POD in given or "resources" in spec:
        spec["resources"] = given.get(POD, {})
    for key in ("containers", "initContainers"):
        if key in spec:
            spec[key] = [_with_resources(each, given) for each in spec[key] or []]
    return {**pod, "spec": spec}


def _with_resources(container: Obj, given: Allocation) -> Obj:
    if container["name"] not in given:
        return container
    return {**container, "resources": given[container["name"]]}


def differs(pod: Obj, given: Allocation) -> bool:
    return any(not same(given.get(name, {}), wanted) for name, wanted in allocation(pod).items())


def same(one: Obj, other: Obj) -> bool:
    """Equal in what a resize can change; `1` and `1000m` are."""
    return not changed_resources(one, other)


def changed_resources(one: Obj, other: Obj) -> set[str]:
    return {
        name
        for side in ("requests", "limits")
        for name in RESIZABLE
        if qos.amounts(one.get(side)).get(name) != qos.amounts(other.get(side)).get(name)
    }


def judge(pod: Obj, node: Obj, others: Iterable[Obj]) -> Pending | None:
    """None: the desired amounts fit beside what the others have been given."""
    if is_static(pod):
        return Pending(INFEASIBLE, STATIC_MESSAGE)
    allocatable = qos.amounts((node.get("status") or {}).get("allocatable"))
    wanted = qos.pod_requests(pod)
    for name in (name for name in RESIZABLE if name in allocatable):
        asked, have = (admission.shown(name, each) for each in (wanted.get(name, ZERO), allocatable[name]))
        if asked > have:
            message = f"Node didn't have enough capacity: {name}, requested: {asked}, capacity: {have}"
            return Pending(INFEASIBLE, message)
    try:
        admission.check_resources(pod, node, list(others))
    except Rejected as rejected:
        return Pending(DEFERRED, str(rejected))
    return None


def grows(pod: Obj, given: Allocation) -> bool:
    """Whether the pod asks for more than it has; one that shrinks is served first."""
    before, after = qos.pod_requests(with_allocation(pod, given)), qos.pod_requests(pod)
    return any(after.get(name, ZERO) > before.get(name, ZERO) for name in RESIZABLE)


def notes(pod: Obj, container: Obj) -> dict[str, str]:
    noted = {RESOURCES_ANNOTATION: container.get("resources") or {}}
    if whole := pod_level(pod):
        noted[POD_RESOURCES_ANNOTATION] = whole
    return {key: json.dumps(amounts, sort_keys=True) for key, amounts in noted.items()}


def actuated(status: ContainerStatus, key: str = RESOURCES_ANNOTATION) -> Obj | None:
    """What the container runs with; None for one of an agent that did not note it."""
    text = status.config.annotations.get(key)
    found: Obj | None = json.loads(text) if text else None
    return found


def actuated_pod_level(pod: Obj, latest: Callable[[str], ContainerStatus | None]) -> Obj:
    """What the pod runs with as a whole: what is allocated, once all its containers have been changed."""
    running = (latest(name) for name in allocation(pod) if name != POD)
    noted = [
        actuated(each, POD_RESOURCES_ANNOTATION)
        for each in running
        if each is not None and each.state is ContainerState.RUNNING
    ]
    wanted = pod_level(pod)
    return next((each for each in noted if each is not None and not same(each, wanted)), wanted)


def is_due(pod: Obj, container: Obj, status: ContainerStatus) -> bool:
    """The container, or its pod, runs with other amounts than those allocated."""
    now = actuated(status)
    if now is None:
        return False
    whole = actuated(status, POD_RESOURCES_ANNOTATION) or {}
    return not same(now, container.get("resources") or {}) or not same(whole, pod_level(pod))


def is_done(pod: Obj, latest: Callable[[str], ContainerStatus | None]) -> bool:
    """All containers run with what is allocated to them."""
    for name, wanted in allocation(pod).items():
        if name == POD:
            continue  # each of its containers knows of it
        status = latest(name)
        if status is None or status.state is not ContainerState.RUNNING:
            return False
        if is_due(pod, {"resources": wanted}, status):
            return False
    return True


def needs_restart(container: Obj, status: ContainerStatus) -> bool:
    changed = changed_resources(actuated(status) or {}, container.get("resources") or {})
    policies = container.get("resizePolicy") or []
    return any(
        each.get("restartPolicy") == "RestartContainer" and each.get("resourceName") in changed
        for each in policies
    )


def trouble_message(container_name: str, error: RuntimeError_) -> str:
    if not isinstance(error, BelowUsage):
        return str(error)
    *of, limit, usage = str(error).split()
    whose = "pod" if of else f'container "{container_name}"'
    return (
        f"cannot decrease memory limits: attempting to set {whose} memory limit "
        f"({limit}) below current usage ({usage})"
    )


def event_text(what: str, pod: Obj, error: str = "") -> str:
    """`Pod resize started: {…}`: the containers' amounts, the generation, and what went wrong."""
    allocated = allocation(pod)
    details: dict[str, Any] = {
        "containers": [
            {"name": name, "resources": _shown(given)} for name, given in allocated.items() if name != POD
        ],
        "generation": pod["metadata"].get("generation", 0),
    }
    if POD in allocated:
        details["resources"] = _shown(allocated[POD])
    if error:
        details["error"] = error
    return f"Pod resize {what}: {json.dumps(details, separators=(',', ':'))}"


def _shown(given: Obj) -> Obj:
    return {key: given[key] for key in ("limits", "requests") if key in given}

"""The whole pod status, from a View and the status written last. Pure."""

from __future__ import annotations

from node.agent import container_status, outcome, pod_conditions, pod_phase, qos, resize
from node.agent.pod_spec import (
    Obj,
    Role,
    ephemeral_containers,
    host_network,
    init_containers,
    is_deleting,
    is_sidecar,
    main_containers,
)
from node.agent.times import rfc3339
from node.agent.view import View

STATUS_LISTS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def make(view: View, old: Obj) -> Obj:
    """Only fields the agent owns are in it, but for conditions, where those of others are kept."""
    decided = outcome.decide(view)
    ended = decided is not None or is_deleting(view.pod) or view.gone
    init = [_container(view, each, _init_role(each), old, ended) for each in init_containers(view.pod)]
    main = [_container(view, each, Role.MAIN, old, ended) for each in main_containers(view.pod)]
    debug = [_container(view, each, Role.EPHEMERAL, old, ended) for each in ephemeral_containers(view.pod)]
    phase = pod_phase.make(view, main, init)
    conditions = old.get("conditions") or []
    others = [each for each in conditions if each.get("type") not in pod_conditions.OWNED]
    if decided is not None and decided.disruption:
        target = pod_conditions.disruption(view, decided.disruption, decided.message, conditions)
        others = [*(each for each in others if each["type"] != target["type"]), target]
    status: Obj = {
        "phase": phase,
        "conditions": pod_conditions.make(view, phase, [*init, *main], conditions) + others,
        "qosClass": old.get("qosClass") or qos.qos_class(view.pod),
        "startTime": old.get("startTime") or rfc3339(view.started_at_s or view.now_s),
        "hostIP": view.host.ips[0] if view.host.ips else None,
        "hostIPs": [{"ip": each} for each in view.host.ips],
        "containerStatuses": sorted(main, key=lambda each: str(each["name"])),
    }
    if decided is not None and decided.reason and not view.containers and "containerStatuses" not in old:
        del status["containerStatuses"]  # rejected: nothing was ever to be seen of its containers
    elif init:
        status["initContainerStatuses"] = init
    if debug:
        status["ephemeralContainerStatuses"] = sorted(debug, key=lambda each: str(each["name"]))
    if whole := resize.pod_level(view.pod):
        status["resources"] = resize.actuated_pod_level(view.pod, view.latest)
        status["allocatedResources"] = whole.get("requests") or {}
    if generation := view.pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    return {**status, **_addresses(view, old), **_why(view, phase)}


def _init_role(container: Obj) -> Role:
    return Role.SIDECAR if is_sidecar(container) else Role.INIT


def _container(view: View, container: Obj, role: Role, old: Obj, ended: bool) -> Obj:
    listed = [each for key in STATUS_LISTS for each in old.get(key) or []]
    before = next((each for each in listed if each.get("name") == container["name"]), None)
    return container_status.make(view, container, role, before, ended)


def _addresses(view: View, old: Obj) -> Obj:
    """The pod's addresses; once it had them, an ended pod goes on showing them."""
    sandbox = view.sandbox
    ips = list(sandbox.ips) if sandbox else []
    if sandbox and host_network(view.pod):
        ips = list(view.host.ips)
    if ips:
        return {"podIP": ips[0], "podIPs": [{"ip": each} for each in ips]}
    return {key: old[key] for key in ("podIP", "podIPs") if old.get(key)}


def _why(view: View, phase: str) -> Obj:
    decided = outcome.decide(view)
    if decided is None or decided.phase != phase:
        return {}
    return {key: text for key, text in (("reason", decided.reason), ("message", decided.message)) if text}

"""Why a node is not ready, or takes no pods. Pure."""

from __future__ import annotations

from cluster.why.cause import Cause
from cluster.why.world import World, age, plural
from control_plane.api import meta
from control_plane.api.quantity import parse_or_zero
from control_plane.client.types import Obj

LEASES = "kube-node-lease"
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


def is_ready(node: Obj) -> bool:
    return meta.condition_is_true(node, "Ready")


def explain(world: World, node: Obj) -> Cause:
    found = trouble(world, node)
    if found is not None:
        return found
    about, name = f"node/{meta.name_of(node)}", meta.name_of(node)
    running = [
        pod
        for pod in world.all("allpods") or world.all("pods")
        if pod["spec"].get("nodeName") == name
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]
    limit = int(parse_or_zero(((node.get("status") or {}).get("allocatable") or {}).get("pods")).value())
    if limit and len(running) >= limit:
        return Cause(
            about, "is full", (f"{len(running)} of {limit} pods",), do=("delete pods, or add a node",)
        )
    since = age(world, (meta.condition(node, "Ready") or {}).get("lastTransitionTime"))
    facts = [f"{plural(len(running), 'pod')} of {limit}"]
    facts += [f"taint {_taint(each)}" for each in node["spec"].get("taints") or ()]
    return Cause(about, f"has been ready for {since}", tuple(facts), healthy=True)


def trouble(world: World, node: Obj) -> Cause | None:
    """None when it is ready and takes pods."""
    name = meta.name_of(node)
    about = f"node/{name}"
    ready = meta.condition(node, "Ready") or {}
    silence_s = world.silence_s(name, LEASES)
    if ready.get("status") != "True" and silence_s is not None:
        silent = Cause(
            f"lease/{name}", f"was not renewed for {silence_s:.0f} s: the node's agent is not running"
        )
        return Cause(about, "does not answer", because=(silent,), do=_agent_steps(name))
    if ready.get("status") != "True":
        said = str(ready.get("message") or "its agent has never reported")
        return Cause(
            about, f"is not ready ({ready.get('reason') or 'unknown'})", (said,), do=_agent_steps(name)
        )
    for kind in PRESSURES:
        if meta.condition_is_true(node, kind):
            said = str((meta.condition(node, kind) or {}).get("message", ""))
            return Cause(about, f"is under {kind}", (said,), do=(_relief(kind),))
    if node["spec"].get("unschedulable"):
        return Cause(about, "is cordoned: it takes no new pods", do=(f"kubectl uncordon {name}",))
    return None


def _agent_steps(name: str) -> tuple[str, ...]:
    return (f"balsa status; balsa logs {name}",)


def _relief(kind: str) -> str:
    return {
        "MemoryPressure": "delete pods that use much memory, or give them limits",
        "DiskPressure": "free disk space on the node",
        "PIDPressure": "find the pod that starts so many processes",
    }.get(kind, "see the log of the node's agent")


def _taint(taint: Obj) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"

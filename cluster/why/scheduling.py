"""Why a pod has no node: gates, a scheduler that is not there, or what each node lacks. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cluster.why import claims
from cluster.why.cause import Cause
from cluster.why.world import World
from control_plane.api import meta
from control_plane.api.quantity import Quantity, from_units, parse_or_zero
from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import (
    NO_EXECUTE,
    NO_SCHEDULE,
    taints,
    tolerations,
    untolerated,
)
from control_plane.scheduler.framework.annotations import group_of

DEFAULT_SCHEDULER = "default-scheduler"
HARD = (NO_SCHEDULE, NO_EXECUTE)
SCHEDULER_LEASE = ("kube-scheduler", "kube-system")
_COUNTED = re.compile(r"^(\d+) (.*)$")
_RESOURCE = re.compile(r"^Insufficient (\S+)$")


def explain(world: World, pod: Obj) -> Cause:
    about = f"pod/{meta.name_of(pod)}"
    spec = pod["spec"]
    if gates := [each["name"] for each in spec.get("schedulingGates") or ()]:
        return Cause(
            about,
            f"is held back by its scheduling {_gates(gates)}",
            do=("remove the gates from spec.schedulingGates when the pod may be scheduled",),
        )
    if (waiting := _group(world, pod, about)) is not None:
        return waiting
    scheduler = spec.get("schedulerName") or DEFAULT_SCHEDULER
    condition = meta.condition(pod, "PodScheduled") or {}
    if condition.get("status") == "False":
        return _refused(world, pod, str(condition.get("message", "")))
    if scheduler != DEFAULT_SCHEDULER and not world.events(pod):
        return Cause(
            about,
            f"waits for the scheduler {scheduler!r}, which has not said anything about it",
            do=(f"check that a scheduler with the profile {scheduler} runs, or correct spec.schedulerName",),
        )
    silence_s = world.silence_s(*SCHEDULER_LEASE)
    if silence_s is not None:
        gone = Cause("scheduler", f"has not renewed its lease for {silence_s:.0f} s: none is running")
        return Cause(about, "waits to be scheduled", because=(gone,), do=("balsa status",))
    return Cause(about, "waits for its first try at being scheduled", do=("try again in a moment",))


def _group(world: World, pod: Obj, about: str) -> Cause | None:
    """One of a group that is not complete yet: until then its pods are not even tried."""
    group = group_of(pod)
    if group is None:
        return None
    there = sum(
        (other := group_of(each)) is not None and other.name == group.name for each in world.all("pods")
    )
    if there >= group.min_member:
        return None
    says = f"waits for its group {group.name}: {there} of the {group.min_member} pods that it needs exist"
    return Cause(about, says, do=("create the other pods of the group, or lower min-member",))


def _gates(gates: Sequence[str]) -> str:
    return ("gate " if len(gates) == 1 else "gates ") + ", ".join(gates)


def _refused(world: World, pod: Obj, message: str) -> Cause:
    about = f"pod/{meta.name_of(pod)}"
    if not world.all("nodes") and world.knows("nodes"):
        return Cause(about, "has no node: the cluster has none", do=("start a node agent: balsa up",))
    facts: list[str] = []
    steps: list[str] = []
    because: list[Cause] = []
    for reason in reasons(message):
        because += _claims_behind(world, pod, reason)
        facts.append(reason)
        fact, step = _about(world, pod, reason)
        facts += [f"  {fact}"] if fact else []
        steps += [step] if step else []
    if (nominated := (pod.get("status") or {}).get("nominatedNodeName")) and message:
        facts.append(f"room is being made for it on {nominated}: other pods are ending there")
    return Cause(
        about, f"fits on no node{_of(message)}", tuple(facts), tuple(because), tuple(dict.fromkeys(steps))
    )


def _of(message: str) -> str:
    match = re.match(r"(\d+)/(\d+) nodes are available", message)
    return f" of {match[2]}" if match else ""


def reasons(message: str) -> list[str]:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: …`"""
    body = re.sub(r"^\d+/\d+ nodes are available: ?", "", message)
    body = re.split(r"\.? ?(?:no new claims to deallocate, )?preemption: ", body)[0].strip().rstrip(".")
    return [part for part in re.split(r", (?=\d+ )", body) if part]


def _bare(reason: str) -> str:
    match = _COUNTED.match(reason)
    return match[2] if match else reason


def _about(world: World, pod: Obj, reason: str) -> tuple[str, str]:
    """A fact that explains the scheduler's words, and what to do; either may be empty."""
    bare = _bare(reason)
    if match := _RESOURCE.match(bare):
        return _shortage(world, pod, match[1])
    if bare == "Too many pods":
        return "", "delete pods, or add a node"
    if "untolerated taint" in bare:
        return _taints(world, pod)
    if "unschedulable" in bare:
        cordoned = [meta.name_of(n) for n in world.all("nodes") if n["spec"].get("unschedulable")]
        return f"cordoned: {', '.join(cordoned)}", f"kubectl uncordon {cordoned[0]}" if cordoned else ""
    if "node affinity/selector" in bare:
        return _selector(world, pod)
    if "didn't have free ports" in bare:
        return "", "another pod has its host port on each node: remove hostPort, or use a Service"
    if "topology spread" in bare:
        return "", "relax maxSkew or whenUnsatisfiable, or add nodes to the emptier domains"
    if "anti-affinity" in bare or "pod affinity" in bare:
        return "", "check spec.affinity against where the pods that it names are"
    return "", ""


def _taints(world: World, pod: Obj) -> tuple[str, str]:
    tolerated = tolerations(pod["spec"].get("tolerations"))
    on_nodes = [
        untolerated(taints(node["spec"].get("taints")), tolerated, HARD) for node in world.all("nodes")
    ]
    found = sorted({(taint.key, taint.value, taint.effect) for taint in on_nodes if taint is not None})
    if not found:
        return "", ""
    of_users = [each for each in found if not each[0].startswith("node.kubernetes.io/")]
    if not of_users:
        return (
            "the cluster itself keeps pods away from these nodes",
            "balsa why node/NAME, for a node that is tainted",
        )
    fact = ", ".join(f"{key}={value}:{effect}" for key, value, effect in of_users)
    return (
        f"tainted {fact}",
        f"add a toleration for {of_users[0][0]} to the pod, or remove the taint from a node",
    )


def _selector(world: World, pod: Obj) -> tuple[str, str]:
    wanted = pod["spec"].get("nodeSelector") or {}
    step = "label a node so that it matches: kubectl label node NAME KEY=VALUE"
    for key, value in wanted.items():
        have = {meta.labels(node).get(key) for node in world.all("nodes")}
        if value not in have:
            others = sorted(each for each in have if each is not None)
            known = f"; there are {', '.join(others)}" if others else ""
            return f"no node has the label {key}={value}{known}", f"kubectl label node NAME {key}={value}"
    return "", step


def _shortage(world: World, pod: Obj, resource: str) -> tuple[str, str]:
    asked = requested(pod, resource)
    free = {meta.name_of(node): _free(world, node, resource) for node in world.all("nodes")}
    largest = {name: _allocatable(node, resource) for name, node in _named(world)}
    if not free:
        return "", ""
    best = max(free, key=lambda name: free[name].nanos)
    fact = f"it asks for {asked} {resource}; the most that is free is {_shown(free[best])} on {best}"
    if all(size.nanos < asked.nanos for size in largest.values()):
        return fact, f"no node is that large: ask for less {resource}, or add a larger node"
    return fact, f"ask for less {resource}, add a node, or delete what is not needed"


def _shown(quantity: Quantity) -> str:
    return str(quantity if quantity.nanos > 0 else from_units(0))


def _named(world: World) -> list[tuple[str, Obj]]:
    return [(meta.name_of(node), node) for node in world.all("nodes")]


def _allocatable(node: Obj, resource: str) -> Quantity:
    return parse_or_zero(((node.get("status") or {}).get("allocatable") or {}).get(resource))


def _free(world: World, node: Obj, resource: str) -> Quantity:
    left = _allocatable(node, resource)
    for pod in world.all("allpods") or world.all("pods"):
        running = (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        if running and pod["spec"].get("nodeName") == meta.name_of(node):
            left = left - requested(pod, resource)
    return left


def requested(pod: Obj, resource: str) -> Quantity:
    """Of a pod: the sum of its containers or its largest init container; the overhead."""

    def of(container: Obj) -> Quantity:
        return parse_or_zero(((container.get("resources") or {}).get("requests") or {}).get(resource))

    total = parse_or_zero((pod["spec"].get("overhead") or {}).get(resource))
    running = total
    for container in pod["spec"].get("containers") or ():
        running = running + of(container)
    first = [total + of(container) for container in pod["spec"].get("initContainers") or ()]
    return max([running, *first], key=lambda quantity: quantity.nanos)


def _claims_behind(world: World, pod: Obj, reason: str) -> list[Cause]:
    if "persistentvolumeclaim" not in reason.lower() and "PersistentVolume" not in reason:
        return []
    found = []
    for volume in pod["spec"].get("volumes") or ():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        claim = world.get("persistentvolumeclaims", name) if name else None
        if name and claim is None:
            found.append(claims.missing(name))
        elif claim is not None and (claim.get("status") or {}).get("phase") != "Bound":
            found.append(claims.explain(world, claim))
    return found

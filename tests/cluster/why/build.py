"""Small objects for worlds, with only what explanations read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.why import target
from cluster.why.cause import Cause
from cluster.why.world import World
from control_plane.api import meta

Obj = dict[str, Any]
CLAIMED = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
NOW_S = 1_700_000_000.0


def ago(seconds: float) -> str:
    return meta.rfc3339(NOW_S - seconds)


def obj(
    name: str, owner: Obj | None = None, /, spec: Obj | None = None, status: Obj | None = None, **more: Any
) -> Obj:
    metadata: Obj = {"name": name, "namespace": "default", "uid": f"uid-{name}", **more}
    if owner is not None:
        reference = {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}
        metadata["ownerReferences"] = [{"kind": "X", "apiVersion": "v1", **reference}]
    return {"metadata": metadata, "spec": spec or {}, "status": status or {}}


def condition(kind: str, status: str = "True", reason: str = "", message: str = "") -> Obj:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(60),
    }


def node(name: str = "node-1", ready: str = "True", cpu: str = "2", **more: Any) -> Obj:
    conditions = [condition("Ready", ready, "KubeletReady" if ready == "True" else "NodeStatusUnknown")]
    size = {"cpu": cpu, "memory": "4Gi", "pods": "110"}
    return obj(
        name, spec=more.pop("spec", {}), status={"conditions": conditions, "allocatable": size}, **more
    )


def pod(name: str = "p", owner: Obj | None = None, /, *, on: str = "node-1", **fields: Any) -> Obj:
    spec = {"containers": [{"name": "c", "image": "web:1"}], **fields.pop("spec", {})}
    if on:
        spec["nodeName"] = on
    status = fields.pop("status", {"phase": "Running", "conditions": [condition("Ready")]})
    return obj(name, owner, spec=spec, status=status, **fields)


def pending(message: str, **fields: Any) -> Obj:
    refused = condition("PodScheduled", "False", "Unschedulable", message)
    return pod(on="", status={"phase": "Pending", "conditions": [refused]}, **fields)


def containers(*states: Obj, phase: str = "Running") -> Obj:
    """A pod status: each state is a container's status, with its defaults filled in."""
    filled = [{"name": "c", "image": "web:1", "ready": False, "restartCount": 0, **each} for each in states]
    return {
        "phase": phase,
        "startTime": ago(60),
        "containerStatuses": filled,
        "conditions": [condition("Ready", "False", "ContainersNotReady")],
    }


def event(about: Obj, reason: str, message: str, seconds_ago: float = 5) -> Obj:
    involved = {"uid": about["metadata"]["uid"], "name": about["metadata"]["name"]}
    return {
        "metadata": {"name": f"{reason}-{seconds_ago}"},
        "involvedObject": involved,
        "reason": reason,
        "message": message,
        "lastTimestamp": ago(seconds_ago),
    }


def lease(name: str, silent_s: float, namespace: str = "kube-node-lease") -> Obj:
    spec = {"renewTime": ago(silent_s), "leaseDurationSeconds": 10}
    return obj(name, spec=spec, namespace=namespace)


def why(target_name: str, **objects: Sequence[Obj]) -> Cause:
    everything = {"nodes": [node()], **objects}
    return target.explain(World("default", everything, NOW_S), *target.parse([target_name]))


def told(cause: Cause) -> str:
    """Everything that is said, in one string."""
    own = " ".join([cause.about, cause.says, *cause.facts])
    return " | ".join([own, *(told(each) for each in cause.because)])


def claim(status: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    spec = {
        "resources": {"requests": {"storage": "2Gi"}},
        "accessModes": ["ReadWriteOnce"],
        **fields.pop("spec", {}),
    }
    return obj("data", spec=spec, status=status or {"phase": "Pending"}, **fields)


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return containers({"state": {"waiting": {"reason": reason, "message": message}}}, phase="Pending")


def volume(name: str, size: str, **spec: Any) -> dict[str, Any]:
    return obj(name, spec={"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], **spec})


def check(cause: Cause, expected: str, step: str) -> None:
    assert expected in told(cause)
    assert step in " ".join(cause.next_steps())
    assert cause.healthy == (not step), "what is well needs no step, what is not has one"

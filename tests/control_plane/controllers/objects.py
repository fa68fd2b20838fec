"""Small makers of the objects that controllers deal with."""

from __future__ import annotations

from typing import Any

from control_plane.api.meta import rfc3339

Obj = dict[str, Any]
NOW = 1_700_000_000.0


def pod(name: str, *, ready: bool = False, phase: str = "Running", node: str = "n1", **more: Any) -> Obj:
    """`more`: labels, owner, deleting, ready_s (how long ready), created_s (how long ago), restarts, finalizers,
    annotations, ip."""
    ready_at = rfc3339(NOW - more.get("ready_s", 0))
    metadata: Obj = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "labels": more.get("labels", {"app": "web"}),
        "creationTimestamp": rfc3339(NOW - more.get("created_s", 60)),
        "annotations": more.get("annotations", {}),
        "finalizers": more.get("finalizers", []),
    }
    if owner := more.get("owner"):
        metadata["ownerReferences"] = [reference(owner)]
    if more.get("deleting"):
        metadata["deletionTimestamp"] = rfc3339(NOW)
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": ready_at}]
    status: Obj = {"phase": phase, "conditions": conditions}
    if "restarts" in more:
        status["containerStatuses"] = [{"name": "c", "restartCount": more["restarts"]}]
    if "ip" in more:
        status["podIP"] = more["ip"]
        status["podIPs"] = [{"ip": more["ip"]}]
    return {"metadata": metadata, "spec": {"nodeName": node, **more.get("spec", {})}, "status": status}


def reference(owner: Obj) -> Obj:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


TEMPLATE: Obj = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "web:1"}]},
}


def owner(kind: str, name: str = "web", api_version: str = "apps/v1", **spec: Any) -> Obj:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE, **spec},
    }


def replica_set(name: str, replicas: int, available: int | None = None, **more: Any) -> Obj:
    made = owner("ReplicaSet", name, replicas=replicas)
    shown = replicas if available is None else available
    made["status"] = {
        "replicas": more.get("actual", replicas),
        "availableReplicas": shown,
        "readyReplicas": shown,
    }
    made["metadata"]["creationTimestamp"] = rfc3339(NOW - more.get("age_s", 60))
    made["metadata"]["annotations"] = more.get("annotations", {})
    if image := more.get("image"):
        made["spec"]["template"] = with_image(image)
    return made


def with_image(image: str) -> Obj:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def node(name: str, *, ready: str = "True", taints: list[Obj] | None = None, **more: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": more.get("labels", {})},
        "spec": {"taints": taints or [], **more.get("spec", {})},
        "status": {
            "conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": more.get("beat", "")}]
        },
    }

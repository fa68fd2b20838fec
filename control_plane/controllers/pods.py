"""What controllers ask of pods: are they active, ready, available; which to delete first; how to make one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from control_plane.api import meta
from control_plane.api.copying import copied
from control_plane.api.meta import Object
from control_plane.client.informer import Informer

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
BY_NODE = "node"
PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


def index_by_node(informer: Informer) -> None:
    """`informer.by_index(BY_NODE, name)`: the pods of a node; those of none are under ""."""
    informer.add_index(BY_NODE, lambda pod: [_node(pod)])


def is_active(pod: Object) -> bool:
    """It runs or will: neither finished nor being deleted."""
    return not is_finished(pod) and not meta.is_deleting(pod)


def is_finished(pod: Object) -> bool:
    return meta.nested(pod, "status", "phase") in ("Succeeded", "Failed")


def is_terminating(pod: Object) -> bool:
    """It goes and has not ended yet."""
    return meta.is_deleting(pod) and not is_finished(pod)


def is_ready(pod: Object) -> bool:
    return meta.condition_is_true(pod, "Ready")


def ready_since(pod: Object) -> float | None:
    ready = meta.condition(pod, "Ready")
    return (
        meta.parse_time(ready.get("lastTransitionTime")) if ready and ready.get("status") == "True" else None
    )


def is_available(pod: Object, min_ready_s: int, now: float) -> bool:
    since = ready_since(pod)
    if since is None:
        return is_ready(pod) and min_ready_s == 0
    return since + min_ready_s <= now


def available_in_s(pods: Iterable[Object], min_ready_s: int, now: float) -> float | None:
    """Until the next ready pod becomes available; None when none will by time alone."""
    waits = [since + min_ready_s - now for pod in pods if (since := ready_since(pod)) is not None]
    return min((wait for wait in waits if wait > 0), default=None)


def from_template(template: Object, owner: Object, generate_name: str) -> Object:
    """A pod as the template says, controlled by `owner`."""
    source = template.get("metadata") or {}
    metadata: Object = {
        "generateName": generate_name,
        "namespace": meta.namespace_of(owner),
        "labels": dict(source.get("labels") or {}),
        "ownerReferences": [meta.controller_reference(owner)],
    }
    if annotations := source.get("annotations"):
        metadata["annotations"] = dict(annotations)
    if finalizers := source.get("finalizers"):
        metadata["finalizers"] = list(finalizers)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": copied(template.get("spec") or {}),
    }


def deletion_order(pods: Sequence[Object], related: Iterable[Object], now: float) -> list[Object]:
    """The pods whose loss costs least come first (kube-controller-manager's ActivePodsWithRanks). `related`: the
    pods that count for spreading, these among them."""
    per_node = Counter(node for pod in related if is_active(pod) and (node := _node(pod)))
    return sorted(pods, key=lambda pod: _deletion_rank(pod, per_node, now))


def _deletion_rank(pod: Object, per_node: Counter[str], now: float) -> tuple[Any, ...]:
    node = _node(pod)
    ready = ready_since(pod)
    created = meta.parse_time(meta.metadata(pod).get("creationTimestamp")) or now
    return (
        node != "",
        PHASE_ORDER.get(meta.nested(pod, "status", "phase", default="Pending"), 2),
        is_ready(pod),
        deletion_cost(pod),
        -per_node.get(node, 0),
        _age_bucket(now - ready) if ready is not None else 0,
        -restarts(pod),
        _age_bucket(now - created),
        meta.uid_of(pod),
    )


def deletion_cost(pod: Object) -> int:
    try:
        return int(meta.annotations(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def restarts(pod: Object) -> int:
    statuses = meta.nested(pod, "status", "containerStatuses", default=())
    return max((int(status.get("restartCount", 0)) for status in statuses), default=0)


def _age_bucket(age_s: float) -> int:
    """Ages of the same order of magnitude are equal, so that no pod is the eternal victim (KEP-2185)."""
    return int(math.log2(age_s)) if age_s >= 1 else 0


def _node(pod: Object) -> str:
    node: str = meta.nested(pod, "spec", "nodeName", default="")
    return node

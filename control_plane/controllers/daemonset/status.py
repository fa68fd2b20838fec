"""What a daemon set says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.controllers import node_fit, pods
from control_plane.controllers.daemonset.plan import by_node
from control_plane.controllers.daemonset.update import is_current, min_ready_s


def status(
    daemon_set: Object, nodes: Sequence[Object], owned: Sequence[Object], digest: str, now: float
) -> dict[str, Any]:
    """A node counts by its oldest pod, also while that one is going."""
    placed = by_node([pod for pod in owned if not (meta.is_deleting(pod) and pods.is_finished(pod))])
    counts = dict.fromkeys(("desired", "current", "misscheduled", "ready", "available", "updated"), 0)
    for node in nodes:
        on_node = placed.get(meta.name_of(node), [])
        if not node_fit.should_run(daemon_set["spec"]["template"], node)[0]:
            counts["misscheduled"] += bool(on_node)
            continue
        counts["desired"] += 1
        if on_node:
            oldest = min(on_node, key=_age)
            counts["current"] += 1
            counts["ready"] += pods.is_ready(oldest)
            counts["available"] += pods.is_available(oldest, min_ready_s(daemon_set), now)
            counts["updated"] += is_current(oldest, digest)
    old = daemon_set.get("status") or {}
    kept = {key: old[key] for key in ("collisionCount", "conditions") if key in old}
    optional = {
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
        "updatedNumberScheduled": counts["updated"],
        "observedGeneration": meta.metadata(daemon_set).get("generation", 0),
    }
    return {
        "currentNumberScheduled": counts["current"],
        "desiredNumberScheduled": counts["desired"],
        "numberMisscheduled": counts["misscheduled"],
        "numberReady": counts["ready"],
        **{key: value for key, value in optional.items() if value},
        **kept,
    }


def _age(pod: Object) -> tuple[str, str]:
    return str(meta.metadata(pod).get("creationTimestamp", "")), meta.name_of(pod)

"""Whether a daemon's pod belongs on a node: node name, selector, affinity, taints. The rules of
kube-controller-manager's NodeShouldRunDaemonPod; resources and ports are the scheduler's business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.api.selectors import Requirement
from control_plane.controllers.taint_eviction import tolerates

_ALWAYS_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_HOST_NETWORK_TOLERATED = ("node.kubernetes.io/network-unavailable", "NoSchedule")


def should_run(template: Object, node: Object) -> tuple[bool, bool]:
    """(a pod should be started here, one that runs here may go on)."""
    spec = template.get("spec") or {}
    if spec.get("nodeName") and spec["nodeName"] != meta.name_of(node):
        return False, False
    if not matches_node(spec, node):
        return False, False
    tolerations = daemon_tolerations(spec)
    untolerated = {
        taint["effect"]
        for taint in meta.nested(node, "spec", "taints", default=())
        if not any(tolerates(each, taint) for each in tolerations)
    }
    return not untolerated & {"NoSchedule", "NoExecute"}, "NoExecute" not in untolerated


def daemon_tolerations(spec: Mapping[str, object]) -> list[Object]:
    """The pod's own and those every daemon has."""
    own: list[Object] = list(spec.get("tolerations") or ())  # type: ignore[call-overload]
    wanted = [*_ALWAYS_TOLERATED, *([_HOST_NETWORK_TOLERATED] if spec.get("hostNetwork") else [])]
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in wanted]
    return [*own, *(each for each in added if each not in own)]


def matches_node(spec: Mapping[str, object], node: Object) -> bool:
    """nodeSelector and required node affinity."""
    selector: Mapping[str, str] = spec.get("nodeSelector") or {}  # type: ignore[assignment]
    labels = meta.labels(node)
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    required = meta.nested(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def _term_matches(term: Object, node: Object) -> bool:
    expressions: Sequence[Object] = term.get("matchExpressions") or ()
    fields: Sequence[Object] = term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    names = {"metadata.name": meta.name_of(node)}
    return all(_matches(each, meta.labels(node)) for each in expressions) and all(
        _matches(each, names) for each in fields
    )


def _matches(expression: Object, labels: Mapping[str, str]) -> bool:
    operators = {
        "In": "in",
        "NotIn": "notin",
        "Exists": "exists",
        "DoesNotExist": "!",
        "Gt": "gt",
        "Lt": "lt",
    }
    values = frozenset(expression.get("values") or ())
    return Requirement(expression["key"], operators[expression["operator"]], values).matches(labels)


def placement_facts(node: Object) -> tuple[object, ...]:
    """What of a node decides about daemons."""
    return meta.labels(node), meta.nested(node, "spec", "taints"), meta.nested(node, "spec", "unschedulable")

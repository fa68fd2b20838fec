"""Whether a node fits what a pod asks of its labels, names and taints. Pure; used when the node admits a pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.agent.pod_spec import Obj


def matches_node(pod: Obj, node: Obj) -> bool:
    """nodeSelector and the required node affinity."""
    labels = node["metadata"].get("labels") or {}
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_matches_term(term, node) for term in required.get("nodeSelectorTerms") or [])


def _matches_term(term: Obj, node: Obj) -> bool:
    expressions = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    if not expressions and not fields:
        return False  # an empty term selects nothing
    labels = node["metadata"].get("labels") or {}
    names = {"metadata.name": node["metadata"]["name"]}
    return all(_matches(each, labels) for each in expressions) and all(
        _matches(each, names) for each in fields
    )


def _matches(requirement: Obj, values: Mapping[str, Any]) -> bool:
    value, wanted = values.get(requirement["key"]), requirement.get("values") or []
    match requirement["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            return _compare(operator, value, wanted)
        case _:
            return False


def _compare(operator: str, value: Any, wanted: list[Any]) -> bool:
    try:
        have, bound = int(value), int(wanted[0])
    except (TypeError, ValueError, IndexError):
        return False
    return have > bound if operator == "Gt" else have < bound


def untolerated(pod: Obj, taints: list[Obj], effect: str) -> Obj | None:
    """The first taint of that effect that the pod does not tolerate."""
    tolerations = pod["spec"].get("tolerations") or []
    for taint in taints:
        if taint.get("effect") == effect and not any(_tolerates(each, taint) for each in tolerations):
            return taint
    return None


def _tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")

"""`matchLabelKeys` and `mismatchLabelKeys` of a new pod become requirements of the selectors beside them.

So the values are those of the pod's creation, and whoever reads a selector reads all of it. A term without a
selector matches nobody, and stays so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.api import meta

Object = dict[str, Any]

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def merge(pod: Object) -> None:
    labels, spec = meta.labels(pod), pod.get("spec") or {}
    for term in _terms(spec):
        _require(term, "matchLabelKeys", "In", labels)
        _require(term, "mismatchLabelKeys", "NotIn", labels)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _require(constraint, "matchLabelKeys", "In", labels)


def _terms(spec: Object) -> Iterator[Object]:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        yield from terms.get(REQUIRED) or ()
        for weighted in terms.get(PREFERRED) or ():
            yield weighted.get("podAffinityTerm") or {}


def _require(owner: Object, field: str, operator: str, labels: Mapping[str, str]) -> None:
    selector = owner.get("labelSelector")
    if selector is None:
        return
    for key in owner.get(field) or ():
        if key in labels:
            requirement = {"key": key, "operator": operator, "values": [labels[key]]}
            selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), requirement]

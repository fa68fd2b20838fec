"""A pod's quality of service, from the requests and limits of its containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api.quantity import parse_or_zero

_COUNTED = ("cpu", "memory")

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"


def qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed: every container limits cpu and memory and requests the same. BestEffort: nobody asks
    for either.
    """
    if spec.get("resources"):
        holders = [spec["resources"]]
    else:
        containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
        holders = [container.get("resources") or {} for container in containers]
    asked = [(_positive(r.get("requests")), _positive(r.get("limits"))) for r in holders]
    if not any(requests or limits for requests, limits in asked):
        return BEST_EFFORT
    same = all(
        set(limits) == set(_COUNTED) and (not requests or requests == limits) for requests, limits in asked
    )
    return GUARANTEED if same else BURSTABLE


def _positive(amounts: Mapping[str, Any] | None) -> dict[str, Any]:
    parsed = {name: parse_or_zero((amounts or {}).get(name)) for name in _COUNTED}
    return {name: amount for name, amount in parsed.items() if not amount.is_zero}

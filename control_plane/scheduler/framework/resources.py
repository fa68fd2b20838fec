"""Resources as integers: milli-CPU, bytes, counts. Quantities are parsed once, when a pod or node comes in.

A pod asks for the larger of what its containers need together and what any init container needs beside the
sidecars started before it, plus overhead; pod-level requests take precedence (KEP-2837). While a container or
the pod is being resized in place, the largest of what it asks for, was promised and has counts; what it asks for
does not, once the node has said that it is not feasible (KEP-1287). Pods without requests count with a small
default when nodes are scored, so that they spread, never when they are filtered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from control_plane.api import quantity
from control_plane.client.types import Obj

CPU = "cpu"
MEMORY = "memory"
EPHEMERAL_STORAGE = "ephemeral-storage"
PODS = "pods"

HUGE_PAGES = "hugepages-"
RESIZE_PENDING = "PodResizePending"

DEFAULT_MILLI_CPU = 100
DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024

Amounts = dict[str, int]


@dataclass(slots=True)
class Resources:
    """A vector: the three that every node has by name, the others by theirs."""

    milli_cpu: int = 0
    memory: int = 0
    ephemeral_storage: int = 0
    scalars: Amounts = field(default_factory=dict)

    @classmethod
    def of(cls, amounts: Mapping[str, int]) -> Resources:
        rest = {k: v for k, v in amounts.items() if k not in (CPU, MEMORY, EPHEMERAL_STORAGE, PODS)}
        return cls(amounts.get(CPU, 0), amounts.get(MEMORY, 0), amounts.get(EPHEMERAL_STORAGE, 0), rest)

    def add(self, other: Resources, sign: int = 1) -> None:
        self.milli_cpu += sign * other.milli_cpu
        self.memory += sign * other.memory
        self.ephemeral_storage += sign * other.ephemeral_storage
        for name, amount in other.scalars.items():
            self.scalars[name] = self.scalars.get(name, 0) + sign * amount

    def get(self, name: str) -> int:
        if name == CPU:
            return self.milli_cpu
        if name == MEMORY:
            return self.memory
        if name == EPHEMERAL_STORAGE:
            return self.ephemeral_storage
        return self.scalars.get(name, 0)

    def copy(self) -> Resources:
        return Resources(self.milli_cpu, self.memory, self.ephemeral_storage, dict(self.scalars))

    @property
    def nothing(self) -> bool:
        return not (self.milli_cpu or self.memory or self.ephemeral_storage or any(self.scalars.values()))


def parse_amounts(quantities: Mapping[str, Any] | None) -> Amounts:
    """CPU in thousandths, everything else in whole units."""
    return {name: _amount(name, text) for name, text in (quantities or {}).items()}


def _amount(name: str, text: Any) -> int:
    parsed = quantity.parse_or_zero(text)
    return parsed.milli_value() if name == CPU else parsed.value()


def pod_requests(pod: Obj, non_zero: bool = False) -> Amounts:
    """`non_zero`: CPU and memory that a container does not ask for count with the defaults; where the pod asks for
    as a whole, only what neither it nor any of its containers asks for."""
    spec = pod.get("spec") or {}
    pod_level = _pod_level(pod)
    total = _of_containers(pod, {})
    if non_zero:
        defaults = {CPU: DEFAULT_MILLI_CPU, MEMORY: DEFAULT_MEMORY_BYTES}
        if pod_level:
            defaults = {k: v for k, v in defaults.items() if k not in total and k not in pod_level}
        total = _of_containers(pod, defaults) if defaults else total
    total.update(pod_level)
    _add(total, parse_amounts(spec.get("overhead")))
    return total


def _of_containers(pod: Obj, defaults: Amounts) -> Amounts:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    feasible = not _is_infeasible(status)
    states = {
        each["name"]: each
        for name in ("containerStatuses", "initContainerStatuses")
        for each in status.get(name) or ()
        if each.get("resources") is not None
    }
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _effective(container, states.get(container["name"]), feasible, defaults))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        sidecar = container.get("restartPolicy") == "Always"
        state = states.get(container["name"]) if sidecar else None
        needs = _effective(container, state, feasible, defaults)
        if sidecar:
            _add(total, needs)
            _add(sidecars, needs)
            needs = sidecars
        else:
            _add(needs, sidecars)
        _raise_to(peak, needs)
    _raise_to(total, peak)
    return total


def _effective(asks: Obj, has: Obj | None, feasible: bool, defaults: Amounts) -> Amounts:
    """Of a container, or of the pod as a whole, by its spec and its status."""
    needs = parse_amounts((asks.get("resources") or {}).get("requests")) if has is None or feasible else {}
    if has is not None:
        _raise_to(needs, parse_amounts((has.get("resources") or {}).get("requests")))
        _raise_to(needs, parse_amounts(has.get("allocatedResources")))
    for name, amount in defaults.items():
        needs.setdefault(name, amount)
    return needs


def _pod_level(pod: Obj) -> Amounts:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    asked = (spec.get("resources") or {}).get("requests") or {}
    if not asked:
        return {}
    has = status if status.get("resources") is not None else None
    effective = _effective(spec, has, not _is_infeasible(status), {})
    return {
        name: effective.get(name, 0) for name in asked if name in (CPU, MEMORY) or name.startswith(HUGE_PAGES)
    }


def _is_infeasible(status: Obj) -> bool:
    for condition in status.get("conditions") or ():
        if condition["type"] == RESIZE_PENDING:
            return bool(condition.get("reason") == "Infeasible")
    return False


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: Amounts, floor: Mapping[str, int]) -> None:
    for name, amount in floor.items():
        if name not in total or amount > total[name]:
            total[name] = amount

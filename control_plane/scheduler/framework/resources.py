"""Resources as integers: milli-CPU, bytes, counts. Quantities are parsed once, when a pod or node comes in.

A pod asks for the larger of what its containers need together and what any init container needs beside the
sidecars started before it, plus overhead; pod-level requests take precedence (KEP-2837). Pods without
requests count with a small default when nodes are scored, so that they spread, never when they are
filtered.
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
    """`non_zero`: CPU and memory that a container does not ask for count with the defaults."""
    spec = pod.get("spec") or {}
    statuses = _allocated(pod)
    defaults = {CPU: DEFAULT_MILLI_CPU, MEMORY: DEFAULT_MEMORY_BYTES} if non_zero else {}
    pod_level = parse_amounts((spec.get("resources") or {}).get("requests"))
    defaults = {name: amount for name, amount in defaults.items() if name not in pod_level}
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _container(container, statuses, defaults))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        needs = _container(container, statuses, defaults)
        if container.get("restartPolicy") == "Always":
            _add(total, needs)
            _add(sidecars, needs)
            needs = sidecars
        else:
            _add(needs, sidecars)
        _raise_to(peak, needs)
    _raise_to(total, peak)
    total.update(pod_level)
    _add(total, parse_amounts(spec.get("overhead")))
    return total


def _container(container: Obj, statuses: Mapping[str, Amounts], defaults: Amounts) -> Amounts:
    needs = parse_amounts((container.get("resources") or {}).get("requests"))
    if (allocated := statuses.get(container["name"])) is not None:
        _raise_to(needs, allocated)  # being resized: until done it may hold the old amount
    for name, amount in defaults.items():
        needs.setdefault(name, amount)
    return needs


def _allocated(pod: Obj) -> dict[str, Amounts]:
    status = pod.get("status") or {}
    found: dict[str, Amounts] = {}
    for each in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        requests = (each.get("resources") or {}).get("requests")
        amounts = parse_amounts(requests)
        _raise_to(amounts, parse_amounts(each.get("allocatedResources")))
        if amounts:
            found[each["name"]] = amounts
    return found


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: Amounts, floor: Mapping[str, int]) -> None:
    for name, amount in floor.items():
        if amount > total.get(name, 0):
            total[name] = amount

"""What the containers of a pod ask for together.

They run together, so they add up. Init containers run before, one at a time: the greatest counts, on top of the
sidecars (init containers that restart always) started before it. What a pod asks for as a whole (`spec.resources`,
KEP 2837) stands beside it: who counts decides what takes precedence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from control_plane.api import quantity
from control_plane.api.quantity import ZERO, Quantity

Resources = dict[str, Quantity]

HUGE_PAGES = "hugepages-"


def parse(resources: Mapping[str, Any] | None) -> Resources:
    return {name: quantity.parse_or_zero(value) for name, value in (resources or {}).items()}


def add(total: Resources, more: Mapping[str, Quantity]) -> None:
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def of_containers(spec: Mapping[str, Any], asked: Callable[[Mapping[str, Any]], Resources]) -> Resources:
    """`asked` says what one container asks for."""
    total: Resources = {}
    for container in spec.get("containers") or ():
        add(total, asked(container))
    sidecars: Resources = {}
    greatest: Resources = {}
    for container in spec.get("initContainers") or ():
        needed = dict(asked(container))
        if container.get("restartPolicy") == "Always":
            add(sidecars, needed)
            add(total, needed)
            needed = dict(sidecars)
        else:
            add(needed, sidecars)
        for name, value in needed.items():
            greatest[name] = max(greatest.get(name, ZERO), value)
    for name, value in greatest.items():
        total[name] = max(total.get(name, ZERO), value)
    return total


def of_container(container: Mapping[str, Any], kind: str) -> Resources:
    """`kind` is requests or limits."""
    return parse((container.get("resources") or {}).get(kind))


def of_pod_level(spec: Mapping[str, Any], kind: str) -> Resources:
    """Of what the pod asks for as a whole, what can be asked for so."""
    found = parse((spec.get("resources") or {}).get(kind))
    return {name: value for name, value in found.items() if is_pod_level(name)}


def is_pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith(HUGE_PAGES)

"""What a pod asks for: the resources of its containers as scheduler, quota and limit ranges count them.

Containers run together, so they add up. Init containers run before, one at a time: the greatest counts, on
top of the sidecars (init containers that restart always) started before it. Pod-level resources replace the
sum, overhead comes on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import quantity
from control_plane.api.quantity import ZERO, Quantity

Object = dict[str, Any]
Resources = dict[str, Quantity]

_NATIVE_PREFIXES = ("hugepages-", "attachable-volumes-")


def parse(resources: Mapping[str, Any] | None) -> Resources:
    return {name: quantity.parse_or_zero(value) for name, value in (resources or {}).items()}


def add(total: Resources, more: Mapping[str, Quantity]) -> None:
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def of_pod(spec: Object, kind: str) -> Resources:
    """`kind` is requests or limits."""
    total: Resources = {}
    for container in spec.get("containers") or ():
        add(total, of_container(container, kind))
    sidecars: Resources = {}
    greatest: Resources = {}
    for container in spec.get("initContainers") or ():
        needed = dict(of_container(container, kind))
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
    total.update(parse((spec.get("resources") or {}).get(kind)))
    overhead = parse(spec.get("overhead"))
    add(total, {n: v for n, v in overhead.items() if kind == "requests" or n in total})
    return total


def of_container(container: Object, kind: str) -> Resources:
    return parse((container.get("resources") or {}).get(kind))


def is_extended(name: str) -> bool:
    """A resource that a device plugin offers: qualified by a domain that is not Kubernetes' own."""
    domain, slash, _ = name.partition("/")
    if not slash or name.startswith(("requests.", *_NATIVE_PREFIXES)):
        return False
    return domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")

"""What a pod asks for: the resources of its containers as scheduler, quota and limit ranges count them.

Pod-level resources replace the sum of the containers, overhead comes on top.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from control_plane.api.pod_resources import Resources, add, of_container, of_containers, of_pod_level, parse

__all__ = ["Resources", "add", "is_extended", "of_container", "of_pod", "parse"]

Object = dict[str, Any]

_NATIVE_PREFIXES = ("hugepages-", "attachable-volumes-")


def of_pod(spec: Object, kind: str) -> Resources:
    """`kind` is requests or limits."""
    total = of_containers(spec, partial(of_container, kind=kind))
    total.update(of_pod_level(spec, kind))
    overhead = parse(spec.get("overhead"))
    add(total, {n: v for n, v in overhead.items() if kind == "requests" or n in total})
    return total


def is_extended(name: str) -> bool:
    """A resource that a device plugin offers: qualified by a domain that is not Kubernetes' own."""
    domain, slash, _ = name.partition("/")
    if not slash or name.startswith(("requests.", *_NATIVE_PREFIXES)):
        return False
    return domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")

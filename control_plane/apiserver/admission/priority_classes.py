"""The two priority classes that every cluster has, and what brings them up at start."""

from __future__ import annotations

from typing import Any, Protocol

from control_plane.api import errors

Object = dict[str, Any]
GROUP = "scheduling.k8s.io"

SYSTEM_NODE_CRITICAL = 2_000_001_000
SYSTEM_CLUSTER_CRITICAL = 2_000_000_000


class Storage(Protocol):
    async def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None: ...

    async def create(self, group: str, resource: str, obj: Object) -> Object: ...


def system_priority_classes() -> list[Object]:
    return [
        _priority_class(
            "system-node-critical",
            SYSTEM_NODE_CRITICAL,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        _priority_class(
            "system-cluster-critical",
            SYSTEM_CLUSTER_CRITICAL,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if "
            "necessary.",
        ),
    ]


async def ensure_system_priority_classes(storage: Storage) -> None:
    """Create those that are missing. Safe on several replicas at once; what is there is left as it is."""
    for wanted in system_priority_classes():
        if await storage.get(GROUP, "priorityclasses", "", wanted["metadata"]["name"]) is None:
            try:
                await storage.create(GROUP, "priorityclasses", wanted)
            except errors.StatusError as error:
                if not errors.is_already_exists(error):
                    raise


def _priority_class(name: str, value: int, description: str) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "globalDefault": False,
        "description": description,
        "preemptionPolicy": "PreemptLowerPriority",
    }

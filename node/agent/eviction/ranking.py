"""Who is evicted first, and what it is told. Pure.

Memory and disk: first those that use more than they requested, then the less important, then by how much they
exceed their request. Process ids: the less important, then by number of processes. The QoS class is in this: what
is Guaranteed cannot exceed its requests, what is BestEffort exceeds them with its first byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from control_plane.api.quantity import ZERO, Format, Quantity, from_units
from node.agent import node_selector, qos
from node.agent.errors import Rejected
from node.agent.eviction.pressure import Observations
from node.agent.eviction.thresholds import RESOURCE_OF, Threshold
from node.agent.pod_spec import Obj, is_mirror, is_static, main_containers

REASON = "Evicted"
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000
MEMORY_TAINT: Obj = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class ContainerUse:
    memory_bytes: int = 0
    log_bytes: int = 0
    rootfs_bytes: int = 0  # its writable layer
    processes: int = 0


@dataclass(frozen=True, slots=True)
class PodUse:
    pod: Obj
    containers: Mapping[str, ContainerUse] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)  # bytes of its emptyDirs
    memory_volumes: frozenset[str] = frozenset()  # of these, those that are not on a disk
    inodes: int = 0

    @property
    def memory_bytes(self) -> int:
        own = sum(each.memory_bytes for each in self.containers.values())
        return own + sum(size for name, size in self.volumes.items() if name in self.memory_volumes)

    @property
    def processes(self) -> int:
        return sum(each.processes for each in self.containers.values())

    @property
    def disk_bytes(self) -> int:
        """Local ephemeral storage."""
        own = sum(each.log_bytes + each.rootfs_bytes for each in self.containers.values())
        return own + sum(size for name, size in self.volumes.items() if name not in self.memory_volumes)


def used(use: PodUse, resource: str) -> int:
    return {
        "memory": use.memory_bytes,
        "ephemeral-storage": use.disk_bytes,
        "inodes": use.inodes,
        "pids": use.processes,
    }[resource]


def rank(uses: Iterable[PodUse], resource: str) -> list[PodUse]:
    """The first to go first."""

    def key(use: PodUse) -> tuple[bool, int, int]:
        excess = used(use, resource) - qos.pod_requests(use.pod).get(resource, ZERO).value()
        return resource != "pids" and excess <= 0, priority(use.pod), -excess

    return sorted(uses, key=key)


def priority(pod: Obj) -> int:
    return int(pod["spec"].get("priority") or 0)


def is_critical(pod: Obj) -> bool:
    """Such a pod is neither evicted nor turned away."""
    return is_static(pod) or is_mirror(pod) or priority(pod) >= SYSTEM_CRITICAL_PRIORITY


def check_admission(pod: Obj, conditions: frozenset[str]) -> None:
    """A node that is short of something takes no more of those that make it worse. Raises Rejected."""
    if not conditions or is_critical(pod):
        return
    if conditions == {"MemoryPressure"}:
        tolerates = node_selector.untolerated(pod, [MEMORY_TAINT], "NoSchedule") is None
        if qos.qos_class(pod) != "BestEffort" or tolerates:
            return
    raise Rejected(REASON, f"The node had condition: [{' '.join(sorted(conditions))}]. ")


def message(use: PodUse, threshold: Threshold, observations: Observations) -> str:
    resource, seen = RESOURCE_OF[threshold.signal], observations[threshold.signal]
    text = f"The node was low on resource: {resource}. "
    wanted, have = shown(threshold.amount.of(seen.capacity), resource), shown(seen.available, resource)
    text += f"Threshold quantity: {wanted}, available: {have}. "
    measure = _MEASURES.get(resource)
    for container in main_containers(use.pod) if measure else ():
        asked = qos.amounts((container.get("resources") or {}).get("requests")).get(resource, ZERO)
        its_use = use.containers.get(container["name"])
        size = measure(its_use) if measure and its_use else 0
        if size > asked.value():
            text += (
                f"Container {container['name']} was using {shown(size, resource)}, request is {asked}, "
                f"has larger consumption of {resource}. "
            )
    return text


_MEASURES: dict[str, Callable[[ContainerUse], int]] = {
    "memory": lambda use: use.memory_bytes,
    "ephemeral-storage": lambda use: use.log_bytes + use.rootfs_bytes,
}


def shown(amount: int, resource: str) -> str:
    binary = resource in ("memory", "ephemeral-storage")
    return str(from_units(amount, Format.BINARY_SI if binary else Format.DECIMAL_SI))


def over_its_limits(use: PodUse) -> str | None:
    """Local storage that a pod has used beyond its own limits: the message of its eviction."""
    for volume in use.pod["spec"].get("volumes") or []:
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit and use.volumes.get(volume["name"], 0) > qos.amounts({"": limit})[""].value() > 0:
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    limits = _storage_limits(main_containers(use.pod))
    total = sum(limits.values(), ZERO)
    if limits and use.disk_bytes > total.value():
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {total}. "
    for name, limit in limits.items():
        its_use = use.containers.get(name, ContainerUse())
        if its_use.log_bytes + its_use.rootfs_bytes > limit.value():
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return None


def _storage_limits(containers: Sequence[Obj]) -> dict[str, Quantity]:
    found = {
        each["name"]: qos.amounts((each.get("resources") or {}).get("limits")).get("ephemeral-storage")
        for each in containers
    }
    return {name: limit for name, limit in found.items() if limit is not None and limit > ZERO}


def has_storage_limits(pod: Obj) -> bool:
    """Whether there is anything to look for in `over_its_limits`."""
    volumes = pod["spec"].get("volumes") or []
    return bool(_storage_limits(main_containers(pod))) or any(
        (each.get("emptyDir") or {}).get("sizeLimit") for each in volumes
    )

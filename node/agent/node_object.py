"""The Node object: what this machine has and how it is. Pure, from a `Machine` that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from control_plane.api.quantity import ZERO, Quantity, from_milli
from node.agent.eviction.thresholds import MEMORY, NODE_DISK, Threshold, hard_amount, parse_thresholds
from node.agent.pod_spec import Obj
from node.agent.times import rfc3339

VERSION = "v1.36.0+balsa"
RESERVABLE = ("cpu", "memory", "ephemeral-storage", "pid")


@dataclass(frozen=True, slots=True)
class Disk:
    size_bytes: int
    free_bytes: int
    inodes: int = 0  # 0: not counted by this filesystem
    free_inodes: int = 0


@dataclass(frozen=True, slots=True)
class Machine:
    cpus: int
    memory_bytes: int
    available_memory_bytes: int
    disk: Disk
    max_pids: int
    pids: int
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str
    image_disk: Disk | None = None  # when images are on another


@dataclass(frozen=True, slots=True)
class Settings:
    """What the flags say of this node."""

    name: str
    node_ip: str
    pod_cidr: str = ""
    port: int = 10250
    max_pods: int = 110
    labels: dict[str, str] = field(default_factory=dict)
    taints: Sequence[Obj] = ()
    runtime_version: str = ""  # containerd://1.7.2
    lease_duration_s: int = 40
    annotations: dict[str, str] = field(default_factory=dict)
    reserved: Mapping[str, Quantity] = field(default_factory=dict)  # for the system and for us
    thresholds: Sequence[Threshold] = parse_thresholds()


@dataclass(frozen=True, slots=True)
class Health:
    not_ready: str = ""  # why not; empty: ready
    not_isolated: str = ""  # why pods are not separated from the host; empty: they are
    pressure: frozenset[str] = frozenset()  # MemoryPressure, DiskPressure, PIDPressure


def make(settings: Settings, machine: Machine, health: Health, now_s: float, old: Obj | None = None) -> Obj:
    """The whole object, as it is registered."""
    spec: Obj = {}
    if settings.pod_cidr:
        spec |= {"podCIDR": settings.pod_cidr, "podCIDRs": [settings.pod_cidr]}
    if settings.taints:
        spec["taints"] = list(settings.taints)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": settings.name,
            "labels": labels(settings, machine),
            "annotations": {
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                **settings.annotations,
            },
        },
        "spec": spec,
        "status": status(settings, machine, health, now_s, old),
    }


def labels(settings: Settings, machine: Machine) -> dict[str, str]:
    return {
        "kubernetes.io/hostname": settings.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine.architecture,
        **settings.labels,
    }


def status(settings: Settings, machine: Machine, health: Health, now_s: float, old: Obj | None) -> Obj:
    capacity, allocatable = resources(settings, machine)
    return {
        "capacity": capacity,
        "allocatable": allocatable,
        "conditions": conditions(health, now_s, (old or {}).get("conditions") or []),
        "addresses": addresses(settings),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": settings.port}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.system_uuid,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": settings.runtime_version,
            "kubeletVersion": VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": machine.architecture,
        },
    }


def addresses(settings: Settings) -> list[Obj]:
    """InternalIP is the node's address in the cluster's network; its kubelet API is on the host's side."""
    return [
        {"type": "InternalIP", "address": settings.node_ip},
        {"type": "ExternalIP", "address": "127.0.0.1"},
        {"type": "Hostname", "address": settings.name},
    ]


def resources(settings: Settings, machine: Machine) -> tuple[dict[str, str], dict[str, str]]:
    capacity = {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{machine.disk.size_bytes // 1024}Ki",
        "pods": str(settings.max_pods),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    }
    return capacity, {**capacity, **_allocatable(settings, machine)}


def _allocatable(settings: Settings, machine: Machine) -> dict[str, str]:
    """Capacity less what is reserved and what eviction keeps free."""

    def left(name: str, capacity: int, signal: str) -> int:
        kept = hard_amount(settings.thresholds, signal, capacity)
        return max(capacity - settings.reserved.get(name, ZERO).value() - kept, 0)

    cpu_milli = machine.cpus * 1000 - settings.reserved.get("cpu", ZERO).milli_value()
    return {
        "cpu": str(from_milli(max(cpu_milli, 0))),
        "memory": f"{left('memory', machine.memory_bytes, MEMORY) // 1024}Ki",
        "ephemeral-storage": str(left("ephemeral-storage", machine.disk.size_bytes, NODE_DISK)),
    }


def conditions(health: Health, now_s: float, old: Sequence[Obj]) -> list[Obj]:
    made = [
        _pressure(health, "MemoryPressure", "InsufficientMemory", "SufficientMemory", "memory"),
        _pressure(health, "DiskPressure", "DiskPressure", "NoDiskPressure", "disk"),
        _pressure(health, "PIDPressure", "InsufficientPID", "SufficientPID", "PID"),
        _ready(health),
    ]
    if health.not_isolated:
        made.append(
            {
                "type": "PodsNotIsolated",
                "status": "True",
                "reason": "NoNamespaces",
                "message": f"pods are not isolated from the host: {health.not_isolated}",
            }
        )
    return [_dated(each, now_s, old) for each in made]


_MESSAGES = {
    ("memory", True): "kubelet has insufficient memory available",
    ("memory", False): "kubelet has sufficient memory available",
    ("disk", True): "kubelet has disk pressure",
    ("disk", False): "kubelet has no disk pressure",
    ("PID", True): "kubelet has insufficient PID available",
    ("PID", False): "kubelet has sufficient PID available",
}


def _pressure(health: Health, kind: str, reason_if: str, reason_if_not: str, what: str) -> Obj:
    under = kind in health.pressure
    return {
        "type": kind,
        "status": "True" if under else "False",
        "reason": f"KubeletHas{reason_if if under else reason_if_not}",
        "message": _MESSAGES[what, under],
    }


def _ready(health: Health) -> Obj:
    if health.not_ready:
        return {
            "type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": health.not_ready
        }  # fmt: skip
    return {
        "type": "Ready", "status": "True", "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
    }  # fmt: skip


def _dated(condition: Obj, now_s: float, old: Sequence[Obj]) -> Obj:
    now = rfc3339(now_s)
    before = next((each for each in old if each.get("type") == condition["type"]), None)
    kept = before is not None and before.get("status") == condition["status"]
    since = (before or {}).get("lastTransitionTime") if kept else now
    return {**condition, "lastHeartbeatTime": now, "lastTransitionTime": since or now}


def changed(old: Obj, new: Obj) -> bool:
    """Whether anything but heartbeat times differs."""
    return _without_times(old) != _without_times(new)


def _without_times(status: Obj) -> Obj:
    ours = ("capacity", "allocatable", "addresses", "daemonEndpoints", "nodeInfo")
    dropped = ("lastHeartbeatTime", "lastTransitionTime")
    conditions_ = [
        {key: value for key, value in each.items() if key not in dropped}
        for each in status.get("conditions") or []
        if each.get("type") != "NetworkUnavailable"
    ]
    return {
        **{key: status.get(key) for key in ours},
        "conditions": sorted(conditions_, key=lambda c: c["type"]),
    }

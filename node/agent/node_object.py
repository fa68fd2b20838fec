"""The Node object: what this machine has and how it is. Pure, from a `Machine` that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.agent.pod_spec import Obj
from node.agent.times import rfc3339

VERSION = "v1.36.0+balsa"
EVICTION_MEMORY_BYTES = 100 * 2**20  # as kubelet's default: kept back from what pods may ask for
MIN_DISK_FRACTION = 0.01  # a development machine's disk is often nearly full; nothing is evicted for it yet
MIN_FREE_PIDS = 100


@dataclass(frozen=True, slots=True)
class Machine:
    cpus: int
    memory_bytes: int
    available_memory_bytes: int
    disk_bytes: int
    free_disk_bytes: int
    max_pids: int
    pids: int
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str


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


@dataclass(frozen=True, slots=True)
class Health:
    not_ready: str = ""  # why not; empty: ready
    not_isolated: str = ""  # why pods are not separated from the host; empty: they are


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
        "conditions": conditions(machine, health, now_s, (old or {}).get("conditions") or []),
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
        "ephemeral-storage": f"{machine.disk_bytes // 1024}Ki",
        "pods": str(settings.max_pods),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    }
    allocatable = {
        **capacity,
        "memory": f"{max(machine.memory_bytes - EVICTION_MEMORY_BYTES, 0) // 1024}Ki",
        "ephemeral-storage": str(int(machine.disk_bytes * 0.9)),
    }
    return capacity, allocatable


def conditions(machine: Machine, health: Health, now_s: float, old: Sequence[Obj]) -> list[Obj]:
    made = [
        _pressure(
            "MemoryPressure", machine.available_memory_bytes < EVICTION_MEMORY_BYTES,
            "InsufficientMemory", "SufficientMemory", "memory",
        ),
        _pressure(
            "DiskPressure", machine.free_disk_bytes < machine.disk_bytes * MIN_DISK_FRACTION,
            "DiskPressure", "NoDiskPressure", "disk",
        ),
        _pressure(
            "PIDPressure", machine.max_pids > 0 and machine.max_pids - machine.pids < MIN_FREE_PIDS,
            "InsufficientPID", "SufficientPID", "PID",
        ),
        _ready(health),
    ]  # fmt: skip
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


def _pressure(kind: str, under: bool, reason_if: str, reason_if_not: str, what: str) -> Obj:
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

"""Quality of service and what follows from it: the class, cgroup values, the OOM score. Pure.

The rules are kubelet's (pkg/apis/core/v1/helper/qos, pkg/kubelet/qos): Guaranteed when every container limits
CPU and memory and requests no less; BestEffort when none asks for either; Burstable otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api.quantity import ZERO, Quantity, parse
from node.agent.pod_spec import Obj, init_containers, is_sidecar, main_containers
from node.runtime.interface import Resources

COMPUTE = ("cpu", "memory")
MIN_SHARES = 2
SHARES_PER_CPU = 1024
PERIOD_US = 100_000
MIN_QUOTA_US = 1000
GUARANTEED_OOM_ADJ = -997
BEST_EFFORT_OOM_ADJ = 1000


def amounts(listed: Mapping[str, Any] | None) -> dict[str, Quantity]:
    return {name: parse(value) for name, value in (listed or {}).items()}


def qos_class(pod: Obj) -> str:
    requests: set[str] = set()
    guaranteed = True
    for container in [*main_containers(pod), *init_containers(pod)]:
        asked = container.get("resources") or {}
        request, limit = _positive(asked.get("requests")), _positive(asked.get("limits"))
        requests |= request.keys() | limit.keys()
        if any(name not in limit or request.get(name, limit[name]) != limit[name] for name in COMPUTE):
            guaranteed = False
    if not requests:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(listed: Mapping[str, Any] | None) -> dict[str, Quantity]:
    return {name: value for name, value in amounts(listed).items() if name in COMPUTE and value > ZERO}


def pod_requests(pod: Obj) -> dict[str, Quantity]:
    """What the pod occupies on a node (KEP-753): the main containers with the sidecars, or the largest moment
    of initialisation; plus overhead. Limits stand in for requests that are not given."""
    total: dict[str, Quantity] = {}
    for container in main_containers(pod):
        _add(total, _requests(container))
    sidecar_sum: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for container in init_containers(pod):
        moment = dict(sidecar_sum)
        _add(moment, _requests(container))
        if is_sidecar(container):
            sidecar_sum = moment
        peak = _largest(peak, moment)
    _add(total, sidecar_sum)
    total = _largest(total, peak)
    _add(total, amounts(pod["spec"].get("overhead")))
    return total


def _requests(container: Obj) -> dict[str, Quantity]:
    asked = container.get("resources") or {}
    return {**amounts(asked.get("limits")), **amounts(asked.get("requests"))}


def _add(total: dict[str, Quantity], more: Mapping[str, Quantity]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, ZERO) + value


def _largest(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> dict[str, Quantity]:
    names = one.keys() | other.keys()
    return {name: max(one.get(name, ZERO), other.get(name, ZERO)) for name in names}


def runtime_resources(pod: Obj, container: Obj, node_memory_bytes: int) -> Resources:
    asked = container.get("resources") or {}
    requests, limits = amounts(asked.get("requests")), amounts(asked.get("limits"))
    cpu_request = requests.get("cpu", limits.get("cpu", ZERO))
    memory_request = requests.get("memory", limits.get("memory", ZERO))
    cpu_limit = limits.get("cpu", ZERO)
    return Resources(
        cpu_shares=max(MIN_SHARES, cpu_request.milli_value() * SHARES_PER_CPU // 1000),
        cpu_quota_us=_quota_us(cpu_limit),
        cpu_period_us=PERIOD_US,
        memory_limit_bytes=limits.get("memory", ZERO).value(),
        oom_score_adj=oom_score_adj(qos_class(pod), memory_request.value(), node_memory_bytes),
    )


def _quota_us(limit: Quantity) -> int:
    return max(MIN_QUOTA_US, limit.milli_value() * PERIOD_US // 1000) if limit > ZERO else 0


def oom_score_adj(qos: str, memory_request_bytes: int, node_memory_bytes: int) -> int:
    """Burstable: the larger its share of the memory, the later it is killed."""
    if qos == "Guaranteed":
        return GUARANTEED_OOM_ADJ
    if qos == "BestEffort" or node_memory_bytes <= 0:
        return BEST_EFFORT_OOM_ADJ
    score = 1000 - (1000 * memory_request_bytes) // node_memory_bytes
    return min(max(score, 1000 + GUARANTEED_OOM_ADJ), BEST_EFFORT_OOM_ADJ - 1)

"""Quality of service and what follows from it: requests, cgroup values, the OOM score. Pure.

The rules are kubelet's (pkg/kubelet/qos, pkg/kubelet/cm). What a pod asks for as a whole (KEP 2837) takes
precedence over its containers, and limits those that have no limit of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api.pod_resources import Resources, add, of_container, of_containers, of_pod_level, parse
from control_plane.api.quantity import ZERO, Quantity
from control_plane.api.strategy import qos
from node.agent.pod_spec import Obj, main_containers, sidecars
from node.runtime.interface import PodResources
from node.runtime.interface import Resources as RuntimeResources

amounts = parse

MIN_SHARES = 2
SHARES_PER_CPU = 1024
PERIOD_US = 100_000
MIN_QUOTA_US = 1000
GUARANTEED_OOM_ADJ = -997
BEST_EFFORT_OOM_ADJ = 1000


def qos_class(pod: Obj) -> str:
    return qos.qos_class(pod["spec"])


def pod_requests(pod: Obj) -> Resources:
    """What the pod occupies on a node: what it asks for as a whole, else its containers together; plus overhead.
    Limits stand in for requests that are not given."""
    total = of_containers(pod["spec"], _requests)
    total.update(_pod_level_requests(pod))
    add(total, amounts(pod["spec"].get("overhead")))
    return total


def pod_limits(pod: Obj) -> Resources:
    """Of what the pod may have as a whole; containers that have no limit of their own have this one."""
    return of_pod_level(pod["spec"], "limits")


def _pod_level_requests(pod: Obj) -> Resources:
    return {**pod_limits(pod), **of_pod_level(pod["spec"], "requests")}


def _requests(container: Mapping[str, Any]) -> Resources:
    return {**of_container(container, "limits"), **of_container(container, "requests")}


def runtime_resources(pod: Obj, container: Obj, node_memory_bytes: int) -> RuntimeResources:
    requests, limits = of_container(container, "requests"), of_container(container, "limits")
    limits = {**pod_limits(pod), **limits}
    cpu_request = requests.get("cpu", limits.get("cpu", ZERO))
    return RuntimeResources(
        cpu_shares=_shares(cpu_request),
        cpu_quota_us=_quota_us(limits.get("cpu", ZERO)),
        cpu_period_us=PERIOD_US,
        memory_limit_bytes=limits.get("memory", ZERO).value(),
        oom_score_adj=oom_score_adj(qos_class(pod), _memory_request(pod, container), node_memory_bytes),
        pod=_pod_resources(pod),
    )


def _pod_resources(pod: Obj) -> PodResources | None:
    requests, limits = _pod_level_requests(pod), pod_limits(pod)
    if not requests:
        return None
    return PodResources(
        _shares(pod_requests(pod).get("cpu", ZERO)),
        _quota_us(limits.get("cpu", ZERO)),
        PERIOD_US,
        limits.get("memory", ZERO).value(),
    )


def _memory_request(pod: Obj, container: Obj) -> int:
    """In bytes, with its share of what the pod asks for beyond its containers."""
    own = _requests(container).get("memory", ZERO).value()
    of_pod = _pod_level_requests(pod).get("memory")
    if of_pod is None:
        return own
    sharing = [*main_containers(pod), *sidecars(pod)]
    asked = sum(_requests(each).get("memory", ZERO).value() for each in sharing)
    return own + max(of_pod.value() - asked, 0) // len(sharing)


def _shares(request: Quantity) -> int:
    return max(MIN_SHARES, request.milli_value() * SHARES_PER_CPU // 1000)


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

"""What the node itself checks before it takes a pod. Pure; raises Rejected with kubelet's reason and message.

The scheduler has checked the same, but it may be late, another scheduler may have bound the pod, or nobody has:
`spec.nodeName` can be set by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from control_plane.api.quantity import ZERO, Quantity
from node.agent import dynamic_resources, node_selector, qos
from node.agent.errors import Rejected
from node.agent.pod_spec import Obj, containers_by_role, host_network, is_static

PREFIX = "Pod was rejected: "


def admit(pod: Obj, node: Obj, others: Iterable[Obj]) -> None:
    others = list(others)
    _check_os(pod)
    if not node_selector.matches_node(pod, node):
        _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    taints = node["spec"].get("taints") or [] if "spec" in node else []
    if not is_static(pod) and node_selector.untolerated(pod, taints, "NoExecute"):
        _predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    taken = {port for other in others for port in _host_ports(other)}
    if any(_conflicts(port, taken) for port in _host_ports(pod)):
        _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    check_resources(pod, node, others)


def _check_os(pod: Obj) -> None:
    wanted = (pod["spec"].get("os") or {}).get("name", "linux")
    if wanted != "linux":
        raise Rejected("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    label = (pod["spec"].get("nodeSelector") or {}).get("kubernetes.io/os", "linux")
    if label != "linux":
        message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        raise Rejected("PodOSSelectorNodeLabelDoesNotMatch", message)


def _predicate(name: str, message: str) -> None:
    raise Rejected(name, f"Predicate {name} failed: {message}")


def check_resources(pod: Obj, node: Obj, others: list[Obj]) -> None:
    allocatable = qos.amounts((node.get("status") or {}).get("allocatable"))
    if not allocatable:
        return
    pods = allocatable.get("pods")
    if pods is not None and len(others) + 1 > pods.value():
        _insufficient("pods", 1, len(others), pods.value())
    used: dict[str, Quantity] = {}
    for other in others:
        for name, amount in qos.pod_requests(other).items():
            used[name] = used.get(name, ZERO) + amount
    devices = dynamic_resources.stand_for(pod)
    for name, wanted in qos.pod_requests(pod).items():
        if name in devices:
            continue
        have, taken = allocatable.get(name, ZERO), used.get(name, ZERO)
        if wanted > ZERO and taken + wanted > have:
            _insufficient(name, shown(name, wanted), shown(name, taken), shown(name, have))


def shown(name: str, amount: Quantity) -> int:
    return amount.milli_value() if name == "cpu" else amount.value()


def _insufficient(name: str, requested: int, used: int, capacity: int) -> None:
    raise Rejected(
        f"OutOf{name}",
        f"Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}",
    )


def _host_ports(pod: Obj) -> Iterator[tuple[str, str, int]]:
    for _, container in containers_by_role(pod):
        for port in container.get("ports") or []:
            number = port.get("hostPort") or (port["containerPort"] if host_network(pod) else 0)
            if number:
                yield port.get("hostIP") or "0.0.0.0", str(port.get("protocol") or "TCP"), int(number)


def _conflicts(port: tuple[str, str, int], taken: set[tuple[str, str, int]]) -> bool:
    address, protocol, number = port
    return any(
        (protocol, number) == (other[1], other[2])
        and (address == other[0] or "0.0.0.0" in (address, other[0]))
        for other in taken
    )

"""A node and the sum of its pods: the state that filters and scores read.

`generation` grows with every change, from one counter for all nodes: what was computed from a node holds as
long as its generation is the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from control_plane.api import meta
from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import Taint, taints
from control_plane.scheduler.framework.pod_info import PodInfo, Port
from control_plane.scheduler.framework.resources import PODS, Resources, parse_amounts

_generations = itertools.count(1)
ANY_ADDRESS = "0.0.0.0"


class NodeInfo:
    __slots__ = (
        "allocatable",
        "allowed_pods",
        "generation",
        "images",
        "labels",
        "name",
        "node",
        "non_zero_cpu",
        "non_zero_memory",
        "pods",
        "pods_with_affinity",
        "pods_with_required_anti_affinity",
        "ports",
        "requested",
        "taints",
        "unschedulable",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.node: Obj | None = None  # None: its pods are known, the node is not (any more)
        self.labels: Mapping[str, str] = {}
        self.taints: tuple[Taint, ...] = ()
        self.unschedulable = False
        self.allocatable = Resources()
        self.allowed_pods = 0
        self.images: Mapping[str, int] = {}  # every name of an image: its size in bytes
        self.pods: dict[str, PodInfo] = {}  # by uid
        self.pods_with_affinity: dict[str, PodInfo] = {}
        self.pods_with_required_anti_affinity: dict[str, PodInfo] = {}
        self.requested = Resources()
        self.non_zero_cpu = 0
        self.non_zero_memory = 0
        self.ports: dict[Port, int] = {}  # how many pods hold it
        self.generation = next(_generations)

    def __repr__(self) -> str:
        return f"NodeInfo({self.name}, {len(self.pods)} pods)"

    def set_node(self, node: Obj) -> None:
        spec, status = node.get("spec") or {}, node.get("status") or {}
        amounts = parse_amounts(status.get("allocatable"))
        self.node = node
        self.labels = meta.labels(node)
        self.taints = taints(spec.get("taints"))
        self.unschedulable = bool(spec.get("unschedulable"))
        self.allocatable = Resources.of(amounts)
        self.allowed_pods = amounts.get(PODS, 0)
        self.images = {
            name: image.get("sizeBytes") or 0
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }
        self.touch()

    def remove_node(self) -> None:
        self.node = None
        self.labels, self.taints, self.images = {}, (), {}
        self.allocatable, self.allowed_pods = Resources(), 0
        self.touch()

    def add_pod(self, pod: PodInfo) -> None:
        self.pods[pod.uid] = pod
        if pod.has_affinity:
            self.pods_with_affinity[pod.uid] = pod
        if pod.required_anti_affinity:
            self.pods_with_required_anti_affinity[pod.uid] = pod
        self._count(pod, 1)
        self.touch()

    def remove_pod(self, uid: str) -> None:
        pod = self.pods.pop(uid)
        self.pods_with_affinity.pop(uid, None)
        self.pods_with_required_anti_affinity.pop(uid, None)
        self._count(pod, -1)
        self.touch()

    def replace_pod(self, pod: PodInfo) -> None:
        """For one that counts the same: what was computed from the node still holds."""
        for pods in (self.pods, self.pods_with_affinity, self.pods_with_required_anti_affinity):
            if pod.uid in pods:
                pods[pod.uid] = pod

    def touch(self) -> None:
        self.generation = next(_generations)

    def copy(self) -> NodeInfo:
        """For trying out: pods can be added to and removed from it without anyone noticing."""
        copy = NodeInfo.__new__(NodeInfo)
        for name in NodeInfo.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.pods = dict(self.pods)
        copy.pods_with_affinity = dict(self.pods_with_affinity)
        copy.pods_with_required_anti_affinity = dict(self.pods_with_required_anti_affinity)
        copy.requested = self.requested.copy()
        copy.ports = dict(self.ports)
        return copy

    def ports_conflict(self, wanted: Iterable[Port]) -> bool:
        """The wildcard address conflicts with every address."""
        if not self.ports:
            return False
        return any(_conflicts(port, held) for port in wanted for held in self.ports)

    def _count(self, pod: PodInfo, sign: int) -> None:
        self.requested.add(pod.requests, sign)
        self.non_zero_cpu += sign * pod.non_zero_cpu
        self.non_zero_memory += sign * pod.non_zero_memory
        for port in pod.ports:
            held = self.ports.get(port, 0) + sign
            if held:
                self.ports[port] = held
            else:
                self.ports.pop(port, None)


def _conflicts(one: Port, other: Port) -> bool:
    if one[1:] != other[1:]:
        return False
    return one[0] == other[0] or ANY_ADDRESS in (one[0], other[0])

"""A pod as the scheduler needs it: everything parsed once when it comes in, so that a cycle only compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.client.types import Obj
from control_plane.scheduler.framework.affinity import (
    NodeAffinity,
    PodTerm,
    Toleration,
    WeightedPodTerms,
    node_affinity,
    pod_terms,
    tolerations,
    weighted_pod_terms,
)
from control_plane.scheduler.framework.resources import CPU, MEMORY, Resources, pod_requests

DEFAULT_SCHEDULER_NAME = "default-scheduler"

Port = tuple[str, str, int]  # host IP ("0.0.0.0" for all), protocol, host port


@dataclass(slots=True, eq=False)
class PodInfo:
    pod: Obj
    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    node_name: str
    priority: int
    scheduler_name: str
    terminating: bool
    requests: Resources
    non_zero_cpu: int
    non_zero_memory: int
    ports: tuple[Port, ...]
    node_affinity: NodeAffinity
    tolerations: tuple[Toleration, ...]
    images: tuple[str, ...]
    volume_images: tuple[str, ...] = ()
    required_affinity: tuple[PodTerm, ...] = ()
    required_anti_affinity: tuple[PodTerm, ...] = ()
    preferred_affinity: WeightedPodTerms = ()
    preferred_anti_affinity: WeightedPodTerms = ()
    classes: dict[str, object] = field(default_factory=dict)  # per profile: see feasibility

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def has_affinity(self) -> bool:
        return bool(
            self.required_affinity
            or self.required_anti_affinity
            or self.preferred_affinity
            or self.preferred_anti_affinity
        )

    @property
    def nominated_node(self) -> str:
        name: str = (self.pod.get("status") or {}).get("nominatedNodeName") or ""
        return name

    def counts_as(self, other: PodInfo) -> bool:
        """Whether on its node nothing looks or weighs otherwise with `other` in this one's place: what was assumed
        and what the API says of it, or two states of a pod that differ in what its agent reports."""
        return (
            self.node_name == other.node_name
            and self.terminating == other.terminating
            and self.requests == other.requests
            and self.non_zero_cpu == other.non_zero_cpu
            and self.non_zero_memory == other.non_zero_memory
            and self.labels == other.labels
            and meta.annotations(self.pod) == meta.annotations(other.pod)
            and _unplaced(self.pod) == _unplaced(other.pod)
        )

    def on(self, node_name: str) -> PodInfo:
        """The same pod, assumed to be on that node."""
        copy = PodInfo.__new__(PodInfo)
        for name in PodInfo.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.node_name = node_name
        return copy


def pod_info(pod: Obj) -> PodInfo:
    spec = pod.get("spec") or {}
    namespace, labels = meta.namespace_of(pod), meta.labels(pod)
    requests = pod_requests(pod)
    non_zero = requests
    if not _all_ask(spec):
        non_zero = pod_requests(pod, non_zero=True)
    info = PodInfo(
        pod=pod,
        uid=meta.uid_of(pod),
        namespace=namespace,
        name=meta.name_of(pod),
        labels=labels,
        node_name=spec.get("nodeName") or "",
        priority=spec.get("priority") or 0,
        scheduler_name=spec.get("schedulerName") or DEFAULT_SCHEDULER_NAME,
        terminating=meta.is_deleting(pod),
        requests=Resources.of(requests),
        non_zero_cpu=non_zero.get(CPU, 0),
        non_zero_memory=non_zero.get(MEMORY, 0),
        ports=_host_ports(spec),
        node_affinity=node_affinity(spec),
        tolerations=tolerations(spec.get("tolerations")),
        images=tuple(each.get("image") or "" for each in _containers(spec)),
        volume_images=_volume_images(spec),
    )
    if affinity := spec.get("affinity"):
        _pod_affinity(info, affinity, namespace, labels)
    return info


def _pod_affinity(info: PodInfo, affinity: Obj, namespace: str, labels: Mapping[str, str]) -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    near, far = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    info.required_affinity = pod_terms(near.get(required), namespace, labels)
    info.required_anti_affinity = pod_terms(far.get(required), namespace, labels)
    info.preferred_affinity = weighted_pod_terms(near.get(preferred), namespace, labels)
    info.preferred_anti_affinity = weighted_pod_terms(far.get(preferred), namespace, labels)


def _containers(spec: Obj) -> list[Obj]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _volume_images(spec: Obj) -> tuple[str, ...]:
    images = [(volume.get("image") or {}).get("reference") for volume in spec.get("volumes") or ()]
    return tuple(image for image in images if image)


def _unplaced(pod: Obj) -> Obj:
    """Its spec as it was before it had a node: that is all that may change of what pods are placed by."""
    return {key: value for key, value in (pod.get("spec") or {}).items() if key != "nodeName"}


def _all_ask(spec: Obj) -> bool:
    for container in _containers(spec):
        asked = (container.get("resources") or {}).get("requests") or {}
        if CPU not in asked or MEMORY not in asked:
            return False
    return True


def _host_ports(spec: Obj) -> tuple[Port, ...]:
    """Also of sidecars, which run beside the containers."""
    found: list[Port] = []
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*sidecars, *(spec.get("containers") or ())]:
        for port in container.get("ports") or ():
            if number := port.get("hostPort"):
                found.append((port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", number))
    return tuple(found)

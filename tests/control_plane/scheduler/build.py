"""Pods, nodes and a small world for tables: everything in one line, nothing started."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from control_plane.api import meta
from control_plane.api.selectors import LabelSelector
from control_plane.client.clock import Clock
from control_plane.client.types import Obj
from control_plane.scheduler import config
from control_plane.scheduler.cache import Cache
from control_plane.scheduler.config import ProfileConfig
from control_plane.scheduler.cycle import Placement, Scheduling
from control_plane.scheduler.framework.fit_error import FitError
from control_plane.scheduler.framework.interface import Plugin
from control_plane.scheduler.framework.pod_info import PodInfo, pod_info
from control_plane.scheduler.framework.profile import Profile
from control_plane.scheduler.nominator import Nominator
from control_plane.scheduler.plugins.registry import PLUGINS
from tests.control_plane.virtual_clock import VirtualClock

HOST = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
_uids = itertools.count(1)


def node(
    name: str,
    cpu: str = "4",
    memory: str = "32Gi",
    pods: int = 110,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[str] = (),
    unschedulable: bool = False,
    images: Mapping[str, int] | None = None,
    **scalars: str,
) -> Obj:
    """Taints as `key=value:Effect`. Images by name and size in bytes."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {HOST: name, **(labels or {})}},
        "spec": {"taints": [taint(each) for each in taints], "unschedulable": unschedulable},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": str(pods), **scalars},
            "images": [{"names": [image], "sizeBytes": size} for image, size in (images or {}).items()],
        },
    }


def taint(text: str) -> Obj:
    pair, _, effect = text.partition(":")
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect}


def pod(
    name: str = "pod",
    on: str = "",
    cpu: str = "",
    memory: str = "",
    labels: Mapping[str, str] | None = None,
    namespace: str = "default",
    priority: int = 0,
    images: Sequence[str] = ("image",),
    host_ports: Sequence[int] = (),
    affinity: Obj | None = None,
    requests: Mapping[str, str] | None = None,
    status: Obj | None = None,
    metadata: Obj | None = None,
    **spec: Any,
) -> Obj:
    """Requests and ports go to the first container. Other fields of the spec by their names."""
    wanted = {**({"cpu": cpu} if cpu else {}), **({"memory": memory} if memory else {}), **(requests or {})}
    containers: list[Obj] = [{"name": f"c{index}", "image": image} for index, image in enumerate(images)]
    containers[0]["resources"] = {"requests": wanted}
    containers[0]["ports"] = [{"hostPort": port, "containerPort": port} for port in host_ports]
    full: Obj = {"schedulerName": "default-scheduler", "priority": priority, "containers": containers, **spec}
    if affinity is not None:
        full["affinity"] = affinity
    if on:
        full["nodeName"] = on
    identity = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{next(_uids)}",
        "labels": dict(labels or {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**identity, **(metadata or {})},
        "spec": full,
        "status": status or {"phase": "Pending"},
    }


def node_terms(*expressions: Obj, fields: Sequence[Obj] = ()) -> Obj:
    """Required node affinity of one term."""
    term = {"matchExpressions": list(expressions), "matchFields": list(fields)}
    required = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def expression(key: str, operator: str, *values: str) -> Obj:
    return {"key": key, "operator": operator, "values": list(values)}


def near(key: str, labels: Mapping[str, str], **more: Any) -> Obj:
    """A pod affinity term."""
    return {"topologyKey": key, "labelSelector": {"matchLabels": dict(labels)}, **more}


def spread(key: str, skew: int, labels: Mapping[str, str], soft: bool = False, **more: Any) -> Obj:
    return {
        "maxSkew": skew,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway" if soft else "DoNotSchedule",
        "labelSelector": {"matchLabels": dict(labels)},
        **more,
    }


class NoWorkloads:
    def __init__(self) -> None:
        self.selector: LabelSelector | None = None

    def default_selector(self, pod: PodInfo) -> LabelSelector | None:
        return self.selector


class FakeStorage:
    """Objects by name; what is assumed replaces what is there."""

    def __init__(
        self, claims: Sequence[Obj] = (), volumes: Sequence[Obj] = (), others: Sequence[Obj] = ()
    ) -> None:
        self._claims = {meta.name_of(each): each for each in claims}
        self._volumes = {meta.name_of(each): each for each in volumes}
        self._others = {(each["kind"], meta.name_of(each)): each for each in others}
        self.assumed: dict[str, Obj] = {}

    def claim(self, namespace: str, name: str) -> Obj | None:
        return self._claims.get(name)

    def volume(self, name: str) -> Obj | None:
        return self.assumed.get(name) or self._volumes.get(name)

    def volumes(self, class_name: str) -> Sequence[Obj]:
        latest = [self.assumed.get(name) or each for name, each in self._volumes.items()]
        return [each for each in latest if (each["spec"].get("storageClassName") or "") == class_name]

    def storage_class(self, name: str) -> Obj | None:
        return self._others.get(("StorageClass", name))

    def csi_node(self, name: str) -> Obj | None:
        return self._others.get(("CSINode", name))

    def csi_driver(self, name: str) -> Obj | None:
        return self._others.get(("CSIDriver", name))

    def capacities(self, class_name: str) -> Sequence[Obj]:
        return [
            each
            for (kind, _), each in self._others.items()
            if kind == "CSIStorageCapacity" and each["storageClassName"] == class_name
        ]

    def attachments(self, node_name: str) -> Sequence[Obj]:
        every = [each for (kind, _), each in self._others.items() if kind == "VolumeAttachment"]
        return [each for each in every if each["spec"]["nodeName"] == node_name]

    def assume(self, volume: Obj) -> None:
        self.assumed[meta.name_of(volume)] = volume

    def forget(self, name: str) -> None:
        self.assumed.pop(name, None)

    async def changed(self, timeout_s: float) -> None:
        raise AssertionError("nothing changes here")


class World:
    """Also the handle of its plugins."""

    client: Any = None
    devices: Any = SimpleNamespace(backing={})  # nobody has any

    def __init__(
        self,
        nodes: Sequence[Obj] = (),
        pods: Sequence[Obj] = (),
        profile: ProfileConfig | None = None,
        clock: Clock | None = None,
        storage: FakeStorage | None = None,
    ) -> None:
        self.storage: Any = storage or FakeStorage()
        self.clock = clock or VirtualClock()
        self.cache = Cache(self.clock)
        self.nominator = Nominator()
        self.workloads = NoWorkloads()
        self.namespaces: dict[str, dict[str, str]] = {}
        self.budgets: list[Obj] = []
        self.preempted: list[tuple[str, list[str]]] = []
        for each in nodes:
            self.cache.set_node(each)
        for each in pods:
            self.cache.add_pod(pod_info(each))
        self.algorithm = Scheduling(self.cache, self.nominator, lambda ties: ties[0])
        self.profile = config.build(profile or ProfileConfig(), self)

    @property
    def nodes(self) -> Cache:
        return self.cache

    def random(self) -> float:
        return 0.0

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        return self.namespaces.get(namespace, {})

    def disruption_budgets(self, namespace: str) -> Sequence[Obj]:
        return [each for each in self.budgets if each["metadata"]["namespace"] == namespace]

    def profile_of(self, pod: PodInfo) -> Profile:
        return self.profile

    def preempt(self, pod: PodInfo, node_name: str, victims: Sequence[PodInfo]) -> None:
        self.preempted.append((node_name, [victim.name for victim in victims]))

    def group(self, namespace: str, name: str) -> Sequence[Obj]:
        return ()

    def activate(self, uids: Sequence[str]) -> None:
        raise AssertionError("nobody waits here")

    def allow(self, uid: str, plugin: str) -> None:
        raise AssertionError("nobody waits here")

    def reject(self, uid: str, plugin: str, reason: str) -> None:
        raise AssertionError("nobody waits here")

    # ---- questions

    def place(self, obj: Obj) -> Placement:
        return self.algorithm.place(self.profile, pod_info(obj))

    def why_not(self, obj: Obj) -> str:
        try:
            placement = self.place(obj)
        except FitError as error:
            return str(error)
        raise AssertionError(f"placed on {placement.node_name}")

    def plugin(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        return PLUGINS[name](self, args or {})

    def feasible(self, name: str, obj: Obj, args: Mapping[str, Any] | None = None) -> dict[str, str]:
        """What one filter says, by node: "" where it passes."""
        plugin, info = self.plugin(name, args), pod_info(obj)
        state: dict[str, Any] = {}
        if hasattr(plugin, "pre_filter"):
            answer = plugin.pre_filter(state, info)
            if answer is not None and not isinstance(answer, frozenset):
                return {each.name: answer.message for each in self.cache.all()}
        statuses = {each.name: plugin.filter(state, info, each) for each in self.cache.all()}
        return {name: status.message if status else "" for name, status in statuses.items()}

    def scores(
        self, name: str, obj: Obj, args: Mapping[str, Any] | None = None, failed: Sequence[str] = ()
    ) -> dict[str, int] | None:
        """Normalized scores by node that did not fail the filters; None when the plugin skips the pod."""
        plugin, info = self.plugin(name, args), pod_info(obj)
        nodes = [each for each in self.cache.all() if each.name not in failed]
        state: dict[str, Any] = {}
        if plugin.pre_score(state, info, nodes) is not None:
            return None
        raw = plugin.score_all(state, info, nodes)
        normalized = plugin.normalize(state, info, nodes, raw)
        return {each.name: score for each, score in zip(nodes, normalized, strict=True)}


def names(plugins: Sequence[Plugin]) -> list[str]:
    return [plugin.name for plugin in plugins]

"""endpointslice: slices of at most 100 endpoints for every service with a selector.

A slice that has room is filled before a new one is made, and an endpoint stays in the slice it is in: most changes
write one object.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import ENDPOINT_SLICES, NODES
from control_plane.controllers import service_backends, topology_hints
from control_plane.controllers.context import Context
from control_plane.controllers.controller import named
from control_plane.controllers.deployment.revision import template_hash
from control_plane.controllers.endpoints import target_ref
from control_plane.controllers.service_backends import Backend, Port
from control_plane.controllers.service_follower import ServiceFollower

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ZONE_LABEL = "topology.kubernetes.io/zone"
MAX_ENDPOINTS = 100
BY_SERVICE = "service"
ZONES = "zones"  # a key, of no service


@dataclass(slots=True)
class Plan:
    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def plan(
    service: Object,
    backends: Mapping[str, Sequence[Backend]],
    zones: dict[str, str],
    current: Iterable[Object],
    shares: topology_hints.Shares | None = None,
) -> Plan:
    """`backends`: by address family. `zones`: of the nodes; `shares`: how large each zone is. Slices are compared,
    not rewritten: an unchanged one is in none of the three lists."""
    planned = Plan()
    left = list(current)
    for family, group in _groups(backends).items():
        fitting = [each for each in left if _group_of(each) == family]
        left = [each for each in left if _group_of(each) != family]
        endpoints = topology_hints.add(service, [_endpoint(each, zones) for each in group], shares)
        _plan_group(planned, service, family, endpoints, fitting)
    planned.delete += left
    return planned


GroupKey = tuple[str, tuple[Port, ...]]  # address family, ports


def _groups(backends: Mapping[str, Sequence[Backend]]) -> dict[GroupKey, list[Backend]]:
    groups: dict[GroupKey, list[Backend]] = {}
    for family, members in backends.items():
        for backend in members:
            groups.setdefault((family, backend.ports), []).append(backend)
        if not members:
            groups[family, ()] = []  # a service without backends still has one slice that says so
    return groups


def _group_of(slice_: Object) -> GroupKey:
    ports = tuple(
        sorted(
            Port(
                each.get("name") or "",
                each.get("protocol", "TCP"),
                int(each["port"]),
                each.get("appProtocol") or "",
            )
            for each in slice_.get("ports") or ()
        )
    )
    return slice_["addressType"], ports


def _plan_group(
    planned: Plan, service: Object, group: GroupKey, endpoints: Sequence[Object], slices: Sequence[Object]
) -> None:
    wanted = {_identity(each): each for each in endpoints}
    contents: list[list[Object]] = []
    for each in slices:
        kept = [wanted.pop(key) for old in each.get("endpoints") or () if (key := _identity(old)) in wanted]
        contents.append(kept)
    rest = list(wanted.values())
    for kept in sorted(contents, key=len, reverse=True):
        room = MAX_ENDPOINTS - len(kept)
        kept += rest[:room]
        rest = rest[room:]
    for each, kept in zip(slices, contents, strict=True):
        _keep_or_drop(planned, service, group, each, kept, is_last=len(slices) == 1 and not endpoints)
    names = _free_names(service, group, {meta.name_of(each) for each in slices})
    if not slices and not endpoints:
        planned.create.append(_slice(service, group, [], {"metadata": {"name": next(names)}}))
    for start in range(0, len(rest), MAX_ENDPOINTS):
        chunk = rest[start : start + MAX_ENDPOINTS]
        planned.create.append(_slice(service, group, chunk, {"metadata": {"name": next(names)}}))


def _free_names(service: Object, group: GroupKey, taken: set[str]) -> Iterator[str]:
    """Names that follow from what the slice is for: made twice, since the informer lags, the second one fails."""
    for number in itertools.count():
        digest = template_hash({"uid": meta.uid_of(service), "group": str(group), "number": number}, 0)
        name = f"{meta.name_of(service)}-{digest[:8]}"
        if name not in taken:
            yield name


def _keep_or_drop(
    planned: Plan, service: Object, group: GroupKey, current: Object, kept: list[Object], *, is_last: bool
) -> None:
    if not kept and not is_last:
        planned.delete.append(current)
        return
    changed = _slice(service, group, kept, current)
    if changed != current:
        planned.update.append(changed)


def _slice(service: Object, group: GroupKey, endpoints: list[Object], current: Object) -> Object:
    labels = {**meta.labels(service), SERVICE_LABEL: meta.name_of(service), MANAGED_BY_LABEL: MANAGER}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS_LABEL] = ""
    metadata: Object = (
        dict(meta.metadata(current)) if current else {"generateName": f"{meta.name_of(service)}-"}
    )
    metadata.update(
        namespace=meta.namespace_of(service),
        labels=labels,
        ownerReferences=[meta.controller_reference(service)],
    )
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": group[0],
        "endpoints": endpoints,
        "ports": [_port(port) for port in group[1]],
    }


def _port(port: Port) -> Object:
    shown: Object = {"name": port.name, "protocol": port.protocol, "port": port.port}
    return {**shown, "appProtocol": port.app_protocol} if port.app_protocol else shown


def _endpoint(backend: Backend, zones: dict[str, str]) -> Object:
    node = meta.nested(backend.pod, "spec", "nodeName")
    endpoint: Object = {
        "addresses": [backend.address],
        "conditions": {
            "ready": backend.ready,
            "serving": backend.serving,
            "terminating": backend.terminating,
        },
        "targetRef": target_ref(backend.pod),
    }
    if backend.hostname:
        endpoint["hostname"] = backend.hostname
    if node:
        endpoint["nodeName"] = node
    if zone := zones.get(node or ""):
        endpoint["zone"] = zone
    return endpoint


def _identity(endpoint: Object) -> tuple[str, str]:
    return meta.nested(endpoint, "targetRef", "uid", default=""), endpoint["addresses"][0]


class EndpointSliceController(ServiceFollower):
    name = "endpointslice"
    account = "endpointslice-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer(NODES)
        self.slices = self.informer(ENDPOINT_SLICES)
        self.slices.add_index(BY_SERVICE, _service_key)
        self.slices.add_handler(
            on_update=lambda _, new: self._slice_changed(new), on_delete=self._slice_changed
        )
        self.shares: topology_hints.Shares | None = None
        self.nodes.add_handler(
            lambda _: self.queue.add(ZONES), self._node_changed, lambda _: self.queue.add(ZONES)
        )

    async def reconcile(self, key: str) -> None:
        if key == ZONES:
            self._weigh_zones()
            return
        service = named(self.services, key)
        current = [each for each in self.slices.by_index(BY_SERVICE, key) if not meta.is_deleting(each)]
        if service is None or meta.is_deleting(service):
            return  # the slices belong to the service: the garbage collector takes them
        if not service_backends.selects(service):
            return
        candidates = self.pods.list(meta.namespace_of(service))
        families = service_backends.families(service)
        backends = {family: service_backends.backends(service, candidates, family) for family in families}
        await self._carry_out(plan(service, backends, self._zones(), current, self.shares))

    async def _carry_out(self, planned: Plan) -> None:
        await asyncio.gather(
            *(self.client.create(ENDPOINT_SLICES, each) for each in planned.create),
            *(self.client.update(ENDPOINT_SLICES, each) for each in planned.update),
            *(self._delete(each) for each in planned.delete),
        )

    async def _delete(self, slice_: Object) -> None:
        try:
            await self.client.delete(
                ENDPOINT_SLICES, meta.name_of(slice_), meta.namespace_of(slice_), uid=meta.uid_of(slice_)
            )
        except StatusError as error:
            if not is_not_found(error):
                raise

    def _zones(self) -> dict[str, str]:
        return {meta.name_of(node): meta.labels(node).get(ZONE_LABEL, "") for node in self.nodes.list()}

    def _node_changed(self, old: Object, new: Object) -> None:
        if topology_hints.part(old) != topology_hints.part(new):
            self.queue.add(ZONES)

    def _weigh_zones(self) -> None:
        """Zones that grow or shrink move the endpoints of services that follow them."""
        shares = topology_hints.shares(self.nodes.list())
        if shares != self.shares:
            self.shares = shares
            for service in self.services.list():
                if topology_hints.is_auto(service):
                    self.enqueue(service)

    def _slice_changed(self, slice_: Object) -> None:
        for key in _service_key(slice_):
            self.queue.add(key)


def _service_key(slice_: Object) -> list[str]:
    """Of the slices that this controller keeps; others are none of its business."""
    labels = meta.labels(slice_)
    if labels.get(MANAGED_BY_LABEL) != MANAGER or SERVICE_LABEL not in labels:
        return []
    return [f"{meta.namespace_of(slice_)}/{labels[SERVICE_LABEL]}"]

"""endpointslice: slices of at most 100 endpoints for every service with a selector.

Most changes write one object (`endpoint_packing`), and a slice that nothing is left of is used again before a new
one is made. A pod on a node that does not exist (any more) is no endpoint, unless the service wants all.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import ENDPOINT_SLICES, NODES
from control_plane.controllers import service_backends, topology_hints, trigger_times
from control_plane.controllers.context import Context
from control_plane.controllers.controller import named
from control_plane.controllers.deployment.revision import template_hash
from control_plane.controllers.endpoint_packing import pack
from control_plane.controllers.endpoints import target_ref
from control_plane.controllers.service_backends import Backend, Port
from control_plane.controllers.service_follower import ServiceFollower

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ZONE_LABEL = "topology.kubernetes.io/zone"
RESERVED_LABELS = frozenset((SERVICE_LABEL, MANAGED_BY_LABEL, HEADLESS_LABEL))
LOOK_FOR_NODES_S = 5.0
BY_SERVICE = "service"
ZONES = "zones"  # a key, of no service


Ports = tuple[Port, ...]


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
    for family in backends:
        fitting = [each for each in left if each["addressType"] == family]
        left = [each for each in left if each["addressType"] != family]
        hinted = topology_hints.add(service, [_endpoint(each, zones) for each in backends[family]], shares)
        groups: dict[Ports, list[Object]] = {}
        for backend, endpoint in zip(backends[family], hinted, strict=True):
            groups.setdefault(backend.ports, []).append(endpoint)
        _plan_family(planned, service, family, groups, fitting)
    planned.delete += left
    return planned


def _ports_of(slice_: Object) -> Ports:
    return tuple(
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


def _plan_family(
    planned: Plan,
    service: Object,
    family: str,
    groups: Mapping[Ports, Sequence[Object]],
    slices: list[Object],
) -> None:
    """Slices of one address family; each holds endpoints with the same ports."""
    new: list[tuple[Ports, list[Object]]] = []
    unused: list[Object] = []
    for ports in sorted({*groups, *map(_ports_of, slices)}):
        mine = [each for each in slices if _ports_of(each) == ports]
        new += [
            (ports, chunk)
            for chunk in _plan_group(planned, service, ports, groups.get(ports, ()), mine, unused)
        ]
    if len(unused) == len(slices) and not new:
        new.append(((), []))  # a service without endpoints still has one slice that says so
    for current in unused:
        if new and meta.is_controlled_by(current, service):
            _write(planned, service, current, *new.pop())
        else:
            planned.delete.append(current)
    names = _free_names(service, family, {meta.name_of(each) for each in slices})
    for ports, chunk in new:
        made = {"metadata": {"name": next(names)}, "addressType": family}
        planned.create.append(_slice(service, ports, chunk, made))


def _plan_group(
    planned: Plan,
    service: Object,
    ports: Ports,
    endpoints: Sequence[Object],
    slices: Sequence[Object],
    unused: list[Object],
) -> list[list[Object]]:
    """What is left for new slices. Those of which nothing is left are `unused`."""
    held = [list(each.get("endpoints") or ()) for each in slices]
    written = [_slice(service, ports, old, each) != each for old, each in zip(held, slices, strict=True)]
    contents, new = pack(held, written, endpoints)
    for each, kept in zip(slices, contents, strict=True):
        if kept:
            _write(planned, service, each, ports, kept)
        else:
            unused.append(each)
    return new


def _write(planned: Plan, service: Object, current: Object, ports: Ports, endpoints: list[Object]) -> None:
    changed = _slice(service, ports, endpoints, current)
    if changed != current:
        planned.update.append(changed)


def _free_names(service: Object, family: str, taken: set[str]) -> Iterator[str]:
    """Names that follow from what the slice is for: made twice, since the informer lags, the second one fails."""
    for number in itertools.count():
        digest = template_hash({"uid": meta.uid_of(service), "family": family, "number": number}, 0)
        name = f"{meta.name_of(service)}-{digest[:8]}"
        if name not in taken:
            yield name


def _slice(service: Object, ports: Ports, endpoints: list[Object], current: Object) -> Object:
    """`current`, or its name and address family, with what it should be."""
    labels = {key: value for key, value in meta.labels(service).items() if key not in RESERVED_LABELS}
    labels |= {SERVICE_LABEL: meta.name_of(service), MANAGED_BY_LABEL: MANAGER}
    if not service_backends.has_address(service):
        labels[HEADLESS_LABEL] = ""
    metadata: Object = {
        **meta.metadata(current),
        "namespace": meta.namespace_of(service),
        "labels": labels,
        "ownerReferences": [meta.controller_reference(service)],
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": current["addressType"],
        "endpoints": endpoints,
        "ports": [_port(port) for port in ports],
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
        self.changes = trigger_times.TriggerTimes()
        self.nodes.add_handler(
            lambda _: self.queue.add(ZONES), self._node_changed, lambda _: self.queue.add(ZONES)
        )

    async def reconcile(self, key: str) -> float | None:
        if key == ZONES:
            self._weigh_zones()
            return None
        service = named(self.services, key)
        current = [each for each in self.slices.by_index(BY_SERVICE, key) if not meta.is_deleting(each)]
        if service is None or meta.is_deleting(service):
            self.changes.forget(key)
            return None  # the slices belong to the service: the garbage collector takes them
        if not service_backends.selects(service):
            return None
        candidates = self.pods.list(meta.namespace_of(service))
        families = service_backends.families(service)
        zones = self._zones()
        found = {family: service_backends.backends(service, candidates, family) for family in families}
        backends = {
            family: [each for each in members if _is_somewhere(each, zones)]
            for family, members in found.items()
        }
        pods = [each.pod for members in backends.values() for each in members]
        planned = plan(service, backends, zones, current, self.shares)
        changed_at = self.changes.observe(key, service, pods)
        for each in (*planned.create, *planned.update):
            trigger_times.annotate(each, changed_at)
        await self._carry_out(planned)
        return None if backends == found else LOOK_FOR_NODES_S

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


def _is_somewhere(backend: Backend, nodes: Container[str]) -> bool:
    node = meta.nested(backend.pod, "spec", "nodeName")
    return not node or node in nodes or backend.publish_not_ready


def _service_key(slice_: Object) -> list[str]:
    """Of the slices that this controller keeps; others are none of its business."""
    labels = meta.labels(slice_)
    if labels.get(MANAGED_BY_LABEL) != MANAGER or SERVICE_LABEL not in labels:
        return []
    return [f"{meta.namespace_of(slice_)}/{labels[SERVICE_LABEL]}"]

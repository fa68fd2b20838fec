"""endpointslicemirroring: Endpoints that somebody writes by hand, for a service without selector, as slices.

Each subset is mirrored by slices of at most 100 endpoints, whose names follow from what they hold, so that none is
made twice. The slices belong to the Endpoints object.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named
from control_plane.controllers.deployment.revision import template_hash
from control_plane.controllers.endpoint_packing import MAX_ENDPOINTS
from control_plane.controllers.endpointslice import MANAGED_BY_LABEL, SERVICE_LABEL

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader"
NOT_COPIED = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
MAX_PER_SUBSET = 1000
BY_ENDPOINTS = "mirrored endpoints"


@dataclass(slots=True)
class Plan:
    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def should_mirror(endpoints: Object, service: Object | None) -> bool:
    if meta.labels(endpoints).get(SKIP_LABEL) == "true" or LEADER_ANNOTATION in meta.annotations(endpoints):
        return False
    return service is not None and not (service.get("spec") or {}).get("selector")


def plan(endpoints: Object | None, current: Iterable[Object]) -> Plan:
    """None: nothing is to be mirrored (any more)."""
    planned, left = Plan(), {meta.name_of(each): each for each in current}
    for wanted in slices(endpoints) if endpoints is not None else ():
        known = left.pop(meta.name_of(wanted), None)
        if known is None:
            planned.create.append(wanted)
        elif _differs(known, wanted):
            planned.update.append({**wanted, "metadata": {**known["metadata"], **wanted["metadata"]}})
    planned.delete += left.values()
    return planned


def slices(endpoints: Object) -> Iterator[Object]:
    for subset in endpoints.get("subsets") or ():
        ports = [_port(each) for each in subset.get("ports") or ()]
        for family, members in _by_family(subset).items():
            for start in range(0, len(members), MAX_ENDPOINTS):
                group = {"family": family, "ports": ports, "start": start}
                yield _slice(endpoints, family, ports, members[start : start + MAX_ENDPOINTS], group)


def _by_family(subset: Object) -> dict[str, list[Object]]:
    families: dict[str, list[Object]] = {}
    ready = [(each, True) for each in subset.get("addresses") or ()]
    unready = [(each, False) for each in subset.get("notReadyAddresses") or ()]
    for address, is_ready in [*ready, *unready][:MAX_PER_SUBSET]:
        family = f"IPv{ipaddress.ip_address(address['ip']).version}"
        families.setdefault(family, []).append(_endpoint(address, is_ready))
    return families


def _endpoint(address: Object, ready: bool) -> Object:
    made: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for key in ("hostname", "nodeName", "targetRef"):
        if address.get(key):
            made[key] = address[key]
    return made


def _port(port: Object) -> Object:
    made = {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": port["port"]}
    return {**made, "appProtocol": port["appProtocol"]} if port.get("appProtocol") else made


def _slice(
    endpoints: Object, family: str, ports: list[Object], members: list[Object], group: Mapping[str, object]
) -> Object:
    name = meta.name_of(endpoints)
    digest = template_hash({"uid": meta.uid_of(endpoints), **group}, 0)
    metadata: Object = {
        "name": f"{name}-{digest[:8]}",
        "namespace": meta.namespace_of(endpoints),
        "labels": {**meta.labels(endpoints), SERVICE_LABEL: name, MANAGED_BY_LABEL: MANAGER},
        "ownerReferences": [
            meta.controller_reference(
                {"apiVersion": "v1", "kind": "Endpoints", "metadata": endpoints["metadata"]}
            )
        ],
    }
    annotations = {key: text for key, text in meta.annotations(endpoints).items() if key not in NOT_COPIED}
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        "endpoints": members,
        "ports": ports,
    }


def _differs(known: Object, wanted: Object) -> bool:
    return (
        any(known.get(key) != wanted[key] for key in ("endpoints", "ports"))
        or meta.labels(known) != meta.labels(wanted)
        or meta.annotations(known) != meta.annotations(wanted)
    )


class EndpointSliceMirroringController(Controller):
    name = "endpointslicemirroring"
    account = "endpointslicemirroring-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.services = self.informer(SERVICES)
        self.endpoints = self.informer(ENDPOINTS)
        self.slices = self.informer(ENDPOINT_SLICES)
        self.slices.add_index(BY_ENDPOINTS, _endpoints_key)
        self.reconcile_each(self.endpoints)
        self.reconcile_each(self.services)
        self.slices.add_handler(
            on_update=lambda _, new: self._slice_changed(new), on_delete=self._slice_changed
        )

    async def reconcile(self, key: str) -> float | None:
        endpoints, service = named(self.endpoints, key), named(self.services, key)
        current = [each for each in self.slices.by_index(BY_ENDPOINTS, key) if not meta.is_deleting(each)]
        wanted = endpoints if endpoints is not None and should_mirror(endpoints, service) else None
        planned = plan(wanted, current)
        await asyncio.gather(
            *(self.client.create(ENDPOINT_SLICES, each) for each in planned.create),
            *(self.client.update(ENDPOINT_SLICES, each) for each in planned.update),
            *(self._delete(each) for each in planned.delete),
        )
        return None

    async def _delete(self, slice_: Object) -> None:
        name, namespace = meta.name_of(slice_), meta.namespace_of(slice_)
        try:
            await self.client.delete(ENDPOINT_SLICES, name, namespace, uid=meta.uid_of(slice_))
        except StatusError as error:
            if not is_not_found(error):
                raise

    def _slice_changed(self, slice_: Object) -> None:
        for key in _endpoints_key(slice_):
            self.queue.add(key)


def _endpoints_key(slice_: Object) -> list[str]:
    labels = meta.labels(slice_)
    if labels.get(MANAGED_BY_LABEL) != MANAGER or SERVICE_LABEL not in labels:
        return []
    return [f"{meta.namespace_of(slice_)}/{labels[SERVICE_LABEL]}"]

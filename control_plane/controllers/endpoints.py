"""endpoints: the Endpoints object of every service with a selector (the API that came before EndpointSlices)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_already_exists, is_not_found
from control_plane.api.meta import Object
from control_plane.client.gvr import ENDPOINTS
from control_plane.controllers import service_backends, trigger_times
from control_plane.controllers.context import Context
from control_plane.controllers.controller import named
from control_plane.controllers.service_backends import Backend, Port
from control_plane.controllers.service_follower import ServiceFollower

HEADLESS_LABEL = "service.kubernetes.io/headless"
MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000  # addresses; what does not fit is left out and said, as in Kubernetes


def plan(service: Object, backends: Sequence[Backend], current: Object | None) -> Object:
    """The Endpoints object as it should be."""
    shown = [backend for backend in backends if backend.ready or not backend.terminating]
    labels = {**meta.labels(service), MANAGED_BY_LABEL: MANAGER}
    if not service_backends.has_address(service):
        labels[HEADLESS_LABEL] = ""
    annotations = dict(meta.annotations(current)) if current else {}
    annotations.pop(OVER_CAPACITY, None)
    if len(shown) > CAPACITY:
        annotations[OVER_CAPACITY] = "truncated"
        shown = sorted(shown, key=lambda backend: not backend.ready)[:CAPACITY]
    metadata = {
        **(meta.metadata(current) if current else {}),
        "name": meta.name_of(service),
        "namespace": meta.namespace_of(service),
        "labels": labels,
    }
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    wanted: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
    if made := subsets(shown, bare=not service["spec"].get("ports") and HEADLESS_LABEL in labels):
        wanted["subsets"] = made
    return wanted


def subsets(backends: Iterable[Backend], bare: bool = False) -> list[Object]:
    """Backends with the same ports share a subset. `bare`: those without any count too."""
    by_ports: dict[tuple[Port, ...], list[Backend]] = {}
    for backend in backends:
        by_ports.setdefault(backend.ports, []).append(backend)
    return [_subset(ports, group) for ports, group in sorted(by_ports.items()) if ports or bare]


def _subset(ports: tuple[Port, ...], backends: Sequence[Backend]) -> Object:
    subset: Object = {}
    if ready := [_address(backend) for backend in backends if backend.ready]:
        subset["addresses"] = ready
    if unready := [_address(backend) for backend in backends if not backend.ready]:
        subset["notReadyAddresses"] = unready
    if ports:
        subset["ports"] = [_port(port) for port in ports]
    return subset


def _port(port: Port) -> Object:
    shown: Object = {"port": port.port, "protocol": port.protocol}
    if port.name:
        shown["name"] = port.name
    if port.app_protocol:
        shown["appProtocol"] = port.app_protocol
    return shown


def _address(backend: Backend) -> Object:
    pod = backend.pod
    address: Object = {
        "ip": backend.address,
        "nodeName": meta.nested(pod, "spec", "nodeName"),
        "targetRef": target_ref(pod),
    }
    if backend.hostname:
        address["hostname"] = backend.hostname
    return {name: value for name, value in address.items() if value is not None}


def target_ref(pod: Object) -> Object:
    return {
        "kind": "Pod",
        "namespace": meta.namespace_of(pod),
        "name": meta.name_of(pod),
        "uid": meta.uid_of(pod),
    }


class EndpointsController(ServiceFollower):
    name = "endpoints"
    account = "endpoint-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.endpoints = self.informer(ENDPOINTS)
        self.endpoints.add_handler(on_delete=self.enqueue)
        self.changes = trigger_times.TriggerTimes()

    async def reconcile(self, key: str) -> None:
        service = named(self.services, key)
        current = named(self.endpoints, key)
        if service is None:
            self.changes.forget(key)
            await self._remove(key, current)
            return
        if not service_backends.selects(service):
            return
        candidates = self.pods.list(meta.namespace_of(service))
        family = service_backends.families(service)[0]
        backends = service_backends.backends(service, candidates, family)
        wanted = plan(service, backends, current)
        changed_at = self.changes.observe(key, service, [each.pod for each in backends])
        if wanted == current:
            return
        trigger_times.annotate(wanted, changed_at)
        if current is None:
            await self._create(wanted)
        else:
            await self.client.update(ENDPOINTS, wanted)

    async def _create(self, wanted: Object) -> None:
        try:
            await self.client.create(ENDPOINTS, wanted)
        except StatusError as error:
            if is_already_exists(error):
                raise
            if not is_not_found(error) and "being terminated" not in str(error):
                raise

    async def _remove(self, key: str, current: Object | None) -> None:
        if current is None or meta.labels(current).get(MANAGED_BY_LABEL) != MANAGER:
            return
        try:
            namespace, name = meta.split_key(key)
            await self.client.delete(ENDPOINTS, name, namespace, uid=meta.uid_of(current))
        except StatusError as error:
            if not is_not_found(error):
                raise

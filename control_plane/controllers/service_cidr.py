"""service-cidrs: a ServiceCIDR is ready once it is protected, and goes only when no Service has an address of it
left that no other ServiceCIDR covers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from control_plane.api import meta
from control_plane.api.meta import Object
from control_plane.client.gvr import IP_ADDRESSES, SERVICE_CIDRS
from control_plane.controllers.context import Context
from control_plane.controllers.controller import Controller, named

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
RETRY_S = 5.0
STILL_USED = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
)


def blocking(cidr: Object, others: Iterable[Object], addresses: Iterable[str]) -> list[str]:
    """The addresses in use that would be left without a range."""
    inside = _networks(cidr)
    elsewhere = [network for other in others if not meta.is_deleting(other) for network in _networks(other)]
    return [
        text
        for text in addresses
        if any(ipaddress.ip_address(text) in each for each in inside)
        and not any(ipaddress.ip_address(text) in each for each in elsewhere)
    ]


def _networks(cidr: Object) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(each) for each in meta.nested(cidr, "spec", "cidrs", default=())]


def with_condition(cidr: Object, value: str, reason: str, message: str, now: float) -> Object:
    """The object as it is when nothing changes."""
    current = meta.condition(cidr, "Ready")
    if current is not None and (current["status"], current.get("reason", "")) == (value, reason):
        return cidr
    made = {
        "type": "Ready",
        "status": value,
        "reason": reason,
        "message": message,
        "lastTransitionTime": meta.rfc3339(now),
    }
    others = [
        each for each in meta.nested(cidr, "status", "conditions", default=()) if each["type"] != "Ready"
    ]
    return {**cidr, "status": {**(cidr.get("status") or {}), "conditions": [*others, made]}}


class ServiceCIDRController(Controller):
    name = "service-cidr"
    account = "service-cidrs-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cidrs = self.informer(SERVICE_CIDRS)
        self.addresses = self.informer(IP_ADDRESSES)
        self.reconcile_each(self.cidrs)
        self.addresses.add_handler(on_delete=lambda _: self._look_at_deleted())

    async def reconcile(self, key: str) -> float | None:
        cidr = named(self.cidrs, key)
        if cidr is None:
            return None
        now = self.context.now()
        if not meta.is_deleting(cidr):
            if FINALIZER not in meta.finalizers(cidr):
                cidr = await self._write_finalizers(cidr, [*meta.finalizers(cidr), FINALIZER])
            text = "Kubernetes Service CIDR is ready"
            await self._write_status(cidr, with_condition(cidr, "True", "", text, now))
            return None
        if FINALIZER not in meta.finalizers(cidr):
            return None
        others = [each for each in self.cidrs.list() if meta.uid_of(each) != meta.uid_of(cidr)]
        if blocking(cidr, others, (meta.name_of(each) for each in self.addresses.list())):
            await self._write_status(cidr, with_condition(cidr, "False", "Terminating", STILL_USED, now))
            return RETRY_S
        await self._write_finalizers(cidr, [each for each in meta.finalizers(cidr) if each != FINALIZER])
        return None

    async def _write_finalizers(self, cidr: Object, finalizers: list[str]) -> Object:
        changed = {**cidr, "metadata": {**cidr["metadata"], "finalizers": finalizers}}
        return await self.client.update(SERVICE_CIDRS, changed)

    async def _write_status(self, cidr: Object, wanted: Object) -> None:
        if wanted is not cidr:
            await self.client.update(SERVICE_CIDRS, wanted, "status")

    def _look_at_deleted(self) -> None:
        for cidr in self.cidrs.list():
            if meta.is_deleting(cidr):
                self.enqueue(cidr)

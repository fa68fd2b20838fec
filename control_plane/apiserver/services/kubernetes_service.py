"""The `kubernetes` Service in `default`: the first address of the service range, with the apiservers as endpoints.

Each apiserver holds a key of its own, which names its address, under a short lease; the endpoints are the addresses
of all keys, so that the address of one that died goes, unless another serves there too.
"""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

from control_plane.api import meta
from control_plane.api.errors import StatusError, is_conflict
from control_plane.apiserver.core import Core
from control_plane.apiserver.services.ranges import first_address
from control_plane.apiserver.storage import codec, keys
from control_plane.apiserver.system_storage import SystemStorage
from store.client.client import StoreClient
from store.client.errors import StoreError
from store.client.types import prefix_end
from store.component import logs

LEASE_TTL_S = 15
RENEW_INTERVAL_S = 5.0
LEASES = keys.RANGES + b"masterleases/"

Object = dict[str, Any]

log = logs.get("apiserver.endpoints")


class KubernetesService:
    def __init__(self, client: StoreClient, address: str, port: int, identity: str) -> None:
        self._client = client
        self._address = address
        self._key = LEASES + f"{address}/{identity}".encode()
        self._port = port
        self._lease = 0

    async def hook(self, core: Core) -> None:
        """Create the service, its range and its endpoints."""
        storage = SystemStorage(core)
        await storage.ensure(service_cidr([str(network) for network in core.services.networks]))
        await storage.ensure(service(first_address(core.services.networks[0]), self._port))
        await self._reconcile(core)

    async def run(self, core: Core) -> None:
        """Keep this server among the endpoints until cancelled."""
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S)
            try:
                await core.freshness.store_revision()  # keeps the health check up to date on an idle server
                await self._reconcile(core)
            except (StoreError, StatusError) as error:
                log.warning("cannot renew this server's endpoint", reason=error)

    async def withdraw(self) -> None:
        """Leave the endpoints at once: called on a clean stop. Others remove the address when they see it gone."""
        if self._lease:
            await self._client.lease_revoke(self._lease)

    async def _reconcile(self, core: Core) -> None:
        await self._hold_lease()
        found = await self._client.range(LEASES, prefix_end(LEASES), keys_only=True)
        addresses = sorted({kv.key[len(LEASES) :].decode().partition("/")[0] for kv in found.kvs})
        await _write(core, endpoints(addresses, self._port))
        await _write(core, endpoint_slice(addresses, self._port))

    async def _hold_lease(self) -> None:
        if self._lease:
            try:
                await self._client.lease_keep_alive(self._lease)
            except StoreError:
                self._lease = 0
        if not self._lease:
            self._lease = (await self._client.lease_grant(LEASE_TTL_S)).id
            holder = {"apiVersion": "v1", "kind": "MasterLease", "metadata": {"name": self._address}}
            await self._client.put(self._key, codec.encode(holder), lease=self._lease)


async def _write(core: Core, wanted: Object) -> None:
    """Create the object, or put the wanted addresses into it."""
    storage = SystemStorage(core)
    if await storage.ensure(deepcopy(wanted)):
        return
    group, _ = meta.group_version(wanted["apiVersion"])
    resource = _RESOURCES[wanted["kind"]]
    stored = await storage.get(group, resource, meta.namespace_of(wanted), meta.name_of(wanted))
    if stored is None:
        return
    new = {**stored, **{field: wanted[field] for field in wanted if field != "metadata"}}
    if new == stored:
        return
    try:
        await storage.update(group, resource, new)
    except StatusError as error:
        if not is_conflict(error):  # on a conflict another replica was faster; the next turn looks again
            raise


def service_cidr(cidrs: list[str]) -> Object:
    condition = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": meta.now_rfc3339(),
        "message": "Kubernetes default Service CIDR is ready",
        "reason": "",
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes", "finalizers": ["networking.k8s.io/service-cidr-finalizer"]},
        "spec": {"cidrs": cidrs},
        "status": {"conditions": [condition]},
    }


def service(address: str, port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": _LABELS},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            "sessionAffinity": "None",
        },
        "status": {"loadBalancer": {}},
    }


_RESOURCES = {"Endpoints": "endpoints", "EndpointSlice": "endpointslices"}
_LABELS = {"component": "apiserver", "provider": "kubernetes"}


def endpoints(addresses: list[str], port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {
                "addresses": [{"ip": address} for address in addresses],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ],
    }


def endpoint_slice(addresses: list[str], port: int) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv6" if addresses and ":" in addresses[0] else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }

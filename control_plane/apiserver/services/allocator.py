"""Gives a Service its addresses and node ports, and takes back what it no longer needs.

An address is held by an IPAddress object, a node port by a key below `/registry/ranges/`. They are written and
deleted in the same transaction as the Service, on the condition that they did not exist: two apiservers that
choose the same one cannot both succeed, and nothing leaks when a process dies in between. The watch cache
says what is free; when it is behind, the transaction fails and the choice is made again.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from control_plane.api import errors, meta
from control_plane.api.errors import FieldError
from control_plane.apiserver.services.fields import (
    HEADLESS,
    cluster_ips,
    is_external,
    needs_health_check_port,
    needs_node_ports,
    set_families,
)
from control_plane.apiserver.services.ranges import Exhausted, Network, PortRange, choose_address
from control_plane.apiserver.storage import codec, keys
from control_plane.apiserver.storage.objects import Also
from control_plane.apiserver.watch_cache.feed import Feed
from store.client.types import Compare, Op, Operation

Object = dict[str, Any]

PORT_PREFIX = keys.RANGES + b"servicenodeports/"
ADDRESS_PREFIX = keys.collection("networking.k8s.io", "ipaddresses")


class ServiceAllocator:
    def __init__(
        self,
        feed: Feed,
        networks: Sequence[Network],
        ports: PortRange,
        clock: Callable[[], float],
        new_uid: Callable[[], str],
        random: Random,
    ) -> None:
        self.networks = list(networks)
        self.ports = ports
        self._clock = clock
        self._new_uid = new_uid
        self._random = random
        self._addresses = feed.cache("networking.k8s.io", "ipaddresses")
        self._ports = feed.cache("ranges", "servicenodeports")

    async def allocate(self, service: Object, old: Object | None) -> Also | None:
        """Complete `service` and say what must be written with it. Raises StatusError Invalid."""
        set_families(service, [f"IPv{network.version}" for network in self.networks])
        held_addresses = set(_held_addresses(old)) if old else set()
        held_ports = set(_held_ports(old)) if old else set()
        self._choose_addresses(service, held_addresses)
        self._choose_ports(service, held_ports)
        return self._difference(service, held_addresses, held_ports)

    def _choose_addresses(self, service: Object, held: set[str]) -> None:
        spec = service["spec"]
        if is_external(spec) or cluster_ips(spec)[:1] == [HEADLESS]:
            return
        given = cluster_ips(spec)
        chosen = []
        for index, family in enumerate(spec["ipFamilies"]):
            network = next(network for network in self.networks if f"IPv{network.version}" == family)
            if index < len(given) and given[index]:
                self._check_address(service, given[index], network, held)
                chosen.append(given[index])
                continue
            try:
                chosen.append(choose_address(network, self._addresses.__contains__, self._random))
            except Exhausted as error:
                raise errors.internal(f"failed to allocate a serviceIP: range is full ({network})") from error
        spec["clusterIPs"] = chosen
        spec["clusterIP"] = chosen[0]

    def _check_address(self, service: Object, address: str, network: Network, held: set[str]) -> None:
        try:
            inside = ipaddress.ip_address(address) in network
        except ValueError:
            inside = False
        if not inside:
            why = f"provided IP is not in the valid range. The range of valid IPs is {network}"
        elif address not in held and address in self._addresses:
            why = "provided IP is already allocated"
        else:
            return
        shown = cluster_ips(service["spec"])
        detail = f"failed to allocate IP {address}: {why}"
        raise _invalid(service, [errors.invalid_value("spec.clusterIPs", shown, detail)])

    def _choose_ports(self, service: Object, held: set[int]) -> None:
        spec = service["spec"]
        chosen: dict[tuple[int, str], int] = {}
        if needs_node_ports(spec):
            for index, port in enumerate(spec.get("ports") or []):
                wanted = port.get("nodePort") or self._shared_port(port, chosen)
                if wanted:
                    self._check_port(
                        service, f"spec.ports[{index}].nodePort", wanted, held | set(chosen.values())
                    )
                else:
                    wanted = self._choose_port(held | set(chosen.values()))
                port["nodePort"] = wanted
                chosen[(port.get("port", 0), port.get("protocol", "TCP"))] = wanted
        if needs_health_check_port(spec):
            wanted = spec.get("healthCheckNodePort") or 0
            if wanted:
                self._check_port(service, "spec.healthCheckNodePort", wanted, held)
            spec["healthCheckNodePort"] = wanted or self._choose_port(held | set(chosen.values()))

    def _shared_port(self, port: Object, chosen: dict[tuple[int, str], int]) -> int:
        """One port number over TCP and UDP gets one node port."""
        protocol = port.get("protocol", "TCP")
        same = (
            node
            for (number, other), node in chosen.items()
            if number == port.get("port") and other != protocol
        )
        return next(same, 0)

    def _choose_port(self, also_taken: set[int]) -> int:
        try:
            return self.ports.choose(
                lambda port: port in also_taken or str(port) in self._ports, self._random
            )
        except Exhausted as error:
            raise errors.internal("failed to allocate a nodePort: range is full") from error

    def _check_port(self, service: Object, field: str, port: int, held: set[int]) -> None:
        if port in held:
            return
        if port not in self.ports:
            why = f"provided port is not in the valid range. The range of valid ports is {self.ports}"
        elif str(port) in self._ports:
            why = "provided port is already allocated"
        else:
            return
        raise _invalid(service, [errors.invalid_value(field, port, why)])

    def _difference(self, service: Object, addresses: set[str], ports: set[int]) -> Also | None:
        """What the service holds now and did not before is taken; what it held and no longer does is released."""
        now_addresses, now_ports = set(_held_addresses(service)), set(_held_ports(service))
        compares: list[Compare] = []
        operations: list[Operation] = []
        for address in sorted(now_addresses - addresses):
            key = ADDRESS_PREFIX + address.encode()
            compares.append(Compare.mod_revision(key, "=", 0))
            operations.append(Op.put(key, codec.encode(self._address_object(service, address))))
        for port in sorted(now_ports - ports):
            key = PORT_PREFIX + str(port).encode()
            compares.append(Compare.mod_revision(key, "=", 0))
            operations.append(Op.put(key, codec.encode(_port_object(service, port))))
        operations.extend(_released(addresses - now_addresses, ports - now_ports))
        return Also(compares, operations) if operations else None

    def _address_object(self, service: Object, address: str) -> Object:
        metadata = service["metadata"]
        labels = {
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            "ipaddress.kubernetes.io/ip-family": f"IPv{ipaddress.ip_address(address).version}",
        }
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {
                "name": address,
                "uid": self._new_uid(),
                "creationTimestamp": meta.rfc3339(self._clock()),
                "labels": labels,
            },
            "spec": {
                "parentRef": {
                    "resource": "services",
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                }
            },
        }


def release(service: Object) -> Also | None:
    """What goes with a service that is removed."""
    operations = _released(set(_held_addresses(service)), set(_held_ports(service)))
    return Also((), operations) if operations else None


def _released(addresses: set[str], ports: set[int]) -> list[Operation]:
    return [
        *(Op.delete(ADDRESS_PREFIX + address.encode()) for address in sorted(addresses)),
        *(Op.delete(PORT_PREFIX + str(port).encode()) for port in sorted(ports)),
    ]


def _held_addresses(service: Object) -> list[str]:
    spec = service.get("spec") or {}
    return [] if is_external(spec) else [ip for ip in cluster_ips(spec) if ip and ip != HEADLESS]


def _held_ports(service: Object) -> list[int]:
    spec = service.get("spec") or {}
    ports = [port.get("nodePort") or 0 for port in spec.get("ports") or []]
    return [port for port in (*ports, spec.get("healthCheckNodePort") or 0) if port]


def _port_object(service: Object, port: int) -> Object:
    metadata = service["metadata"]
    owner = {"namespace": metadata["namespace"], "name": metadata["name"]}
    return {"apiVersion": "v1", "kind": "NodePort", "metadata": {"name": str(port)}, "spec": owner}


def _invalid(service: Object, problems: Sequence[FieldError]) -> errors.StatusError:
    return errors.invalid("", "Service", service["metadata"].get("name", ""), problems)

"""What a node's proxy listens on, as a pure function of a Service, its EndpointSlices and the node.

Which endpoints count follows kube-proxy (pkg/proxy/topology.go): the ready ones; when there is none, those
that still serve while they terminate. A Local traffic policy leaves those of this node, internal policy for the
cluster address, external policy for node ports and outside addresses. Topology hints narrow the rest, if every
ready endpoint has one and some are for here. A listener without endpoints is not made at all: nobody listens, so
the kernel refuses the connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT_AFFINITY_TIMEOUT_S = 10_800
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROTOCOLS = ("TCP", "UDP")

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Where:
    """The node the proxy runs on."""

    node_name: str
    node_ip: str
    zone: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    address: str
    port: int
    protocol: str  # TCP, UDP
    on_host: bool = False  # on the host's loopback rather than in the node's network


@dataclass(frozen=True, slots=True)
class Backend:
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Rule:
    service: str  # namespace/name:port, for logs
    backends: tuple[Backend, ...]
    affinity_timeout_s: int = 0  # 0: none


@dataclass(frozen=True, slots=True)
class _Endpoint:
    backend: Backend
    node: str
    ready: bool
    serving: bool
    terminating: bool
    zones: frozenset[str]  # hints
    nodes: frozenset[str]


def for_service(service: Object, slices: Iterable[Object], where: Where) -> dict[Listener, Rule]:
    """Everything to listen on for one Service, in a stable order of backends."""
    if not is_proxied(service):
        return {}
    found: dict[Listener, Rule] = {}
    slices = list(slices)
    for port in service["spec"].get("ports") or ():
        if port.get("protocol", "TCP") in PROTOCOLS:
            found.update(_for_port(service, port, slices, where))
    return found


def is_proxied(service: Object) -> bool:
    """Not headless, not an alias, not another proxy's."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
        return False
    return PROXY_NAME_LABEL not in (service["metadata"].get("labels") or {})


def _for_port(service: Object, port: Object, slices: Sequence[Object], where: Where) -> dict[Listener, Rule]:
    spec, metadata = service["spec"], service["metadata"]
    protocol, number = port.get("protocol", "TCP"), port["port"]
    endpoints = _endpoints(slices, port.get("name") or "", protocol)
    name = f"{metadata['namespace']}/{metadata['name']}:{port.get('name') or number}"
    timeout_s = _affinity_timeout_s(spec)

    everywhere = _rule(name, usable(endpoints, False, where), timeout_s)
    internal_local = spec.get("internalTrafficPolicy") == "Local"
    internal = _rule(name, usable(endpoints, internal_local, where), timeout_s)
    external_local = spec.get("externalTrafficPolicy") == "Local"
    external = _rule(name, usable(endpoints, external_local, where), timeout_s)

    found = {Listener(address, number, protocol): internal for address in _cluster_addresses(spec)}
    for address in _outside_addresses(service):
        found[Listener(address, number, protocol)] = external
    if port.get("nodePort"):
        found[Listener(where.node_ip, port["nodePort"], protocol)] = external
        # The host stands for a load balancer before the nodes: it reaches every node that has an endpoint.
        found[Listener("127.0.0.1", port["nodePort"], protocol, on_host=True)] = everywhere
    return {listener: rule for listener, rule in found.items() if rule.backends}


def _rule(name: str, endpoints: Iterable[_Endpoint], timeout_s: int) -> Rule:
    return Rule(name, tuple(endpoint.backend for endpoint in endpoints), timeout_s)


def _affinity_timeout_s(spec: Object) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    client_ip = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(client_ip.get("timeoutSeconds") or DEFAULT_AFFINITY_TIMEOUT_S)


def _cluster_addresses(spec: Object) -> list[str]:
    addresses = spec.get("clusterIPs") or [spec["clusterIP"]]
    return [address for address in addresses if ":" not in address]


def _outside_addresses(service: Object) -> list[str]:
    addresses = list(service["spec"].get("externalIPs") or ())
    if service["spec"].get("type") == "LoadBalancer":
        balancer = (service.get("status") or {}).get("loadBalancer") or {}
        for ingress in balancer.get("ingress") or ():
            if ingress.get("ip") and ingress.get("ipMode", "VIP") == "VIP":
                addresses.append(ingress["ip"])
    return [address for address in addresses if ":" not in address]


def _endpoints(slices: Iterable[Object], port_name: str, protocol: str) -> list[_Endpoint]:
    found: dict[Backend, _Endpoint] = {}
    for each in slices:
        if each.get("addressType", "IPv4") != "IPv4":
            continue
        for port in each.get("ports") or ():
            named = (port.get("name") or "", port.get("protocol", "TCP"))
            if named == (port_name, protocol) and port.get("port"):
                for endpoint in each.get("endpoints") or ():
                    parsed = _endpoint(endpoint, port["port"])
                    found[parsed.backend] = parsed
    return [found[backend] for backend in sorted(found, key=lambda backend: (backend.address, backend.port))]


def _endpoint(endpoint: Object, port: int) -> _Endpoint:
    """Conditions that are not there mean ready, serving as ready, and not terminating."""
    conditions = endpoint.get("conditions") or {}
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    hints = endpoint.get("hints") or {}
    return _Endpoint(
        backend=Backend(endpoint["addresses"][0], port),
        node=endpoint.get("nodeName") or "",
        ready=ready,
        serving=ready if serving is None else bool(serving),
        terminating=bool(conditions.get("terminating")),
        zones=frozenset(zone["name"] for zone in hints.get("forZones") or ()),
        nodes=frozenset(node["name"] for node in hints.get("forNodes") or ()),
    )


def usable(endpoints: Sequence[_Endpoint], local: bool, where: Where) -> list[_Endpoint]:
    """Those that traffic may go to; `local` is the traffic policy."""
    if local:
        endpoints = [endpoint for endpoint in endpoints if endpoint.node == where.node_name]
    ready = [endpoint for endpoint in endpoints if endpoint.ready]
    if not ready:
        return [endpoint for endpoint in endpoints if endpoint.serving and endpoint.terminating]
    return ready if local else _by_hints(ready, where)


def _by_hints(ready: list[_Endpoint], where: Where) -> list[_Endpoint]:
    if all(endpoint.nodes for endpoint in ready):
        here = [endpoint for endpoint in ready if where.node_name in endpoint.nodes]
        if here:
            return here
    if where.zone and all(endpoint.zones for endpoint in ready):
        here = [endpoint for endpoint in ready if where.zone in endpoint.zones]
        if here:
            return here
    return ready

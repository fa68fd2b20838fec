"""Services, endpoints, ingress, policies and addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.api import meta
from control_plane.api.tables.layout import Cells, Object, table
from control_plane.api.tables.text import (
    NONE,
    UNSET,
    age_of,
    first_few,
    label_selector,
    labels,
    name_of,
    or_none,
)

_SHOWN = 3
_OLD_CLASS = "kubernetes.io/ingress.class"


@table("v1", "services", "Name, Type, Cluster-IP, External-IP, Port(s), Age | Selector")
def service(obj: Object, now_s: float) -> Cells:
    spec = obj.get("spec") or {}
    return [
        name_of(obj),
        spec.get("type", ""),
        or_none(spec.get("clusterIP")),
        _external_ip(obj),
        ",".join(_port(port) for port in spec.get("ports") or ()) or NONE,
        age_of(obj, now_s),
        labels(spec.get("selector")),
    ]


def _external_ip(obj: Object) -> str:
    spec = obj.get("spec") or {}
    external = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or NONE
        case "LoadBalancer":
            return ",".join([*_ingress_points(obj), *external]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return "<unknown>"


def _ingress_points(obj: Object) -> list[str]:
    points = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return sorted({point.get("ip") or point.get("hostname") for point in points} - {None})


def _port(port: Mapping[str, Any]) -> str:
    number, node_port, protocol = port.get("port"), port.get("nodePort"), port.get("protocol")
    return f"{number}:{node_port}/{protocol}" if node_port else f"{number}/{protocol}"


@table("v1", "endpoints", "Name, Endpoints, Age")
def endpoints(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), _endpoints(obj.get("subsets") or ()), age_of(obj, now_s)]


def _endpoints(subsets: Sequence[Mapping[str, Any]]) -> str:
    if not subsets:
        return NONE
    shown: list[str] = []
    for subset in subsets:
        addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        shown += (
            [_host_port(ip, port.get("port")) for port in ports for ip in addresses] if ports else addresses
        )
    return first_few(shown, len(shown), _SHOWN)


def _host_port(ip: str, port: Any) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


@table("discovery.k8s.io/v1", "endpointslices", "Name, AddressType, Ports, Endpoints, Age")
def endpoint_slice(obj: Object, now_s: float) -> Cells:
    addresses = [a for endpoint in obj.get("endpoints") or () for a in endpoint.get("addresses") or ()]
    return [
        name_of(obj),
        obj.get("addressType", ""),
        _slice_ports(obj.get("ports") or ()),
        first_few(addresses, len(addresses), _SHOWN) or UNSET,
        age_of(obj, now_s),
    ]


def _slice_ports(ports: Sequence[Mapping[str, Any]]) -> str:
    """Numbers where they are set, else the names."""
    if not ports:
        return UNSET
    shown = [str(port["port"]) if port.get("port") is not None else "*" for port in ports]
    return first_few(shown, len(shown), _SHOWN)


@table("networking.k8s.io/v1", "ingresses", "Name, Class, Hosts, Address, Ports, Age")
def ingress(obj: Object, now_s: float) -> Cells:
    spec = obj.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [
        name_of(obj),
        spec.get("ingressClassName") or meta.annotations(obj).get(_OLD_CLASS) or NONE,
        first_few(hosts, len(spec.get("rules") or ()), _SHOWN) if hosts else "*",
        ",".join(_ingress_points(obj)),
        "80, 443" if spec.get("tls") else "80",
        age_of(obj, now_s),
    ]


@table("networking.k8s.io/v1", "ingressclasses", "Name, Controller, Parameters, Age")
def ingress_class(obj: Object, now_s: float) -> Cells:
    spec = obj.get("spec") or {}
    parameters, shown = spec.get("parameters"), NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    return [name_of(obj), spec.get("controller", ""), shown, age_of(obj, now_s)]


@table("networking.k8s.io/v1", "networkpolicies", "Name, Pod-Selector, Age")
def network_policy(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), label_selector((obj.get("spec") or {}).get("podSelector")), age_of(obj, now_s)]


@table("networking.k8s.io/v1", "servicecidrs", "Name, CIDRs, Age")
def service_cidr(obj: Object, now_s: float) -> Cells:
    return [name_of(obj), ",".join((obj.get("spec") or {}).get("cidrs") or ()), age_of(obj, now_s)]


@table("networking.k8s.io/v1", "ipaddresses", "Name, ParentRef")
def ip_address(obj: Object, now_s: float) -> Cells:
    parent = (obj.get("spec") or {}).get("parentRef")
    if not parent:
        return [name_of(obj), NONE]
    resource = ".".join(filter(None, (parent.get("resource"), parent.get("group"))))
    place = "/".join(filter(None, (parent.get("namespace"), parent.get("name"))))
    return [name_of(obj), f"{resource}/{place}"]

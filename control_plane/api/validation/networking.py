"""Endpoints, slices, network policies, addresses."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation import metadata
from control_plane.api.validation.registry import (
    IMMUTABLE,
    Errors,
    Object,
    immutable,
    on_create,
    on_update,
    one_of,
    problems,
    spec_of,
)

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_LINK_LOCAL_MULTICAST = (ip_network("224.0.0.0/24"), ip_network("ff02::/16"))
_MAX_ENDPOINTS, _MAX_SLICE_PORTS, _MAX_ADDRESSES = 1000, 20000, 100


@on_create("endpoints")
def endpoints(obj: Object) -> Errors:
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield errors.required(path, "must specify `addresses` or `notReadyAddresses`")
        for key in ("addresses", "notReadyAddresses"):
            for number, item in enumerate(subset.get(key) or ()):
                yield from address(f"{path}.{key}[{number}].ip", item.get("ip", ""))
        several = len(subset.get("ports") or ()) > 1
        for number, port in enumerate(subset.get("ports") or ()):
            where = f"{path}.ports[{number}]"
            if several and not port.get("name"):
                yield errors.required(f"{where}.name")
            elif port.get("name"):
                yield from problems(f"{where}.name", port["name"], names.dns_label(port["name"]))
            yield from problems(f"{where}.port", port.get("port", 0), names.port_number(port.get("port", 0)))
            yield from one_of(f"{where}.protocol", port.get("protocol"), _PROTOCOLS)


def address(path: str, text: str, on_loopback: bool = True) -> Errors:
    """Nothing can be served from some addresses. Those of the loopback can by pods: on a node without namespaces they
    have them."""
    if found := names.ip(text):
        yield from problems(path, text, found)
        return
    given = ip_address(text)
    if given.is_unspecified:
        yield errors.invalid_value(path, text, "may not be unspecified (0.0.0.0 or ::)")
    if given.is_loopback and not on_loopback:
        yield errors.invalid_value(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if given.is_link_local:
        why = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        yield errors.invalid_value(path, text, why)
    if any(given in each for each in _LINK_LOCAL_MULTICAST if each.version == given.version):
        why = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        yield errors.invalid_value(path, text, why)


@on_create("endpointslices.discovery.k8s.io")
def endpoint_slice(obj: Object) -> Errors:
    yield from one_of("addressType", obj.get("addressType"), _ADDRESS_TYPES)
    listed, ports = obj.get("endpoints") or [], obj.get("ports") or []
    if len(listed) > _MAX_ENDPOINTS:
        yield errors.too_many("endpoints", len(listed), _MAX_ENDPOINTS)
    for index, endpoint in enumerate(listed):
        path, addresses = f"endpoints[{index}].addresses", endpoint.get("addresses") or []
        if not addresses:
            yield errors.required(path, "must contain at least 1 address")
        if len(addresses) > _MAX_ADDRESSES:
            yield errors.too_many(path, len(addresses), _MAX_ADDRESSES)
        for number, text in enumerate(addresses):
            if obj.get("addressType") == "FQDN":
                yield from problems(f"{path}[{number}]", text, names.dns_subdomain(text))
            else:
                yield from address(f"{path}[{number}]", text)
    if len(ports) > _MAX_SLICE_PORTS:
        yield errors.too_many("ports", len(ports), _MAX_SLICE_PORTS)
    taken: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name") or ""
        if name:
            yield from problems(f"ports[{index}].name", name, names.dns_label(name))
        if name in taken:
            yield errors.duplicate(f"ports[{index}].name", name)
        taken.add(name)
        yield from one_of(f"ports[{index}].protocol", port.get("protocol"), _PROTOCOLS)


@on_update("endpointslices.discovery.k8s.io")
def endpoint_slice_update(new: Object, old: Object) -> Errors:
    yield from immutable("addressType", new.get("addressType"), old.get("addressType"))


@on_create("networkpolicies.networking.k8s.io")
def network_policy(obj: Object) -> Errors:
    spec = spec_of(obj)
    yield from metadata.label_selector("spec.podSelector", spec.get("podSelector"))
    for side, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(side) or ()):
            path = f"spec.{side}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                yield from _policy_port(f"{path}.ports[{number}]", port)
            for number, peer in enumerate(rule.get(peers) or ()):
                yield from _peer(f"{path}.{peers}[{number}]", peer)
    kinds = spec.get("policyTypes") or []
    if len(kinds) > 2:
        yield errors.invalid_value("spec.policyTypes", kinds, "may not specify more than two policyTypes")
    for index, kind in enumerate(kinds):
        yield from one_of(f"spec.policyTypes[{index}]", kind, ("Egress", "Ingress"))


def _policy_port(path: str, port: Mapping[str, Any]) -> Errors:
    if port.get("protocol") not in _PROTOCOLS:
        yield errors.not_supported(f"{path}.protocol", port.get("protocol", ""), _PROTOCOLS)
    value, end = port.get("port"), port.get("endPort")
    if isinstance(value, int):
        yield from problems(f"{path}.port", value, names.port_number(value))
        if end is not None and end < value:
            yield errors.invalid_value(f"{path}.endPort", end, "must be greater than or equal to `port`")
    elif isinstance(value, str):
        yield from problems(f"{path}.port", value, names.port_name(value))
        if end is not None:
            yield errors.invalid_value(
                f"{path}.endPort", end, "may not be specified when `port` is non-numeric"
            )
    elif end is not None:
        yield errors.invalid_value(
            f"{path}.endPort", end, "may not be specified when `port` is not specified"
        )


def _peer(path: str, peer: Mapping[str, Any]) -> Errors:
    block = peer.get("ipBlock")
    selects = [key for key in ("podSelector", "namespaceSelector") if peer.get(key) is not None]
    for key in selects:
        yield from metadata.label_selector(f"{path}.{key}", peer[key])
    if block is not None:
        if selects:
            yield errors.forbidden_field(path, "may not specify both ipBlock and another peer")
        if not block.get("cidr"):
            yield errors.required(f"{path}.ipBlock.cidr")
        else:
            yield from problems(f"{path}.ipBlock.cidr", block["cidr"], names.cidr(block["cidr"]))
            yield from _exceptions(f"{path}.ipBlock.except", block)
    elif not selects:
        yield errors.required(path, "must specify a peer")


def _exceptions(path: str, block: Mapping[str, Any]) -> Errors:
    for index, text in enumerate(block.get("except") or ()):
        where, found = f"{path}[{index}]", names.cidr(text)
        yield from problems(where, text, found)
        if not found and not names.cidr(block["cidr"]) and not _is_part(text, block["cidr"]):
            yield errors.invalid_value(where, text, "must be a strict subset of `cidr`")


def _is_part(part: str, whole: str) -> bool:
    inner, outer = ip_network(part, strict=False), ip_network(whole, strict=False)
    return inner != outer and inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


@on_create("servicecidrs.networking.k8s.io")
def service_cidr(obj: Object) -> Errors:
    ranges = spec_of(obj).get("cidrs") or []
    if not ranges:
        yield errors.required("spec.cidrs", "at least one CIDR required")
    if len(ranges) > 2:
        yield errors.invalid_value("spec", spec_of(obj), "may only hold up to 2 values")
    valid = [ip_network(text, strict=False) for text in ranges if not names.cidr(text)]
    if len(ranges) == 2 and len({each.version for each in valid}) != 2:
        yield errors.invalid_value(
            "spec.cidrs",
            ranges,
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        )
    for index, text in enumerate(ranges):
        yield from problems(f"spec.cidrs[{index}]", text, names.cidr(text))


@on_update("servicecidrs.networking.k8s.io")
def service_cidr_update(new: Object, old: Object) -> Errors:
    """A second family may be added; nothing else may change."""
    ranges, before = spec_of(new).get("cidrs") or [], spec_of(old).get("cidrs") or []
    if len(ranges) != len(before) and (len(before), len(ranges)) != (1, 2):
        yield errors.invalid_value("spec.cidrs", ranges, IMMUTABLE)
        return
    for index, (text, had) in enumerate(zip(ranges, before, strict=False)):
        if text != had:
            yield errors.invalid_value(f"spec.cidrs[{index}]", text, IMMUTABLE)


@on_create("ipaddresses.networking.k8s.io")
def address_object(obj: Object) -> Errors:
    parent = spec_of(obj).get("parentRef")
    if parent is None:
        yield errors.required("spec.parentRef")
        return
    if group := parent.get("group"):
        yield from problems("spec.parentRef.group", group, names.dns_subdomain(group))
    for key in ("resource", "name", "namespace"):
        value = parent.get(key, "")
        if value:
            yield from problems(f"spec.parentRef.{key}", value, names.path_segment(value))
        elif key != "namespace":
            yield errors.required(f"spec.parentRef.{key}")


@on_update("ipaddresses.networking.k8s.io")
def address_object_update(new: Object, old: Object) -> Errors:
    yield from immutable("spec.parentRef", spec_of(new).get("parentRef"), spec_of(old).get("parentRef"))

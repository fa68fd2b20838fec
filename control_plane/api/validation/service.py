"""Services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation import metadata, networking
from control_plane.api.validation.handlers import port as port_reference
from control_plane.api.validation.registry import (
    Errors,
    Object,
    immutable,
    on_create,
    on_update,
    one_of,
    problems,
    spec_of,
)

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_MAX_AFFINITY_S = 86400
_HEADLESS = "None"
_KUBELET_PORT = 10250


@on_create("services")
def service(obj: Object) -> Errors:
    spec = spec_of(obj)
    ports, kind = spec.get("ports") or [], spec.get("type", "")
    headless = spec.get("clusterIP") == _HEADLESS
    if not ports and not headless and kind != "ExternalName":
        yield errors.required("spec.ports")
    yield from _by_type(spec, kind, headless)
    yield from _ports(ports, kind)
    yield from metadata.labels("spec.selector", spec.get("selector"))
    yield from _affinity(spec)
    yield from one_of("spec.type", kind, _TYPES)
    yield from _addresses(spec, kind)
    yield from _policies(spec, kind)


def _by_type(spec: Mapping[str, Any], kind: str, headless: bool) -> Errors:
    if kind == "LoadBalancer":
        for index, port in enumerate(spec.get("ports") or ()):
            if port.get("port") == _KUBELET_PORT:
                yield errors.invalid_value(
                    f"spec.ports[{index}]",
                    port.get("port"),
                    "may not expose port 10250 externally since it is used by kubelet",
                )
    if kind in ("NodePort", "LoadBalancer") and headless:
        yield errors.invalid_value(
            "spec.clusterIPs[0]", _HEADLESS, f"may not be set to 'None' for {kind} services"
        )
    if kind == "ExternalName":
        for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(key):
                yield errors.forbidden_field(f"spec.{key}", "may not be set for ExternalName services")
        name = (spec.get("externalName") or "").removesuffix(".")
        if name:
            yield from problems("spec.externalName", name, names.dns_subdomain(name))
        else:
            yield errors.required("spec.externalName")


def _ports(ports: list[Mapping[str, Any]], kind: str) -> Errors:
    taken_names: set[str] = set()
    taken: set[tuple[Any, Any]] = set()
    taken_node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        path, name = f"spec.ports[{index}]", port.get("name", "")
        if len(ports) > 1 and not name:
            yield errors.required(f"{path}.name")
        elif name:
            yield from problems(f"{path}.name", name, names.dns_label(name))
            if name in taken_names:
                yield errors.duplicate(f"{path}.name", name)
            taken_names.add(name)
        number = port.get("port", 0)
        yield from problems(f"{path}.port", number, names.port_number(number))
        yield from one_of(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
        yield from port_reference(f"{path}.targetPort", port.get("targetPort", 0))
        if app := port.get("appProtocol"):
            yield from problems(f"{path}.appProtocol", app, names.label_key(app))
        key = (port.get("protocol"), number)
        if key in taken:
            yield errors.duplicate(path, {"protocol": key[0], "port": key[1]})
        taken.add(key)
        node_port = port.get("nodePort")
        if node_port:
            if kind in ("ClusterIP", "ExternalName"):
                yield errors.forbidden_field(f"{path}.nodePort", f"may not be used when `type` is '{kind}'")
            pair = (port.get("protocol"), node_port)
            if pair in taken_node_ports:
                yield errors.duplicate(f"{path}.nodePort", node_port)
            taken_node_ports.add(pair)


def _affinity(spec: Mapping[str, Any]) -> Errors:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    yield from one_of("spec.sessionAffinity", affinity, _AFFINITIES)
    if affinity == "ClientIP":
        timeout_s = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if timeout_s is not None and not 0 < timeout_s <= _MAX_AFFINITY_S:
            yield errors.invalid_value(
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                timeout_s,
                f"must be greater than 0 and less than {_MAX_AFFINITY_S}",
            )
    elif config:
        yield errors.forbidden_field(
            "spec.sessionAffinityConfig", "must not be set when session affinity is None"
        )


def _addresses(spec: Mapping[str, Any], kind: str) -> Errors:
    cluster_ips = spec.get("clusterIPs") or []
    if cluster_ips and spec.get("clusterIP") != cluster_ips[0]:
        yield errors.invalid_value("spec.clusterIPs", cluster_ips, "first value must match `clusterIP`")
    for index, address in enumerate(cluster_ips):
        if address == _HEADLESS:
            if len(cluster_ips) > 1:
                yield errors.invalid_value(
                    f"spec.clusterIPs[{index}]", address, "'None' must be the first and only value"
                )
        else:
            yield from problems(f"spec.clusterIPs[{index}]", address, names.ip(address))
    if len(cluster_ips) > 2:
        yield errors.invalid_value("spec.clusterIPs", cluster_ips, "may only hold up to 2 values")
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            yield errors.not_supported(f"spec.ipFamilies[{index}]", family, _FAMILIES)
        elif family in families[:index]:
            yield errors.duplicate(f"spec.ipFamilies[{index}]", family)
    if policy := spec.get("ipFamilyPolicy"):
        yield from one_of("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES)
    for index, external in enumerate(spec.get("externalIPs") or ()):
        yield from networking.address(f"spec.externalIPs[{index}]", external, on_loopback=False)
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if ranges and kind != "LoadBalancer":
        yield errors.forbidden_field(
            "spec.LoadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'"
        )
    for index, text in enumerate(ranges):
        yield from problems(f"spec.loadBalancerSourceRanges[{index}]", text, names.cidr(text.strip()))


def _policies(spec: Mapping[str, Any], kind: str) -> Errors:
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    exposed = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs"))
    if exposed:
        yield from one_of("spec.externalTrafficPolicy", external, _POLICIES)
    elif external:
        yield errors.invalid_value(
            "spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"
        )
    if internal:
        yield from one_of("spec.internalTrafficPolicy", internal, _POLICIES)
    if distribution := spec.get("trafficDistribution"):
        yield from one_of("spec.trafficDistribution", distribution, _DISTRIBUTIONS)
    health = spec.get("healthCheckNodePort")
    if health and not (kind == "LoadBalancer" and external == "Local"):
        yield errors.invalid_value(
            "spec.healthCheckNodePort",
            health,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        )
    for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(key) is not None and kind != "LoadBalancer":
            yield errors.forbidden_field(f"spec.{key}", "may only be used when `type` is 'LoadBalancer'")


@on_update("services")
def service_update(new: Object, old: Object) -> Errors:
    """An address, once given, stays as long as the type has one."""
    spec, before = spec_of(new), spec_of(old)
    with_address = ("ClusterIP", "NodePort", "LoadBalancer")
    if spec.get("type") in with_address and before.get("type") in with_address and before.get("clusterIP"):
        had, has = before.get("clusterIPs") or [before["clusterIP"]], spec.get("clusterIPs") or []
        if not has:
            yield errors.invalid_value("spec.clusterIPs", has, "may not be unset")
        elif has[0] != had[0]:
            yield errors.invalid_value("spec.clusterIPs[0]", has[0], "may not change once set")
    balanced = before.get("type") == "LoadBalancer" == spec.get("type") and before.get("loadBalancerClass")
    if balanced and spec.get("loadBalancerClass") != balanced:
        yield errors.invalid_value(
            "spec.loadBalancerClass", spec.get("loadBalancerClass"), "may not change once set"
        )
    if before.get("healthCheckNodePort") and spec.get("healthCheckNodePort"):
        yield from immutable(
            "spec.healthCheckNodePort", spec["healthCheckNodePort"], before["healthCheckNodePort"]
        )

"""Services: allocated values survive an update that leaves them out, and go when the type no longer has
them.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_WITH_CLUSTER_IP = ("ClusterIP", "NodePort", "LoadBalancer")
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


def prepare(service: Object) -> None:
    """clusterIP and the first of clusterIPs are one value spelled twice."""
    spec = service.setdefault("spec", {})
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]


def prepare_update(new: Object, old: Object) -> None:
    spec, before = new.setdefault("spec", {}), old.get("spec") or {}
    _sync_cluster_ips(spec, before)
    if _has_cluster_ip(spec) and _has_cluster_ip(before) and not spec.get("clusterIP"):
        for key in ("clusterIP", "clusterIPs"):
            if before.get(key):
                spec[key] = before[key]
    if spec.get("type") in _WITH_NODE_PORTS and before.get("type") in _WITH_NODE_PORTS:
        _keep_node_ports(spec, before)
    if _needs_health_check(spec) and _needs_health_check(before) and not spec.get("healthCheckNodePort"):
        _copy(spec, before, "healthCheckNodePort")
    for key in ("ipFamilies", "ipFamilyPolicy"):
        if key not in spec and spec.get("type") != "ExternalName":
            _copy(spec, before, key)
    _drop_what_the_type_lost(spec, before)
    prepare(new)


def _sync_cluster_ips(spec: Object, before: Object) -> None:
    """Who changes one of the two spellings means both."""
    same_list = spec.get("clusterIPs") == before.get("clusterIPs")
    if spec.get("clusterIP") != before.get("clusterIP") and same_list:
        if spec.get("clusterIP"):
            spec["clusterIPs"] = [spec["clusterIP"], *(before.get("clusterIPs") or [])[1:]]
        elif before.get("clusterIP"):
            spec.pop("clusterIPs", None)


def _drop_what_the_type_lost(spec: Object, before: Object) -> None:
    """A value stays only where the user set it himself."""
    if _has_cluster_ip(before) and not _has_cluster_ip(spec):
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            if spec.get(key) == before.get(key):
                spec.pop(key, None)
    if before.get("type") in _WITH_NODE_PORTS and spec.get("type") not in _WITH_NODE_PORTS:
        unchanged = _node_ports(spec) == _node_ports(before)
        for port in spec.get("ports") or () if unchanged else ():
            port.pop("nodePort", None)
        if spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy") and not spec.get(
            "externalIPs"
        ):
            spec.pop("externalTrafficPolicy", None)
    if before.get("type") == "LoadBalancer" != spec.get("type"):
        for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(key) == before.get(key):
                spec.pop(key, None)
    if _needs_health_check(before) and not _needs_health_check(spec):
        spec.pop("healthCheckNodePort", None)


def _keep_node_ports(spec: Object, before: Object) -> None:
    had = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in before.get("ports") or ()}
    used = {p.get("nodePort") for p in spec.get("ports") or () if p.get("nodePort")}
    for port in spec.get("ports") or ():
        kept = had.get((port.get("protocol"), port.get("port")))
        if not port.get("nodePort") and kept and kept not in used:
            port["nodePort"] = kept
            used.add(kept)


def _node_ports(spec: Object) -> list[Any]:
    return [port.get("nodePort") for port in spec.get("ports") or ()]


def _has_cluster_ip(spec: Object) -> bool:
    return spec.get("type", "ClusterIP") in _WITH_CLUSTER_IP


def _needs_health_check(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _copy(spec: Object, before: Object, key: str) -> None:
    if key in before:
        spec[key] = before[key]

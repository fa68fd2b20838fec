"""What a Service's type means for its addresses and ports. Pure functions on the object, after kube-apiserver's
service storage. (What an update keeps and drops of them is the strategy's.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.api import errors

Object = dict[str, Any]

HEADLESS = "None"
_ALL_FAMILIES = ("IPv4", "IPv6")


def service_type(spec: Object) -> str:
    return spec.get("type") or "ClusterIP"


def is_external(spec: Object) -> bool:
    return service_type(spec) == "ExternalName"


def needs_node_ports(spec: Object) -> bool:
    kind = service_type(spec)
    return kind == "NodePort" or (
        kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )


def needs_health_check_port(spec: Object) -> bool:
    return service_type(spec) == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def cluster_ips(spec: Object) -> list[str]:
    """`clusterIPs`, or what the older `clusterIP` says."""
    found: list[str] = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return found


def set_families(service: Object, available: Sequence[str]) -> None:
    """Default `ipFamilyPolicy` and `ipFamilies`. Raises StatusError Invalid for what cannot be had here."""
    spec = service["spec"]
    if is_external(spec):
        for field in ("ipFamilies", "ipFamilyPolicy", "clusterIPs"):
            spec.pop(field, None)
        return
    ips = cluster_ips(spec)
    if ips:
        spec["clusterIP"], spec["clusterIPs"] = ips[0], ips
    if ips[:1] == [HEADLESS] and not spec.get("selector"):
        _set_selectorless_headless(spec, available[0])
        return
    policy = spec.setdefault("ipFamilyPolicy", "SingleStack")
    families = (
        spec.get("ipFamilies") or [_family(ip) for ip in ips if ip and ip != HEADLESS] or [available[0]]
    )
    for index, family in enumerate(families):
        if family not in available:
            detail = "not configured on this cluster"
            problem = errors.invalid_value(f"spec.ipFamilies[{index}]", family, detail)
            raise errors.invalid("", "Service", service["metadata"].get("name", ""), [problem])
    if policy == "RequireDualStack" and len(available) < 2:
        detail = "this cluster is not configured for dual-stack services"
        problem = errors.invalid_value("spec.ipFamilyPolicy", policy, detail)
        raise errors.invalid("", "Service", service["metadata"].get("name", ""), [problem])
    if policy == "SingleStack":
        families = families[:1]
    else:
        families = [*families, *(family for family in available if family not in families)]
    spec["ipFamilies"] = families
    if len(ips) > len(families):
        spec["clusterIPs"] = ips[: len(families)]


def _set_selectorless_headless(spec: Object, default: str) -> None:
    """Nobody but the user makes its endpoints: it may be of any family."""
    policy = spec.setdefault("ipFamilyPolicy", "RequireDualStack")
    families = spec.get("ipFamilies") or [default]
    if policy != "SingleStack":
        families = [*families, *(family for family in _ALL_FAMILIES if family not in families)]
    spec["ipFamilies"] = families


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"

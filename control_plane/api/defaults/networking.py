"""Services, endpoints, ingress and network policies."""

from __future__ import annotations

from control_plane.api.defaults.registry import Object, defaults, each, fill, struct

_AFFINITY_TIMEOUT_S = 10800


@defaults("v1", "Service")
def service(obj: Object) -> None:
    spec = struct(obj, "spec")
    fill(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if spec["sessionAffinity"] == "ClientIP":
        client = struct(struct(spec, "sessionAffinityConfig"), "clientIP")
        fill(client, {"timeoutSeconds": _AFFINITY_TIMEOUT_S})
    for port in each(spec, "ports"):
        fill(port, {"protocol": "TCP"})
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    kind = spec["type"]
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        fill(spec, {"externalTrafficPolicy": "Cluster"})
    if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        fill(spec, {"internalTrafficPolicy": "Cluster"})
    if kind == "LoadBalancer":
        fill(spec, {"allocateLoadBalancerNodePorts": True})


@defaults("v1", "Endpoints")
def endpoints(obj: Object) -> None:
    for subset in each(obj, "subsets"):
        for port in each(subset, "ports"):
            fill(port, {"protocol": "TCP"})


@defaults("discovery.k8s.io/v1", "EndpointSlice")
def endpoint_slice(obj: Object) -> None:
    for port in each(obj, "ports"):
        port.setdefault("name", "")
        fill(port, {"protocol": "TCP"})


@defaults("networking.k8s.io/v1", "NetworkPolicy")
def network_policy(obj: Object) -> None:
    spec = struct(obj, "spec")
    for rule in each(spec, "ingress", "egress"):
        for port in each(rule, "ports"):
            fill(port, {"protocol": "TCP"})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


@defaults("networking.k8s.io/v1", "IngressClass")
def ingress_class(obj: Object) -> None:
    parameters = struct(obj, "spec").get("parameters")
    if parameters is not None:
        fill(parameters, {"scope": "Cluster"})

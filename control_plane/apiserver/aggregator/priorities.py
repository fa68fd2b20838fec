"""The order of groups and versions in discovery, as kube-apiserver and kube-aggregator rank them."""

from __future__ import annotations

CUSTOM_GROUP_PRIORITY, CUSTOM_VERSION_PRIORITY = 1000, 100
_DEFAULT_GROUP_PRIORITY = 15_000
_DEFAULT_VERSION_PRIORITY = 15

_GROUPS = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "internal.apiserver.k8s.io": 16000,
    "resource.k8s.io": 15900,
    "storagemigration.k8s.io": 15800,
}
_VERSIONS = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
}


def group_priority(group: str) -> int:
    return _GROUPS.get(group, _DEFAULT_GROUP_PRIORITY)


def version_priority(group: str, version: str) -> int:
    if (group, version) in _VERSIONS:
        return _VERSIONS[group, version]
    if "alpha" in version or "beta" in version:
        return 9
    return _DEFAULT_VERSION_PRIORITY

"""What is asked about: `deployment/web`, `deploy web`, `po/x`. And who explains it."""

from __future__ import annotations

import difflib

from cluster.errors import ClusterError
from cluster.why import claims, namespaces, nodes, pods, services, workloads
from cluster.why.cause import Cause
from cluster.why.world import World
from control_plane.api import meta

SHORT = {
    "po": "pods", "pod": "pods",
    "deploy": "deployments", "deployment": "deployments",
    "rs": "replicasets", "replicaset": "replicasets",
    "rc": "replicationcontrollers", "replicationcontroller": "replicationcontrollers",
    "sts": "statefulsets", "statefulset": "statefulsets",
    "ds": "daemonsets", "daemonset": "daemonsets",
    "job": "jobs",
    "cj": "cronjobs", "cronjob": "cronjobs",
    "pvc": "persistentvolumeclaims", "persistentvolumeclaim": "persistentvolumeclaims",
    "svc": "services", "service": "services",
    "ns": "namespaces", "namespace": "namespaces",
    "no": "nodes", "node": "nodes",
}  # fmt: skip


class UnknownTarget(ClusterError):
    """No such kind, or no such object."""


def parse(words: list[str]) -> tuple[str, str]:
    """Resource and name. Raises UnknownTarget."""
    kind, _, name = words[0].partition("/") if len(words) == 1 else (words[0], "", words[1])
    resource = SHORT.get(kind.lower(), kind.lower())
    if resource not in SHORT.values() or not name:
        kinds = ", ".join(sorted(key for key, value in SHORT.items() if value == key + "s"))
        raise UnknownTarget(f"say what to explain as KIND/NAME; the kinds are {kinds}")
    return resource, name


def explain(world: World, resource: str, name: str) -> Cause:
    """Raises UnknownTarget."""
    obj = world.get(resource, name)
    if obj is None:
        raise UnknownTarget(_absent(world, resource, name))
    if resource in workloads.RESOURCES:
        return workloads.explain(world, resource, obj)
    explain_one = {
        "pods": pods.explain,
        "persistentvolumeclaims": claims.explain,
        "services": services.explain,
        "nodes": nodes.explain,
        "namespaces": namespaces.explain,
    }
    return explain_one[resource](world, obj)


def _absent(world: World, resource: str, name: str) -> str:
    where = "" if resource in ("nodes", "namespaces") else f" in the namespace {world.namespace}"
    known = [meta.name_of(each) for each in world.all(resource)]
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"; there is {', '.join(near)}" if near else ""
    return f"there is no {resource[:-1]} {name!r}{where}{hint}"

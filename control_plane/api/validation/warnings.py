"""What is accepted but worth a word: the `Warning` headers that kubectl prints.

`of_kind(resource)` holds for every request, `warnings(resource, obj, old)` is asked after validation; with `old`, a pod-making kind only warns of what
is new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.registry import Resource

Object = Mapping[str, Any]

_TEMPLATES = {
    "deployments.apps": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "replicationcontrollers": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
    "podtemplates": ("template",),
}
_DEPRECATED_KINDS = {
    "endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    "componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
}
_OLD_NODE_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_SURPRISING = "this is used in {}, which can result in surprising behavior; a DNS label is recommended: {}"
_NAMES_IN = {
    "pods": "the Pod's hostname",
    "jobs.batch": "Pod names and hostnames",
    "cronjobs.batch": "Pod names and hostnames",
}


def warnings(resource: Resource, obj: Object, old: Object | None = None) -> list[str]:
    name = resource.group_resource
    found: list[str] = []
    if old is None and name in _NAMES_IN:
        found += _surprising_name(obj, _NAMES_IN[name])
    if name == "pods":
        if old is None:
            found += _pod_spec("spec", obj.get("spec") or {})
    elif path := _TEMPLATES.get(name):
        template = _at(obj, path)
        if old is None or template != _at(old, path):
            found += _pod_spec(".".join((*path, "spec")), template.get("spec") or {})
    return found


def of_kind(resource: Resource) -> list[str]:
    """A deprecated kind says so whenever it is asked for."""
    name = resource.group_resource
    return [_DEPRECATED_KINDS[name]] if name in _DEPRECATED_KINDS else []


def _at(obj: Any, path: tuple[str, ...]) -> dict[str, Any]:
    for step in path:
        obj = obj.get(step) if isinstance(obj, Mapping) else None
    return obj or {}


def _surprising_name(obj: Object, where: str) -> Iterator[str]:
    name = (obj.get("metadata") or {}).get("name", "")
    problems = names.dns_label(name)
    if problems:
        yield "metadata.name: " + _SURPRISING.format(where, f"[{' '.join(problems)}]")


def _pod_spec(path: str, spec: Object) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if key in _OLD_NODE_LABELS:
            since, instead = _OLD_NODE_LABELS[key]
            yield f"{path}.nodeSelector[{key}]: deprecated since {since}; use {errors.quote(instead)} instead"
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        yield f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
    for key in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(key) or ()):
            yield from _container(f"{path}.{key}[{index}]", container)


def _container(path: str, container: Object) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in seen:
            shown = errors.quote(name)
            yield f"{path}.env[{index}]: hides previous definition of {shown}, which may be dropped when using apply"
        seen.add(name)

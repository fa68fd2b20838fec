"""What is accepted but worth a word: the `Warning` headers that kubectl prints.

`of_kind(resource)` holds for every request, `warnings(resource, obj, old)` is asked after validation; with `old`, a pod-making kind only warns of what
is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.registry import Resource
from control_plane.api.validation import pod_warnings

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
_SURPRISING = "this is used in {}, which can result in surprising behavior; a DNS label is recommended: {}"
_TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
_INGRESS_CLASS = "kubernetes.io/ingress.class"
_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_NAMES_IN = {
    "pods": "the Pod's hostname",
    "jobs.batch": "Pod names and hostnames",
    "cronjobs.batch": "Pod names and hostnames",
}


def warnings(resource: Resource, obj: Object, old: Object | None = None) -> list[str]:
    name = resource.group_resource
    found = [_DEPRECATED_KINDS[name]] if name in _DEPRECATED_KINDS else []
    if old is None and name in _NAMES_IN:
        found += _surprising_name(obj, _NAMES_IN[name])
    if name == "pods":
        if old is None:
            found += pod_warnings.of_pod("", obj.get("metadata") or {}, obj.get("spec") or {})
    elif path := _TEMPLATES.get(name):
        template = _at(obj, path)
        if old is None or template != _at(old, path):
            where = ".".join(path)
            found += pod_warnings.of_pod(where, template.get("metadata") or {}, template.get("spec") or {})
    if rule := _RULES.get(name):
        found += rule(obj, old)
    return found


def for_read(resource: Resource) -> list[str]:
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


def _annotation(obj: Object, key: str) -> bool:
    return key in ((obj.get("metadata") or {}).get("annotations") or {})


def _service(obj: Object, _: Object | None) -> Iterator[str]:
    spec = obj.get("spec") or {}
    kind, external = spec.get("type"), spec.get("externalIPs")
    headless = kind == "ClusterIP" and spec.get("clusterIP") == "None"
    if _annotation(obj, _TOPOLOGY_HINTS):
        yield f"annotation {_TOPOLOGY_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
    if headless:
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if external:
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    if external and not headless and kind != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if kind == "ExternalName":
        if external:
            yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    elif spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _ingress(obj: Object, old: Object | None) -> Iterator[str]:
    if old is None and _annotation(obj, _INGRESS_CLASS):
        yield f"annotation {errors.quote(_INGRESS_CLASS)} is deprecated, please use 'spec.ingressClassName' instead"


def _claim(obj: Object, _: Object | None) -> Iterator[str]:
    if _annotation(obj, _STORAGE_CLASS):
        yield f'metadata.annotations[{_STORAGE_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
    yield from pod_warnings.fractional(
        "spec.resources", (obj.get("spec") or {}).get("resources") or {}, "storage"
    )


def _volume(obj: Object, _: Object | None) -> Iterator[str]:
    if _annotation(obj, _STORAGE_CLASS):
        yield f'metadata.annotations[{_STORAGE_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
    if (obj.get("spec") or {}).get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )


def _node(obj: Object, old: Object | None) -> Iterator[str]:
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    if spec.get("configSource") is not None:
        yield "spec.configSource: the feature is no longer supported"
    if spec.get("externalID") and not before.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"


def _stateful_set(obj: Object, _: Object | None) -> Iterator[str]:
    spec = obj.get("spec") or {}
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        yield "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        resources = (claim.get("spec") or {}).get("resources") or {}
        yield from pod_warnings.fractional(
            f"spec.volumeClaimTemplates[{index}].spec.resources", resources, "storage"
        )


def _cron_job(obj: Object, _: Object | None) -> Iterator[str]:
    if "TZ" in (obj.get("spec") or {}).get("schedule", ""):
        yield (
            "CRON_TZ or TZ used in spec.schedule is not officially supported, see "
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )


_RULES: Mapping[str, Callable[[Object, Object | None], Iterator[str]]] = {
    "services": _service,
    "ingresses.networking.k8s.io": _ingress,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "nodes": _node,
    "statefulsets.apps": _stateful_set,
    "cronjobs.batch": _cron_job,
}

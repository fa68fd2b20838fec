"""Rules about resources, as webhooks and admission policies have them: operations, resources, scope.

Pure. A rule that names another version of the resource matches too when `equivalent` resources are given
(matchPolicy Equivalent); the answer then says in which version the object is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.api.registry import Registry, Resource
from control_plane.apiserver.admission.interface import AdmissionRequest

GROUP = "admissionregistration.k8s.io"
# The configuration of admission itself: subject to no webhook and no policy, or a bad one could not be removed.
_EXEMPT = frozenset(
    {
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    }
)

Rule = Mapping[str, Any]
GVR = tuple[str, str, str]


def is_exempt(request: AdmissionRequest) -> bool:
    return request.group == GROUP and request.resource in _EXEMPT


def matching_resource(
    rules: Sequence[Rule], request: AdmissionRequest, equivalents: Sequence[GVR]
) -> GVR | None:
    """The group, version and resource under which the rules match the request: its own, or else an equivalent."""
    own = (request.group, request.version, request.resource)
    if any(matches(rule, request, own) for rule in rules):
        return own
    for rule in rules:
        for equivalent in equivalents:
            if equivalent != own and matches(rule, request, equivalent):
                return equivalent
    return None


def matches(rule: Rule, request: AdmissionRequest, gvr: GVR) -> bool:
    group, version, resource = gvr
    return (
        _scope_matches(rule.get("scope") or "*", request)
        and _names(rule.get("operations"), request.operation.value)
        and _names(rule.get("apiGroups"), group)
        and _names(rule.get("apiVersions"), version)
        and any(
            _resource_matches(each, resource, request.subresource) for each in rule.get("resources") or ()
        )
    )


def name_matches(names: Sequence[str] | None, name: str) -> bool:
    """`resourceNames` of a policy's rule: none given means any."""
    return not names or name in names


def _names(values: Sequence[str] | None, wanted: str) -> bool:
    return any(value in ("*", wanted) for value in values or ())


def _scope_matches(scope: str, request: AdmissionRequest) -> bool:
    """A Namespace itself is cluster-scoped, though its requests have a namespace."""
    is_namespaced = bool(request.namespace) and (request.group, request.resource) != ("", "namespaces")
    return scope == "*" or (scope == "Namespaced") is is_namespaced


def _resource_matches(pattern: str, resource: str, subresource: str) -> bool:
    wanted, _, wanted_subresource = pattern.partition("/")
    return wanted in ("*", resource) and wanted_subresource in ("*", subresource)


class Equivalents:
    """Other versions (and groups) in which the same objects are served, kept until the registry changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._known: dict[tuple[GVR, str], tuple[GVR, ...]] = {}

    def of(self, gvr: GVR, subresource: str) -> tuple[GVR, ...]:
        if self._generation != self._registry.generation:
            self._known.clear()
            self._generation = self._registry.generation
        key = (gvr, subresource)
        if key not in self._known:
            self._known[key] = self._find(gvr, subresource)
        return self._known[key]

    def _find(self, gvr: GVR, subresource: str) -> tuple[GVR, ...]:
        own = self._registry.get(*gvr)
        if own is None:
            return ()
        return tuple(
            each.gvr
            for each in self._registry
            if _place(each) == _place(own) and (not subresource or subresource in each.subresources)
        )


def _place(resource: Resource) -> tuple[str, str]:
    return (resource.storage_group, resource.resource)

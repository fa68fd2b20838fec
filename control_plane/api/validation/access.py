"""RBAC."""

from __future__ import annotations

from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation.registry import (
    Errors,
    Object,
    on_create,
    on_update,
    problems,
)

_GROUP = "rbac.authorization.k8s.io"


@on_create(f"roles.{_GROUP}")
def role(obj: Object) -> Errors:
    yield from _rules(obj, namespaced=True)


@on_create(f"clusterroles.{_GROUP}")
def cluster_role(obj: Object) -> Errors:
    yield from _rules(obj, namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None and not aggregation.get("clusterRoleSelectors"):
        yield errors.required(
            "aggregationRule.clusterRoleSelectors",
            "at least one clusterRoleSelector required if aggregationRule is non-nil",
        )


def _rules(obj: Object, namespaced: bool) -> Errors:
    for index, rule in enumerate(obj.get("rules") or ()):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            yield errors.required(f"{path}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if namespaced:
                yield errors.invalid_value(
                    f"{path}.nonResourceURLs",
                    rule["nonResourceURLs"],
                    "namespaced rules cannot apply to non-resource URLs",
                )
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                yield errors.invalid_value(
                    f"{path}.nonResourceURLs",
                    rule["nonResourceURLs"],
                    "rules cannot apply to both regular resources and non-resource URLs",
                )
            continue
        if not rule.get("apiGroups"):
            yield errors.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield errors.required(f"{path}.resources", "resource rules must supply at least one resource")


@on_create(f"rolebindings.{_GROUP}")
def role_binding(obj: Object) -> Errors:
    yield from _binding(obj, ("Role", "ClusterRole"))


@on_create(f"clusterrolebindings.{_GROUP}")
def cluster_role_binding(obj: Object) -> Errors:
    yield from _binding(obj, ("ClusterRole",))


def _binding(obj: Object, kinds: tuple[str, ...]) -> Errors:
    reference: dict[str, Any] = obj.get("roleRef") or {}
    if reference.get("apiGroup") != _GROUP:
        yield errors.not_supported("roleRef.apiGroup", reference.get("apiGroup", ""), (_GROUP,))
    if reference.get("kind") not in kinds:
        yield errors.not_supported("roleRef.kind", reference.get("kind", ""), kinds)
    if not reference.get("name"):
        yield errors.required("roleRef.name")
    else:
        yield from problems("roleRef.name", reference["name"], names.path_segment(reference["name"]))
    for index, subject in enumerate(obj.get("subjects") or ()):
        yield from _subject(f"subjects[{index}]", subject, namespaced="Role" in kinds)


def _subject(path: str, subject: dict[str, Any], namespaced: bool) -> Errors:
    name, kind, group = subject.get("name", ""), subject.get("kind"), subject.get("apiGroup", "")
    if not name:
        yield errors.required(f"{path}.name")
    match kind:
        case "ServiceAccount":
            if name:
                yield from problems(f"{path}.name", name, names.dns_subdomain(name))
            if group:
                yield errors.not_supported(f"{path}.apiGroup", group, ("",))
            if not namespaced and not subject.get("namespace"):
                yield errors.required(f"{path}.namespace")
        case "User" | "Group":
            if group != _GROUP:
                yield errors.not_supported(f"{path}.apiGroup", group, (_GROUP,))
        case _:
            yield errors.not_supported(f"{path}.kind", kind or "", ("ServiceAccount", "User", "Group"))


@on_update(f"rolebindings.{_GROUP}", f"clusterrolebindings.{_GROUP}")
def binding_update(new: Object, old: Object) -> Errors:
    if new.get("roleRef") != old.get("roleRef"):
        yield errors.invalid_value("roleRef", new.get("roleRef"), "cannot change roleRef")

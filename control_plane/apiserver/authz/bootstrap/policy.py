"""The default roles and bindings as objects of the API, made from the tables of this package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from control_plane.apiserver.authz.bootstrap import cluster_roles as roles
from control_plane.apiserver.authz.bootstrap import controller_roles, namespaced_roles
from control_plane.apiserver.authz.rbac import GROUP, aggregate

Object = dict[str, Any]

API_VERSION = f"{GROUP}/v1"
AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}


def rule(line: str) -> Object:
    """One line of the tables as a PolicyRule."""
    head, *rest = (part.split() for part in line.split("|"))
    if head[0] == "urls":
        return {"nonResourceURLs": rest[0], "verbs": head[1:]}
    groups = ["" if group == "core" else group for group in rest[0]]
    found: Object = {"apiGroups": groups, "resources": rest[1], "verbs": head}
    if len(rest) > 2:
        found["resourceNames"] = rest[2]
    return found


def node_rules() -> list[Object]:
    return [rule(line) for line in roles.NODE_RULES]


def cluster_roles() -> list[Object]:
    """Every default ClusterRole; the aggregated ones carry the rules of what they are made of."""
    plain = [
        _role("ClusterRole", name, lines, labels=_aggregation_label(roles.AGGREGATION_LABELS.get(name, "")))
        for name, lines in roles.CLUSTER_ROLES.items()
    ]
    plain += [
        _role("ClusterRole", controller_roles.PREFIX + name, lines)
        for name, lines in controller_roles.CONTROLLER_ROLES.items()
    ]
    aggregated = [_aggregated(name, *labels) for name, labels in roles.AGGREGATED.items()]
    everything = plain + aggregated
    filled = {role["metadata"]["name"]: aggregate(role, everything) for role in aggregated}
    return [{**role, "rules": filled.get(role["metadata"]["name"], role["rules"])} for role in everything]


def cluster_role_bindings() -> list[Object]:
    bindings = [_cluster_binding(name, name, subjects) for name, subjects in roles.CLUSTER_BINDINGS.items()]
    for name in controller_roles.CONTROLLER_ROLES:
        full = controller_roles.PREFIX + name
        bindings.append(_cluster_binding(full, full, [f"S {namespaced_roles.SYSTEM}/{name}"]))
    bindings.append(_cluster_binding(*roles.NODE_AGENTS_ARE_PROXIES))
    return bindings


def namespaced() -> tuple[list[Object], list[Object]]:
    """The default Roles and RoleBindings."""
    found_roles = [
        _role("Role", name, lines, namespace)
        for namespace, table in namespaced_roles.ROLES.items()
        for name, lines in table.items()
    ]
    bindings = [
        _binding("RoleBinding", name, "Role", role, subjects, namespace)
        for namespace, table in namespaced_roles.BINDINGS.items()
        for name, (role, subjects) in table.items()
    ]
    return found_roles, bindings


def _role(
    kind: str, name: str, lines: Iterable[str], namespace: str = "", labels: dict[str, str] | None = None
) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": _metadata(name, namespace, labels),
        "rules": [rule(line) for line in lines],
    }


def _aggregated(name: str, selected: str, own: str) -> Object:
    role = _role("ClusterRole", name, (), labels=_aggregation_label(own))
    selector = {"matchLabels": _aggregation_label(selected)}
    return {**role, "aggregationRule": {"clusterRoleSelectors": [selector]}}


def _aggregation_label(name: str) -> dict[str, str]:
    return {f"{GROUP}/{name}": "true"} if name else {}


def _cluster_binding(name: str, role: str, subjects: Iterable[str]) -> Object:
    return _binding("ClusterRoleBinding", name, "ClusterRole", role, subjects)


def _binding(
    kind: str, name: str, role_kind: str, role: str, subjects: Iterable[str], namespace: str = ""
) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": _metadata(name, namespace),
        "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role},
        "subjects": [_subject(text) for text in subjects],
    }


def _subject(text: str) -> Object:
    kind, name = text.split(" ", 1)
    if kind == "S":
        namespace, account = name.split("/")
        return {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    return {"apiGroup": GROUP, "kind": {"G": "Group", "U": "User"}[kind], "name": name}


def _metadata(name: str, namespace: str = "", labels: dict[str, str] | None = None) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["labels"] = {**BOOTSTRAPPING, **(labels or {})}
    metadata["annotations"] = {AUTO_UPDATE: "true"}
    return metadata

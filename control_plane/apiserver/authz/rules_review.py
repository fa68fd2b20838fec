"""SelfSubjectRulesReview: everything that a user may do in a namespace, as far as it can be listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.node import node_name_of
from control_plane.apiserver.authz.rbac import RBACAuthorizer
from control_plane.apiserver.authz.rules import Rule

_ALL: tuple[Rule, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)


class RulesResolver:
    """Knows the modes that are in force: what AlwaysAllow adds, what Node cannot list."""

    def __init__(self, rbac: RBACAuthorizer | None, modes: Sequence[str]) -> None:
        self._rbac = rbac
        self._modes = tuple(modes)

    def status(self, user: UserInfo, namespace: str) -> dict[str, Any]:
        """The `status` of the review."""
        rules: list[Rule] = list(_ALL) if "AlwaysAllow" in self._modes else []
        if self._rbac is not None:
            rules += self._rbac.rules_for(user, namespace)
        unlisted = "Node" in self._modes and node_name_of(user) is not None
        status: dict[str, Any] = {
            "resourceRules": [_resource_rule(r) for r in rules if r.get("resources")],
            "nonResourceRules": [_url_rule(r) for r in rules if r.get("nonResourceURLs")],
            "incomplete": unlisted,
        }
        if unlisted:
            status["evaluationError"] = "node authorizer does not support user rule resolution"
        return status


def _resource_rule(rule: Rule) -> dict[str, Any]:
    found = {
        "verbs": list(rule.get("verbs") or ()),
        "apiGroups": list(rule.get("apiGroups") or ()),
        "resources": list(rule.get("resources") or ()),
    }
    if rule.get("resourceNames"):
        found["resourceNames"] = list(rule["resourceNames"])
    return found


def _url_rule(rule: Rule) -> dict[str, Any]:
    return {"verbs": list(rule.get("verbs") or ()), "nonResourceURLs": list(rule["nonResourceURLs"])}

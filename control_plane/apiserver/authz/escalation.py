"""Nobody hands out what they do not have.

Whoever writes a role must hold all of its rules, or be allowed to `escalate` it; whoever writes a binding
must hold the rules of its role, or be allowed to `bind` it. An aggregation rule can gather anything, so it
takes all rights. `system:masters` may do both.
"""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.api import errors, meta
from control_plane.apiserver.admission.interface import Object, Reader
from control_plane.apiserver.authn.user import PRIVILEGED_GROUP, UserInfo
from control_plane.apiserver.authz.interface import Attributes, Authorizer, Decision
from control_plane.apiserver.authz.rbac import GROUP, RBACAuthorizer, aggregate
from control_plane.apiserver.authz.rules import Rule, compacted, describe, uncovered

FULL_AUTHORITY: tuple[Rule, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)
ROLES = {"roles": "Role", "clusterroles": "ClusterRole"}
BINDINGS = {"rolebindings": "RoleBinding", "clusterrolebindings": "ClusterRoleBinding"}


class EscalationCheck:
    """`authorizer` is the server's whole authorizer, asked for `escalate` and `bind`."""

    def __init__(self, rbac: RBACAuthorizer, authorizer: Authorizer, reader: Reader) -> None:
        self._rbac = rbac
        self._authorizer = authorizer
        self._reader = reader

    async def check(
        self, user: UserInfo, resource: str, namespace: str, obj: Object, old: Object | None
    ) -> None:
        """Raises StatusError Forbidden. `resource` is one of ROLES or BINDINGS."""
        if PRIVILEGED_GROUP in user.groups or (old is not None and _only_collectable(obj, old)):
            return
        if resource in ROLES:
            await self._check_role(user, resource, namespace, obj, old)
        else:
            await self._check_binding(user, resource, namespace, obj)

    async def _check_role(
        self, user: UserInfo, resource: str, namespace: str, role: Object, old: Object | None
    ) -> None:
        name = meta.name_of(role)
        if await self._allowed(user, "escalate", resource, namespace, name):
            return
        self._check_rules(user, namespace, role.get("rules") or (), resource, name)
        if role.get("aggregationRule") or (old or {}).get("aggregationRule"):
            prefix = "must have cluster-admin privileges to use an aggregationRule: "
            self._check_rules(user, namespace, FULL_AUTHORITY, resource, name, prefix)

    async def _check_binding(self, user: UserInfo, resource: str, namespace: str, binding: Object) -> None:
        reference = binding.get("roleRef") or {}
        kind, name = reference.get("kind", ""), reference.get("name", "")
        role_resource = "clusterroles" if kind == "ClusterRole" else "roles"
        if await self._allowed(user, "bind", role_resource, namespace, name):
            return
        rules = self._rules_of(role_resource, namespace, name)
        self._check_rules(user, namespace, rules, resource, meta.name_of(binding))

    def _rules_of(self, resource: str, namespace: str, name: str) -> Sequence[Rule]:
        role = self._reader.get(GROUP, resource, "" if resource == "clusterroles" else namespace, name)
        if role is None:
            raise errors.not_found(GROUP, resource, name)
        if resource == "roles":
            return list(role.get("rules") or ())
        return aggregate(role, self._reader.list(GROUP, "clusterroles"))

    def _check_rules(
        self,
        user: UserInfo,
        namespace: str,
        rules: Sequence[Rule],
        resource: str,
        name: str,
        prefix: str = "",
    ) -> None:
        missing = uncovered(self._rbac.rules_for(user, namespace), rules)
        if not missing:
            return
        groups = " ".join(errors.quote(group) for group in user.groups)
        lines = "\n".join(sorted({describe(rule) for rule in compacted(missing)}))
        raise errors.forbidden(
            GROUP,
            resource,
            name,
            f"{prefix}user {errors.quote(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions "
            f"not currently held:\n{lines}",
        )

    async def _allowed(self, user: UserInfo, verb: str, resource: str, namespace: str, name: str) -> bool:
        decision, _ = await self._authorizer.authorize(
            Attributes(user, verb, GROUP, "v1", resource, namespace=namespace, name=name)
        )
        return decision is Decision.ALLOW


def _only_collectable(obj: Object, old: Object) -> bool:
    """Whether only finalizers and owners change: the garbage collector must be able to finish any object."""
    return _without_owners(obj) == _without_owners(old)


def _without_owners(obj: Object) -> Object:
    ignored = {"finalizers", "ownerReferences", "managedFields", "resourceVersion"}
    kept = {key: value for key, value in meta.metadata(obj).items() if key not in ignored}
    return {**obj, "metadata": kept}

"""RBAC: roles, bindings, and an index from subjects to the rules they have.

The index is rebuilt when a list that it was made from is no longer the same object: the watch cache hands out
the same tuple until something changes. Looking a request up then costs one dict access for the user, each
group, and a scan of the rules found, first those of the whole cluster, then those of the namespace.

An aggregated ClusterRole has its own rules and those of every role that its selectors match, at once: nobody
waits for the aggregation controller to have written them down.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.api import meta, selectors
from control_plane.apiserver.admission.interface import Object, Reader
from control_plane.apiserver.authn import service_accounts
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.interface import Attributes, Decision
from control_plane.apiserver.authz.rules import Rule, rule_allows

GROUP = "rbac.authorization.k8s.io"
Subject = tuple[str, str]  # ("User" or "Group", name); service accounts are users


@dataclass(frozen=True, slots=True)
class Grant:
    """The rules that one binding gives its subjects, and how it is called."""

    rules: tuple[Rule, ...]
    role: str
    binding: str
    missing: str = ""  # the role does not exist


@dataclass(frozen=True, slots=True)
class Policy:
    """All roles and bindings, indexed. Immutable; made anew when one changes."""

    cluster: Mapping[Subject, Sequence[Grant]]
    namespaces: Mapping[str, Mapping[Subject, Sequence[Grant]]]

    def grants(self, user: UserInfo, namespace: str) -> Iterator[tuple[Grant, Subject]]:
        subjects = [("User", user.name), *(("Group", group) for group in user.groups)]
        for subject in subjects:
            for grant in self.cluster.get(subject, ()):
                yield grant, subject
        local = self.namespaces.get(namespace) if namespace else None
        if local:
            for subject in subjects:
                for grant in local.get(subject, ()):
                    yield grant, subject

    def rules(self, user: UserInfo, namespace: str) -> list[Rule]:
        return [rule for grant, _ in self.grants(user, namespace) for rule in grant.rules]

    def decide(self, attributes: Attributes) -> tuple[Decision, str]:
        missing: list[str] = []
        for grant, subject in self.grants(attributes.user, attributes.namespace):
            for rule in grant.rules:
                if rule_allows(rule, attributes):
                    return Decision.ALLOW, f"RBAC: allowed by {_describe(grant, subject)}"
            if grant.missing and grant.missing not in missing:
                missing.append(grant.missing)
        if not missing:
            return Decision.NO_OPINION, ""
        told = missing[0] if len(missing) == 1 else "[" + ", ".join(missing) + "]"
        return Decision.NO_OPINION, f"RBAC: {told}"


class RBACAuthorizer:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sources: tuple[Sequence[Object], ...] = ()
        self._policy = Policy({}, {})

    @property
    def policy(self) -> Policy:
        kinds = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
        sources = tuple(self._reader.list(GROUP, kind) for kind in kinds)
        if not all(map(_same_objects, sources, self._sources or ((),) * len(sources))):
            self._policy = build_policy(*sources)
        self._sources = sources
        return self._policy

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return self.policy.decide(attributes)

    def rules_for(self, user: UserInfo, namespace: str) -> list[Rule]:
        return self.policy.rules(user, namespace)


def _same_objects(new: Sequence[Object], old: Sequence[Object]) -> bool:
    return new is old or (len(new) == len(old) and all(map(operator.is_, new, old)))


def build_policy(
    cluster_roles: Sequence[Object],
    cluster_bindings: Sequence[Object],
    roles: Sequence[Object],
    bindings: Sequence[Object],
) -> Policy:
    cluster_rules = {meta.name_of(role): tuple(aggregate(role, cluster_roles)) for role in cluster_roles}
    local_rules = {
        (meta.namespace_of(role), meta.name_of(role)): tuple(role.get("rules") or ()) for role in roles
    }
    cluster: defaultdict[Subject, list[Grant]] = defaultdict(list)
    for binding in cluster_bindings:
        name = (binding.get("roleRef") or {}).get("name", "")
        grant = _grant(
            cluster_rules.get(name), f'ClusterRole "{name}"', f'ClusterRoleBinding "{_key(binding)}"'
        )
        _add(cluster, binding, grant)
    namespaces: defaultdict[str, defaultdict[Subject, list[Grant]]] = defaultdict(lambda: defaultdict(list))
    for binding in bindings:
        reference, namespace = binding.get("roleRef") or {}, meta.namespace_of(binding)
        name, kind = reference.get("name", ""), reference.get("kind", "")
        rules = cluster_rules.get(name) if kind == "ClusterRole" else local_rules.get((namespace, name))
        grant = _grant(rules, f'{kind} "{name}"', f'RoleBinding "{_key(binding)}"')
        _add(namespaces[namespace], binding, grant)
    return Policy(dict(cluster), {name: dict(subjects) for name, subjects in namespaces.items()})


def aggregate(role: Object, cluster_roles: Sequence[Object]) -> list[Rule]:
    """The role's rules, with those of the roles that its aggregation rule selects; each rule once."""
    rules = list(role.get("rules") or ())
    wanted = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    for selector in (selectors.from_label_selector(each) for each in wanted):
        for other in cluster_roles:
            if other is role or not selector.matches(meta.labels(other)):
                continue
            inner = other.get("aggregationRule")
            theirs = aggregate(other, _without(cluster_roles, role)) if inner else other.get("rules") or ()
            rules.extend(rule for rule in theirs if rule not in rules)
    return rules


def _without(roles: Sequence[Object], role: Object) -> list[Object]:
    """So that roles which select each other end."""
    return [other for other in roles if other is not role]


def _grant(rules: tuple[Rule, ...] | None, role: str, binding: str) -> Grant:
    if rules is not None:
        return Grant(rules, role, binding)
    kind, name = role.split(" ", 1)
    return Grant((), role, binding, f"{kind.lower()}.{GROUP} {name} not found")


def _add(index: defaultdict[Subject, list[Grant]], binding: Object, grant: Grant) -> None:
    for subject in binding.get("subjects") or ():
        known = _subject(subject, meta.namespace_of(binding))
        if known is not None:
            index[known].append(grant)


def _subject(subject: Mapping[str, Any], namespace: str) -> Subject | None:
    kind, name = subject.get("kind"), subject.get("name") or ""
    if kind == "ServiceAccount":
        where = subject.get("namespace") or namespace
        return ("User", service_accounts.username(where, name)) if where else None
    return (kind, name) if kind in ("User", "Group") else None


def _key(binding: Object) -> str:
    return meta.key_of(binding)


def _describe(grant: Grant, subject: Subject) -> str:
    kind, name = subject
    account = service_accounts.split_username(name) if kind == "User" else None
    if account is not None:
        kind, name = "ServiceAccount", f"{account[1]}/{account[0]}"
    return f'{grant.binding} of {grant.role} to {kind} "{name}"'

"""Policy rules as pure functions: does a rule allow a request, does one rule cover another.

A rule is the plain object of the API (`apiGroups`, `resources`, `verbs`, `resourceNames`, `nonResourceURLs`).
The meaning is that of k8s.io/component-helpers and pkg/registry/rbac/validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from control_plane.apiserver.authz.interface import Attributes

Rule = Mapping[str, Any]
ALL = "*"


def rule_allows(rule: Rule, attributes: Attributes) -> bool:
    verbs = rule.get("verbs") or ()
    if attributes.verb not in verbs and ALL not in verbs:
        return False
    if not attributes.resource:
        return _url_matches(rule.get("nonResourceURLs") or (), attributes.path)
    groups = rule.get("apiGroups") or ()
    if attributes.group not in groups and ALL not in groups:
        return False
    names = rule.get("resourceNames")
    if names and attributes.name not in names:
        return False
    return _resource_matches(rule.get("resources") or (), attributes.resource, attributes.subresource)


def rules_allow(rules: Iterable[Rule], attributes: Attributes) -> bool:
    return any(rule_allows(rule, attributes) for rule in rules)


def _resource_matches(resources: Sequence[str], resource: str, subresource: str) -> bool:
    if not subresource:
        return resource in resources or ALL in resources
    combined = f"{resource}/{subresource}"
    return combined in resources or ALL in resources or f"*/{subresource}" in resources


def _url_matches(urls: Sequence[str], path: str) -> bool:
    return any(url in (ALL, path) or (url.endswith(ALL) and path.startswith(url.rstrip(ALL))) for url in urls)


def uncovered(owner_rules: Sequence[Rule], wanted_rules: Iterable[Rule]) -> list[Rule]:
    """Which atoms of the wanted rules no rule of the owner grants; the owner may hand out the rest."""
    return [
        atom
        for rule in wanted_rules
        for atom in break_down(rule)
        if not any(_covers(owned, atom) for owned in owner_rules)
    ]


def break_down(rule: Rule) -> Iterator[Rule]:
    """The rule as atoms of one verb, one group, one resource, one name; URLs apart."""
    verbs: Sequence[str] = rule.get("verbs") or ()
    names: Sequence[str] = rule.get("resourceNames") or ()
    limits: list[Rule] = [{"resourceNames": [name]} for name in names] or [{}]
    pairs = product(rule.get("apiGroups") or (), rule.get("resources") or ())
    for (group, resource), verb, limit in product(pairs, verbs, limits):
        yield {"apiGroups": [group], "resources": [resource], "verbs": [verb], **limit}
    for url, verb in product(rule.get("nonResourceURLs") or (), verbs):
        yield {"nonResourceURLs": [url], "verbs": [verb]}


def _covers(owned: Rule, atom: Rule) -> bool:
    if not _has_all(owned.get("verbs") or (), atom["verbs"]):
        return False
    if "nonResourceURLs" in atom:
        return _urls_cover(owned.get("nonResourceURLs") or (), atom["nonResourceURLs"][0])
    if not _has_all(owned.get("apiGroups") or (), atom["apiGroups"]):
        return False
    owned_names, wanted_names = owned.get("resourceNames"), atom.get("resourceNames")
    if owned_names and (not wanted_names or wanted_names[0] not in owned_names):
        return False
    return _resources_cover(owned.get("resources") or (), atom["resources"][0])


def _has_all(owned: Sequence[str], wanted: Sequence[str]) -> bool:
    return ALL in owned or all(each in owned for each in wanted)


def _resources_cover(owned: Sequence[str], wanted: str) -> bool:
    if ALL in owned or wanted in owned:
        return True
    _, slash, subresource = wanted.partition("/")
    return bool(slash) and f"*/{subresource}" in owned


def _urls_cover(owned: Sequence[str], wanted: str) -> bool:
    return any(
        url in (ALL, wanted) or (url.endswith(ALL) and wanted.startswith(url.rstrip(ALL))) for url in owned
    )


def compacted(rules: Iterable[Rule]) -> list[Rule]:
    """Rules that differ only in their verbs made one, where each names one group and one resource."""
    merged: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    others: list[Rule] = []
    for rule in rules:
        groups: Sequence[str] = rule.get("apiGroups") or ()
        resources: Sequence[str] = rule.get("resources") or ()
        if len(groups) == 1 and len(resources) == 1 and not rule.get("nonResourceURLs"):
            verbs = merged.setdefault((groups[0], resources[0], tuple(rule.get("resourceNames") or ())), [])
            verbs.extend(verb for verb in rule.get("verbs") or () if verb not in verbs)
        else:
            others.append(rule)
    for (group, resource, names), verbs in merged.items():
        rule = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
        others.append({**rule, "resourceNames": list(names)} if names else rule)
    return others


_SHOWN = (
    ("APIGroups", "apiGroups"),
    ("Resources", "resources"),
    ("NonResourceURLs", "nonResourceURLs"),
    ("ResourceNames", "resourceNames"),
    ("Verbs", "verbs"),
)


def describe(rule: Rule) -> str:
    """A rule as an error message shows it: `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get"
    "list"]}`."""
    parts = []
    for shown, field in _SHOWN:
        values = rule.get(field)
        if values:
            parts.append(f"{shown}:[" + " ".join(f'"{value}"' for value in values) + "]")
    return "{" + ", ".join(parts) + "}"

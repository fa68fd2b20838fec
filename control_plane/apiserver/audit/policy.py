"""Which requests are recorded, and how much of them (audit.k8s.io/v1). The first rule that matches decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import yaml

from control_plane.api import names
from control_plane.apiserver.audit.errors import BadPolicy
from control_plane.apiserver.authz.interface import Attributes

RECEIVED, STARTED, COMPLETE, PANIC = "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"
STAGES = (RECEIVED, STARTED, COMPLETE, PANIC)

Object = Mapping[str, Any]


class Level(IntEnum):
    """Each includes the ones before it."""

    None_ = 0
    Metadata = 1
    Request = 2
    RequestResponse = 3

    @property
    def text(self) -> str:
        return self.name.rstrip("_")


_LEVELS = {level.text: level for level in Level}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is recorded of a request."""

    level: Level = Level.None_
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    verdict: Verdict
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    resources: Sequence[Object] = field(default=())
    urls: Sequence[str] = field(default=())

    def matches(self, asked: Attributes) -> bool:
        if self.users and asked.user.name not in self.users:
            return False
        if self.groups and self.groups.isdisjoint(asked.user.groups):
            return False
        if self.verbs and asked.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return self._matches_resource(asked)
        if self.urls:
            return not asked.resource and any(_matches_url(url, asked.path) for url in self.urls)
        return True

    def _matches_resource(self, asked: Attributes) -> bool:
        if not asked.resource or (self.namespaces and asked.namespace not in self.namespaces):
            return False
        return not self.resources or any(_matches_group(each, asked) for each in self.resources)


class Policy:
    def __init__(self, rules: Sequence[Rule], otherwise: Verdict) -> None:
        self._rules = tuple(rules)
        self._otherwise = otherwise

    def evaluate(self, asked: Attributes) -> Verdict:
        return next((rule.verdict for rule in self._rules if rule.matches(asked)), self._otherwise)


def _matches_group(group: Object, asked: Attributes) -> bool:
    if group.get("group", "") not in (asked.group, "*"):
        return False
    listed = group.get("resources") or ()
    if not listed:
        return True
    wanted_names = group.get("resourceNames") or ()
    if wanted_names and asked.name not in wanted_names:
        return False
    accepted = {"*", f"{asked.resource}/*", asked.resource}
    if asked.subresource:
        accepted ^= {asked.resource, f"{asked.resource}/{asked.subresource}", f"*/{asked.subresource}"}
    return not accepted.isdisjoint(listed)


def _matches_url(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


def load(path: Path) -> Policy:
    """Raises BadPolicy."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadPolicy(f"cannot read the audit policy {path}: {error}") from error
    try:
        return parse(document)
    except BadPolicy as error:
        raise BadPolicy(f"the audit policy {path}: {error}") from error


def parse(document: Any) -> Policy:
    """Raises BadPolicy, which names everything that is wrong."""
    if not isinstance(document, dict) or document.get("kind") != "Policy":
        raise BadPolicy("no Policy")
    if document.get("apiVersion") != "audit.k8s.io/v1":
        raise BadPolicy(f"unknown group version {document.get('apiVersion')!r}, it must be audit.k8s.io/v1")
    rules = document.get("rules")
    if not isinstance(rules, list) or not rules or not all(isinstance(rule, dict) for rule in rules):
        raise BadPolicy("loaded illegal policy with 0 rules")
    problems = [*_bad_stages(document.get("omitStages"), "omitStages")]
    for index, rule in enumerate(rules):
        problems += _bad_rule(rule, f"rules[{index}]")
    if problems:
        raise BadPolicy("; ".join(problems))
    otherwise = Verdict(
        Level.None_,
        frozenset(document.get("omitStages") or ()),
        bool(document.get("omitManagedFields")),
    )
    return Policy([_rule(rule, otherwise) for rule in rules], otherwise)


def _rule(rule: Object, otherwise: Verdict) -> Rule:
    omitted = rule.get("omitManagedFields")
    verdict = Verdict(
        _LEVELS[rule["level"]],
        otherwise.omit_stages | frozenset(rule.get("omitStages") or ()),
        otherwise.omit_managed_fields if omitted is None else bool(omitted),
    )
    users, groups, verbs, namespaces = (
        frozenset(rule.get(key) or ()) for key in ("users", "userGroups", "verbs", "namespaces")
    )
    resources, urls = rule.get("resources") or (), rule.get("nonResourceURLs") or ()
    return Rule(verdict, users, groups, verbs, namespaces, resources, urls)


def _bad_rule(rule: Object, path: str) -> Iterator[str]:
    level = rule.get("level")
    if not level:
        yield f"{path}.level: Required value"
    elif level not in _LEVELS:
        yield f'{path}.level: Unsupported value: "{level}": supported values: {", ".join(_LEVELS)}'
    for key in ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs"):
        values = rule.get(key) or []
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            yield f"{path}.{key}: must be a list of strings"
            return
    yield from _bad_urls(rule, path)
    yield from _bad_resources(rule.get("resources") or [], f"{path}.resources")
    yield from _bad_stages(rule.get("omitStages"), f"{path}.omitStages")


def _bad_urls(rule: Object, path: str) -> Iterator[str]:
    urls = rule.get("nonResourceURLs") or ()
    for index, url in enumerate(urls):
        where = f'{path}.nonResourceURLs[{index}]: Invalid value: "{url}"'
        if url != "*" and not url.startswith("/"):
            yield f"{where}: non-resource URL rules must begin with a '/' character"
        if "*" in url[:-1]:
            yield f"{where}: non-resource URL wildcards '*' must be the final character of the rule"
    if urls and (rule.get("resources") or rule.get("namespaces")):
        yield f"{path}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs"


def _bad_resources(groups: Any, path: str) -> Iterator[str]:
    if not isinstance(groups, list) or not all(isinstance(each, dict) for each in groups):
        yield f"{path}: must be a list of groups with their resources"
        return
    for group in groups:
        name = group.get("group", "")
        if name not in ("", "*"):
            for problem in names.dns_subdomain(name):
                yield f'{path}.group: Invalid value: "{name}": {problem}'
        if group.get("resourceNames") and not group.get("resources"):
            yield f"{path}.resourceNames: using resourceNames requires at least one resource"


def _bad_stages(stages: Any, path: str) -> Iterator[str]:
    if not isinstance(stages or [], list):
        yield f"{path}: must be a list"
        return
    for index, stage in enumerate(stages or ()):
        if stage not in STAGES:
            yield f'{path}[{index}]: Invalid value: "{stage}": allowed stages are {",".join(STAGES)}'

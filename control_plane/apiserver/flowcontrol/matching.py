"""Which requests a FlowSchema is about, and which flow of it one belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.routes import RequestInfo

Object = dict[str, Any]
Matches = Callable[[UserInfo, RequestInfo], bool]

_SERVICE_ACCOUNT = "system:serviceaccount:"
_ALL = "*"


def matcher(schema: Object) -> Matches:
    """Whether a request matches one of the rules: a subject, and a rule of its kind (resource or not)."""
    rules = [_Rule(rule) for rule in schema["spec"].get("rules") or ()]
    return lambda user, info: any(rule.matches(user, info) for rule in rules)


def distinguisher(schema: Object, user: UserInfo, info: RequestInfo) -> str:
    """What tells the flows of one schema apart."""
    match (schema["spec"].get("distinguisherMethod") or {}).get("type"):
        case "ByUser":
            return user.name
        case "ByNamespace":
            return info.namespace
    return ""


class _Rule:
    def __init__(self, rule: Object) -> None:
        subjects = rule.get("subjects") or ()
        self._users = {_name(each, "user") for each in subjects if each.get("kind") == "User"}
        self._groups = {_name(each, "group") for each in subjects if each.get("kind") == "Group"}
        accounts = [
            each.get("serviceAccount") or {} for each in subjects if each.get("kind") == "ServiceAccount"
        ]
        self._users |= {
            f"{_SERVICE_ACCOUNT}{each.get('namespace')}:{each.get('name')}"
            for each in accounts
            if each.get("name") != _ALL
        }
        self._namespaces = tuple(
            f"{_SERVICE_ACCOUNT}{each.get('namespace')}:" for each in accounts if each.get("name") == _ALL
        )
        self._resource_rules: Sequence[Object] = rule.get("resourceRules") or ()
        self._path_rules: Sequence[Object] = rule.get("nonResourceRules") or ()

    def matches(self, user: UserInfo, info: RequestInfo) -> bool:
        if not self._is_subject(user):
            return False
        if info.is_resource:
            return any(_matches_resource(rule, info) for rule in self._resource_rules)
        return any(_matches_path(rule, info) for rule in self._path_rules)

    def _is_subject(self, user: UserInfo) -> bool:
        if user.name in self._users or _ALL in self._users or _ALL in self._groups:
            return True
        if not self._groups.isdisjoint(user.groups):
            return True
        return bool(self._namespaces) and user.name.startswith(self._namespaces)


def _name(subject: Object, kind: str) -> str:
    return str((subject.get(kind) or {}).get("name", ""))


def _matches_resource(rule: Object, info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if not (_has(rule, "verbs", info.verb) and _has(rule, "resources", resource)):
        return False
    if not _has(rule, "apiGroups", info.group):
        return False
    if not info.namespace:
        return bool(rule.get("clusterScope"))
    return _has(rule, "namespaces", info.namespace)


def _matches_path(rule: Object, info: RequestInfo) -> bool:
    return _has(rule, "verbs", info.verb) and _covers(rule.get("nonResourceURLs") or (), info.path)


def _covers(urls: Iterable[str], path: str) -> bool:
    """A URL covers what lies below it, with a star at its end or without."""
    return any(
        url in (_ALL, path) or path.startswith(url.removesuffix(_ALL).rstrip("/") + "/") for url in urls
    )


def _has(rule: Object, key: str, value: str) -> bool:
    listed = rule.get(key) or ()
    return value in listed or listed == [_ALL]

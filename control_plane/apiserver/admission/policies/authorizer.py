"""`authorizer` in CEL: `authorizer.group('apps').resource('deployments').check('create').allowed()`.

Expressions run to their end without waiting, so the authorizers must answer without waiting too: RBAC and the node
authorizer do. One that has to ask over the network cannot be asked from here; its decision is an error, which
`errored()` shows.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from control_plane.apiserver.authn.service_accounts import user_info
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.interface import Attributes, Authorizer, Decision
from control_plane.apiserver.cel.functions import Overload, opaque, overload
from control_plane.apiserver.cel.types import Type

PACKAGE = "kubernetes.authorization"


class _Waits(Exception):
    """The authorizer has to ask somebody else."""


@dataclass(slots=True)
class Asking:
    """Who may, by whom; answers are kept for the request."""

    authorizer: Authorizer
    user: UserInfo
    known: dict[tuple[Any, ...], Answer] = field(default_factory=dict)

    def ask(self, attributes: Attributes) -> Answer:
        key = (
            attributes.user.name,
            attributes.verb,
            attributes.group,
            attributes.resource,
            attributes.subresource,
            attributes.namespace,
            attributes.name,
            attributes.path,
            attributes.label_selector,
            attributes.field_selector,
        )
        if key not in self.known:
            self.known[key] = self._ask(attributes)
        return self.known[key]

    def _ask(self, attributes: Attributes) -> Answer:
        try:
            decision, reason = _now(self.authorizer.authorize(attributes))
        except _Waits:
            return Answer(False, "", "the authorizer cannot be asked from an expression")
        return Answer(decision is Decision.ALLOW, reason, "")


def _now(coroutine: Coroutine[Any, Any, tuple[Decision, str]]) -> tuple[Decision, str]:
    """The result of a coroutine that does not wait. Raises _Waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: tuple[Decision, str] = done.value
        return result
    coroutine.close()
    raise _Waits


@dataclass(frozen=True, slots=True)
class Answer:
    allowed: bool
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class PathCheck:
    asking: Asking
    path: str


@dataclass(frozen=True, slots=True)
class GroupCheck:
    asking: Asking
    group: str


@dataclass(frozen=True, slots=True)
class ResourceCheck:
    asking: Asking
    attributes: Attributes


class AuthorizerValue(dict[str, Any]):
    """A dict for the sake of its one field, `authorizer.requestResource`."""

    def __init__(self, asking: Asking, request_resource: Attributes) -> None:
        super().__init__(requestResource=ResourceCheck(asking, request_resource))
        self.asking = asking


DECISION = opaque(f"{PACKAGE}.Decision", Answer)
PATH_CHECK = opaque(f"{PACKAGE}.PathCheck", PathCheck)
GROUP_CHECK = opaque(f"{PACKAGE}.GroupCheck", GroupCheck)
RESOURCE_CHECK = opaque(f"{PACKAGE}.ResourceCheck", ResourceCheck)
_AUTHORIZER = opaque(f"{PACKAGE}.Authorizer", AuthorizerValue)
AUTHORIZER = Type(_AUTHORIZER.name, (), lambda: {"requestResource": RESOURCE_CHECK})


def _service_account(value: AuthorizerValue, namespace: str, name: str) -> AuthorizerValue:
    user = user_info(namespace, name, "")
    resource: ResourceCheck = value["requestResource"]
    asking = replace(value.asking, user=user)
    return AuthorizerValue(asking, replace(resource.attributes, user=user))


def _path_check(check: PathCheck, verb: str) -> Answer:
    return check.asking.ask(Attributes(user=check.asking.user, verb=verb, path=check.path))


def _resource(check: GroupCheck, resource: str) -> ResourceCheck:
    attributes = Attributes(
        user=check.asking.user, verb="", group=check.group, version="*", resource=resource
    )
    return ResourceCheck(check.asking, attributes)


def _with(name: str) -> Any:
    return lambda check, value: ResourceCheck(check.asking, replace(check.attributes, **{name: value}))


def _check(check: ResourceCheck, verb: str) -> Answer:
    return check.asking.ask(replace(check.attributes, verb=verb))


_COST = 350_000  # of one check, as Kubernetes counts it


def _method(name: str, parameters: str, result: str, function: Callable[..., Any], cost: int = 1) -> Overload:
    def qualified(type_: str) -> str:
        return f"{PACKAGE}.{type_}" if type_[0].isupper() else type_

    shown = ", ".join(qualified(each) for each in parameters.split(", "))
    return overload(f"method {name}({shown}) -> {qualified(result)}", function, lambda *_: cost)


FUNCTIONS = (
    _method("path", "Authorizer, string", "PathCheck", lambda value, path: PathCheck(value.asking, path)),
    _method(
        "group", "Authorizer, string", "GroupCheck", lambda value, group: GroupCheck(value.asking, group)
    ),
    _method("serviceAccount", "Authorizer, string, string", "Authorizer", _service_account),
    _method("check", "PathCheck, string", "Decision", _path_check, _COST),
    _method("resource", "GroupCheck, string", "ResourceCheck", _resource),
    _method("subresource", "ResourceCheck, string", "ResourceCheck", _with("subresource")),
    _method("namespace", "ResourceCheck, string", "ResourceCheck", _with("namespace")),
    _method("name", "ResourceCheck, string", "ResourceCheck", _with("name")),
    _method("fieldSelector", "ResourceCheck, string", "ResourceCheck", _with("field_selector")),
    _method("labelSelector", "ResourceCheck, string", "ResourceCheck", _with("label_selector")),
    _method("check", "ResourceCheck, string", "Decision", _check, _COST),
    _method("allowed", "Decision", "bool", lambda answer: answer.allowed),
    _method("reason", "Decision", "string", lambda answer: answer.reason),
    _method("errored", "Decision", "bool", lambda answer: bool(answer.error)),
    _method("error", "Decision", "string", lambda answer: answer.error),
)

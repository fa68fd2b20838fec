"""FlowSchemas and PriorityLevelConfigurations; the mandatory ones are what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.api import errors, names
from control_plane.api.flowcontrol import (
    EXEMPT,
    GROUP,
    MAX_ENTROPY_BITS,
    entropy_bits,
    mandatory_levels,
    mandatory_schemas,
)
from control_plane.api.validation.registry import Errors, Object, on_create, one_of, problems, spec_of

MAX_PRECEDENCE = 10_000
MAX_QUEUES = 10_000_000
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_KINDS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


@on_create(f"flowschemas.{GROUP}")
def flow_schema(obj: Object) -> Errors:
    spec, name = spec_of(obj), obj["metadata"].get("name", "")
    precedence = spec.get("matchingPrecedence") or 0
    path = "spec.matchingPrecedence"
    if precedence <= 0:
        yield errors.invalid_value(path, precedence, "must be a positive value")
    if precedence > MAX_PRECEDENCE:
        yield errors.invalid_value(path, precedence, f"must not be greater than {MAX_PRECEDENCE}")
    if precedence == 1 and name != EXEMPT:
        why = "only the schema named 'exempt' may have matchingPrecedence 1"
        yield errors.invalid_value(path, precedence, why)
    method = spec.get("distinguisherMethod")
    if method is not None:
        yield from one_of("spec.distinguisherMethod.type", method.get("type"), ("ByNamespace", "ByUser"))
    path, level = (
        "spec.priorityLevelConfiguration.name",
        (spec.get("priorityLevelConfiguration") or {}).get("name"),
    )
    if not level:
        yield errors.required(path, "must reference a priority level")
    else:
        yield from problems(path, level, names.dns_subdomain(level))
    for index, rule in enumerate(spec.get("rules") or ()):
        yield from _rule(rule, f"spec.rules[{index}]")
    yield from _fixed(name, spec, mandatory_schemas())


@on_create(f"prioritylevelconfigurations.{GROUP}")
def priority_level(obj: Object) -> Errors:
    spec, name = spec_of(obj), obj["metadata"].get("name", "")
    kind = spec.get("type")
    if (name == EXEMPT) != (kind == "Exempt"):
        why = "type must be 'Exempt' if and only if name is 'exempt'"
        yield errors.invalid_value("spec.type", kind, why)
    yield from one_of("spec.type", kind, ("Exempt", "Limited"))
    if kind == "Exempt":
        if spec.get("limited") is not None:
            yield errors.forbidden_field("spec.limited", "must be nil if the type is not Limited")
        yield from _shares(spec.get("exempt") or {}, "spec.exempt")
    elif kind == "Limited":
        if spec.get("exempt") is not None:
            yield errors.forbidden_field("spec.exempt", "must be nil if the type is Limited")
        if spec.get("limited") is None:
            yield errors.required("spec.limited", "must not be empty when type is Limited")
        else:
            yield from _limited(spec["limited"], "spec.limited")
    yield from _fixed(name, _comparable(name, spec), mandatory_levels())


def _fixed(name: str, spec: Object, mandatory: Sequence[Object]) -> Errors:
    wanted = next((each["spec"] for each in mandatory if each["metadata"]["name"] == name), None)
    if wanted is not None and spec != wanted:
        yield errors.invalid_value("spec", spec, f"spec of '{name}' must equal the fixed value")


def _comparable(name: str, spec: Object) -> Object:
    """The exempt level's shares are its administrator's."""
    if name != EXEMPT:
        return spec
    wanted: Object = next(each["spec"] for each in mandatory_levels() if each["metadata"]["name"] == EXEMPT)
    return {**spec, "exempt": wanted["exempt"]}


def _shares(part: Object, path: str) -> Errors:
    shares, lendable = part.get("nominalConcurrencyShares"), part.get("lendablePercent")
    if shares is not None and shares < 0:
        yield errors.invalid_value(
            f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer"
        )
    if lendable is not None and not 0 <= lendable <= 100:
        yield errors.invalid_value(
            f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive"
        )


def _limited(limited: Object, path: str) -> Errors:
    yield from _shares(limited, path)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        why = "if specified, must be a non-negative integer"
        yield errors.invalid_value(f"{path}.borrowingLimitPercent", borrowing, why)
    response = limited.get("limitResponse") or {}
    kind, queuing, path = response.get("type"), response.get("queuing"), f"{path}.limitResponse"
    if kind == "Reject" and queuing is not None:
        yield errors.forbidden_field(
            f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited"
        )
    elif kind == "Queue" and queuing is None:
        why = "must not be empty if limited.limitResponse.type is Limited"
        yield errors.required(f"{path}.queuing", why)
    elif kind == "Queue" and queuing is not None:
        yield from _queuing(queuing, f"{path}.queuing")
    else:
        yield from one_of(f"{path}.type", kind, ("Queue", "Reject"))


def _queuing(queuing: Object, path: str) -> Errors:
    queues, hand, length = (queuing.get(key) or 0 for key in ("queues", "handSize", "queueLengthLimit"))
    for key, value in (("queueLengthLimit", length), ("queues", queues), ("handSize", hand)):
        if value <= 0:
            yield errors.invalid_value(f"{path}.{key}", value, "must be positive")
    if queues > MAX_QUEUES:
        yield errors.invalid_value(f"{path}.queues", queues, f"must not be greater than {MAX_QUEUES}")
    if hand > queues > 0:
        yield errors.invalid_value(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif 0 < hand <= queues and entropy_bits(queues, hand) > MAX_ENTROPY_BITS:
        why = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than 60"
        yield errors.invalid_value(f"{path}.handSize", hand, why)


def _rule(rule: Object, path: str) -> Errors:
    subjects = rule.get("subjects") or ()
    if not subjects:
        yield errors.required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(subjects):
        yield from _subject(subject, f"{path}.subjects[{index}]")
    resource_rules, path_rules = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resource_rules and not path_rules:
        yield errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, each in enumerate(resource_rules):
        yield from _resource_rule(each, f"{path}.resourceRules[{index}]")
    for index, each in enumerate(path_rules):
        where = f"{path}.nonResourceRules[{index}]"
        yield from _verbs(each, where)
        yield from _paths(each.get("nonResourceURLs") or (), f"{where}.nonResourceURLs")


def _subject(subject: Object, path: str) -> Errors:
    kind = subject.get("kind")
    own = _KINDS.get(str(kind))
    if own is None:
        yield errors.not_supported(f"{path}.kind", kind, sorted(_KINDS))
        return
    part = subject.get(own)
    if part is None:
        yield errors.required(f"{path}.{own}", f"{own} is required when subject kind is '{kind}'")
    elif not part.get("name"):
        yield errors.required(f"{path}.{own}.name")
    if part is not None and own == "serviceAccount":
        yield from _service_account(part, f"{path}.{own}")
    for other, key in _KINDS.items():
        if key != own and subject.get(key) is not None:
            why = f"{key} is forbidden when subject kind is not '{other}'"
            yield errors.forbidden_field(f"{path}.{key}", why)


def _service_account(part: Object, path: str) -> Errors:
    name, namespace = part.get("name") or "", part.get("namespace") or ""
    if name not in ("", "*"):
        yield from problems(f"{path}.name", name, names.dns_subdomain(name))
    if not namespace:
        yield errors.required(f"{path}.namespace", "must specify namespace for service account")
    else:
        yield from problems(f"{path}.namespace", namespace, names.dns_label(namespace))


def _verbs(rule: Object, path: str) -> Errors:
    verbs = rule.get("verbs") or ()
    yield from _listed(verbs, f"{path}.verbs", "verbs must contain at least one value", "verbs")
    if "*" not in verbs and not set(verbs) <= set(_VERBS):
        yield errors.not_supported(f"{path}.verbs", list(verbs), _VERBS)


def _resource_rule(rule: Object, path: str) -> Errors:
    yield from _verbs(rule, path)
    for key, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        why = f"resource rules must supply at least one {one}"
        yield from _listed(rule.get(key) or (), f"{path}.{key}", why, many)
    namespaces = rule.get("namespaces") or ()
    if namespaces or not rule.get("clusterScope"):
        why = "resource rules that are not cluster scoped must supply at least one namespace"
        yield from _listed(namespaces, f"{path}.namespaces", why, "namespaces")
    for index, each in enumerate(namespaces):
        if "*" not in namespaces:
            intro = "each member of this list must be '*' or a DNS-1123 label; "
            found = [intro + problem for problem in names.dns_label(each)]
            yield from problems(f"{path}.namespaces[{index}]", each, found)


def _paths(urls: Sequence[str], path: str) -> Errors:
    why = "nonResourceURLs must contain at least one value"
    yield from _listed(urls, path, why, "non-resource URLs")
    for index, url in enumerate(urls):
        where = f"{path}[{index}]"
        if url == "*":
            continue
        if not url:
            yield errors.required(where, "must not be empty")
        elif not url.startswith("/"):
            yield errors.invalid_value(where, url, "must start with slash")
        elif " " in url:
            yield errors.invalid_value(where, url, "must not contain white-space")
        elif "//" in url:
            yield errors.invalid_value(where, url, "must not contain double slash")
        elif "*" in url[:-1] or (url.endswith("*") and not url.endswith("/*")):
            yield errors.invalid_value(where, url, "wildcard can only do suffix matching")


def _listed(values: Sequence[Any], path: str, why: str, what: str) -> Errors:
    """At least one; a star stands alone."""
    if not values:
        yield errors.required(path, why)
    elif "*" in values and len(values) > 1:
        yield errors.invalid_value(path, list(values), f"if '*' is present, must not specify other {what}")

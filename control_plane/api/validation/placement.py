"""Where a pod may go: tolerations, affinity, spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation import metadata
from control_plane.api.validation.registry import Errors, one_of, problems

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSION = ("Honor", "Ignore")
_NODE_OPERATORS = ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")


def tolerations(path: str, listed: list[Mapping[str, Any]]) -> Errors:
    for index, toleration in enumerate(listed):
        where, key = f"{path}[{index}]", toleration.get("key", "")
        operator, effect = toleration.get("operator", ""), toleration.get("effect", "")
        if key:
            yield from problems(f"{where}.key", key, names.label_key(key))
        elif operator != "Exists":
            yield errors.invalid_value(
                f"{where}.operator",
                operator,
                'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            )
        if "tolerationSeconds" in toleration and effect != "NoExecute":
            yield errors.invalid_value(
                f"{where}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"
            )
        if operator == "Exists" and toleration.get("value"):
            yield errors.invalid_value(
                f"{where}.operator", dict(toleration), "value must be empty when `operator` is 'Exists'"
            )
        elif operator in ("", "Equal"):
            yield from problems(
                f"{where}.operator",
                toleration.get("value", ""),
                names.label_value(toleration.get("value", "")),
            )
        elif operator not in ("Exists", "Gt", "Lt"):
            yield errors.not_supported(f"{where}.operator", operator, ("Equal", "Exists"))
        if effect:
            yield from one_of(f"{where}.effect", effect, _EFFECTS)


def spread(path: str, constraints: list[Mapping[str, Any]]) -> Errors:
    taken: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        if constraint.get("maxSkew", 0) <= 0:
            yield errors.invalid_value(
                f"{where}.maxSkew", constraint.get("maxSkew", 0), "must be greater than zero"
            )
        if not constraint.get("topologyKey"):
            yield errors.required(f"{where}.topologyKey", "can not be empty")
        else:
            yield from problems(
                f"{where}.topologyKey", constraint["topologyKey"], names.label_key(constraint["topologyKey"])
            )
        yield from one_of(f"{where}.whenUnsatisfiable", constraint.get("whenUnsatisfiable"), _UNSATISFIABLE)
        pair = (constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", ""))
        if pair in taken:
            yield errors.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{pair[0]}, {pair[1]}}}")
        taken.add(pair)
        domains = constraint.get("minDomains")
        if domains is not None and domains <= 0:
            yield errors.invalid_value(f"{where}.minDomains", domains, "must be greater than zero")
        when = constraint.get("whenUnsatisfiable", "")
        if domains is not None and when != "DoNotSchedule":
            why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
            yield errors.invalid_value(f"{where}.minDomains", domains, why)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if field in constraint:
                yield from one_of(f"{where}.{field}", constraint[field], _INCLUSION)
        yield from _label_keys(where, constraint)
        yield from metadata.label_selector(f"{where}.labelSelector", constraint.get("labelSelector"))


def _label_keys(path: str, owner: Mapping[str, Any]) -> Errors:
    """`matchLabelKeys` and `mismatchLabelKeys`. When a pod is judged its selector has them merged in, at the end: what
    it selected by before is there twice."""
    selector = owner.get("labelSelector")
    match, mismatch = (owner.get(field) or [] for field in ("matchLabelKeys", "mismatchLabelKeys"))
    for field, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and selector is None:
            why = "must not be specified when labelSelector is not set"
            yield errors.forbidden_field(f"{path}.{field}", why)
            continue
        for index, key in enumerate(keys):
            yield from problems(f"{path}.{field}[{index}]", key, names.label_key(key))
    seen = set((selector or {}).get("matchLabels") or ())
    for requirement in (selector or {}).get("matchExpressions") or ():
        key = requirement.get("key", "")
        if key in match and key in seen:
            why = "exists in both matchLabelKeys and labelSelector"
            yield errors.invalid_value(f"{path}[{_last(match, key)}]", key, why)
        seen.add(key)
    for index, key in enumerate(match):
        if key in mismatch:
            why = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield errors.invalid_value(f"{path}.matchLabelKeys[{index}]", key, why)


def _last(items: Sequence[str], item: str) -> int:
    return max(index for index, each in enumerate(items) if each == item)


def affinity(path: str, rules: Mapping[str, Any]) -> Errors:
    node = rules.get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None:
        where = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
        if not required.get("nodeSelectorTerms"):
            yield errors.required(f"{where}.nodeSelectorTerms", "must have at least one node selector term")
        for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
            yield from node_selector_term(f"{where}.nodeSelectorTerms[{index}]", term)
    for index, preferred in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        where = f"{path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        yield from _weight(where, preferred)
        yield from node_selector_term(f"{where}.preference", preferred.get("preference") or {})
    for kind in ("podAffinity", "podAntiAffinity"):
        of_pods = rules.get(kind) or {}
        for index, term in enumerate(of_pods.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
            yield from _pod_term(
                f"{path}.{kind}.requiredDuringSchedulingIgnoredDuringExecution[{index}]", term
            )
        for index, preferred in enumerate(
            of_pods.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ):
            where = f"{path}.{kind}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
            yield from _weight(where, preferred)
            yield from _pod_term(f"{where}.podAffinityTerm", preferred.get("podAffinityTerm") or {})


def _weight(path: str, preferred: Mapping[str, Any]) -> Errors:
    if not 1 <= preferred.get("weight", 0) <= 100:
        yield errors.invalid_value(f"{path}.weight", preferred.get("weight", 0), "must be in the range 1-100")


def _pod_term(path: str, term: Mapping[str, Any]) -> Errors:
    yield from metadata.label_selector(f"{path}.labelSelector", term.get("labelSelector"))
    yield from metadata.label_selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for namespace in term.get("namespaces") or ():
        yield from problems(f"{path}.namespace", namespace, names.dns_label(namespace))
    yield from _label_keys(path, term)
    key = term.get("topologyKey", "")
    if not key:
        yield errors.required(f"{path}.topologyKey", "can not be empty")
    else:
        yield from problems(f"{path}.topologyKey", key, names.label_key(key))


def _node_fields(path: str, term: Mapping[str, Any]) -> Errors:
    """A node can be named, and nothing else of it."""
    for index, requirement in enumerate(term.get("matchFields") or ()):
        where, key = f"{path}.matchFields[{index}]", requirement.get("key", "")
        operator, values = requirement.get("operator", ""), requirement.get("values") or []
        if operator not in ("In", "NotIn"):
            yield errors.invalid_value(f"{where}.operator", operator, "not a valid selector operator")
        elif len(values) != 1:
            why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            yield errors.required(f"{where}.values", why)
        if key != "metadata.name":
            yield errors.invalid_value(f"{where}.key", key, "not a valid field selector key")
            continue
        for number, value in enumerate(values):
            yield from problems(f"{where}.values[{number}]", value, names.dns_subdomain(value))


def node_selector_term(path: str, term: Mapping[str, Any]) -> Errors:
    yield from _node_fields(path, term)
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator", ""), expression.get("values") or []
        if operator in ("In", "NotIn") and not values:
            yield errors.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield errors.forbidden_field(
                f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
        elif operator in ("Gt", "Lt") and len(values) != 1:
            yield errors.required(
                f"{where}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"
            )
        elif operator not in _NODE_OPERATORS:
            yield errors.invalid_value(f"{where}.operator", operator, "not a valid selector operator")
        yield from problems(
            f"{where}.key", expression.get("key", ""), names.label_key(expression.get("key", ""))
        )

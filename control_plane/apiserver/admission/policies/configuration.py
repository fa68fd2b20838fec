"""Policies and their bindings from the watch cache, compiled once per change; in the order of their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from control_plane.api import meta
from control_plane.api.selectors import LabelSelector, from_label_selector
from control_plane.apiserver import cel
from control_plane.apiserver.admission.interface import Reader
from control_plane.apiserver.admission.policies.expressions import (
    Expression,
    Named,
    compile_one,
    compile_variables,
)
from control_plane.apiserver.admission.policies.names import known_names

GROUP = "admissionregistration.k8s.io"

Object = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Match:
    """matchConstraints of a policy, or matchResources of a binding."""

    namespace_selector: LabelSelector
    object_selector: LabelSelector
    rules: Sequence[Object]
    excluded: Sequence[Object]
    equivalent: bool


@dataclass(frozen=True, slots=True)
class Binding:
    name: str
    match: Match | None
    param_ref: Mapping[str, Any] | None
    actions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Policy(Generic[T]):
    name: str
    match: Match
    param_kind: Mapping[str, str] | None
    conditions: Sequence[Expression]
    variables: Sequence[Named]
    ignore_failure: bool
    reinvoke: bool
    body: T  # what it does: validations, or mutations
    bindings: Sequence[Binding]


class Policies(Generic[T]):
    """`compile_body` makes of a policy's spec and the names that it may use what the policy does."""

    def __init__(
        self,
        reader: Reader,
        policies: str,
        bindings: str,
        compile_body: Callable[[Object, Mapping[str, cel.Type]], T],
    ) -> None:
        self._reader = reader
        self._resources = (policies, bindings)
        self._compile_body = compile_body
        self._seen: tuple[Sequence[Object], Sequence[Object]] = ((), ())
        self._bodies: dict[tuple[str, str], Policy[T]] = {}  # by uid and resourceVersion, without bindings
        self._policies: tuple[Policy[T], ...] = ()

    def current(self) -> tuple[Policy[T], ...]:
        """Those that are bound."""
        policies, bindings = (self._reader.list(GROUP, each) for each in self._resources)
        if policies is not self._seen[0] or bindings is not self._seen[1]:
            self._policies = self._read(policies, bindings)
            self._seen = (policies, bindings)
        return self._policies

    def _read(self, policies: Sequence[Object], bindings: Sequence[Object]) -> tuple[Policy[T], ...]:
        by_policy: dict[str, list[Binding]] = {}
        for each in sorted(bindings, key=meta.name_of):
            spec = each.get("spec") or {}
            by_policy.setdefault(spec.get("policyName", ""), []).append(parse_binding(each))
        kept: dict[tuple[str, str], Policy[T]] = {}
        found: list[Policy[T]] = []
        for each in sorted(policies, key=meta.name_of):
            bound = by_policy.get(meta.name_of(each))
            if not bound:
                continue
            key = (meta.uid_of(each), meta.resource_version_of(each))
            known = self._bodies.get(key)
            policy = (
                compile_policy(each, bound, self._compile_body) if known is None else _bound(known, bound)
            )
            kept[key] = policy
            found.append(policy)
        self._bodies = kept
        return tuple(found)


def _bound(policy: Policy[T], bindings: Sequence[Binding]) -> Policy[T]:
    return Policy(
        policy.name,
        policy.match,
        policy.param_kind,
        policy.conditions,
        policy.variables,
        policy.ignore_failure,
        policy.reinvoke,
        policy.body,
        bindings,
    )


def compile_policy(
    policy: Object,
    bindings: Sequence[Binding],
    compile_body: Callable[[Object, Mapping[str, cel.Type]], T],
) -> Policy[T]:
    spec = policy.get("spec") or {}
    names = known_names(params=bool(spec.get("paramKind")))
    variables, all_names = compile_variables(spec.get("variables") or (), names)
    conditions = [
        compile_one(each.get("expression", ""), names, (cel.BOOL,))
        for each in spec.get("matchConditions") or ()
    ]
    return Policy(
        name=meta.name_of(policy),
        match=parse_match(spec.get("matchConstraints") or {}),
        param_kind=spec.get("paramKind") or None,
        conditions=conditions,
        variables=variables,
        ignore_failure=spec.get("failurePolicy") == "Ignore",
        reinvoke=spec.get("reinvocationPolicy") == "IfNeeded",
        body=compile_body(spec, all_names),
        bindings=bindings,
    )


def parse_binding(binding: Object) -> Binding:
    spec = binding.get("spec") or {}
    match = spec.get("matchResources")
    return Binding(
        name=meta.name_of(binding),
        match=parse_match(match) if match else None,
        param_ref=spec.get("paramRef") or None,
        actions=spec.get("validationActions") or (),
    )


def parse_match(given: Object) -> Match:
    return Match(
        namespace_selector=from_label_selector(given.get("namespaceSelector") or {}),
        object_selector=from_label_selector(given.get("objectSelector") or {}),
        rules=given.get("resourceRules") or (),
        excluded=given.get("excludeResourceRules") or (),
        equivalent=given.get("matchPolicy", "Equivalent") == "Equivalent",
    )

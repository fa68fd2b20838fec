"""A validating policy's expressions against the types that it is about: what is written into its status.

A policy is admitted with `object` of any type. Here each type that its rules name is put in that place, and what
then does not compile (a misspelled field, a number compared with a string) is a warning, not an error: the schema
may change, the policy may be about more than the check can see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.apiserver import cel
from control_plane.apiserver.admission.policies.authorizer import FUNCTIONS
from control_plane.apiserver.admission.policies.expressions import compile_variables
from control_plane.apiserver.admission.policies.names import known_names
from control_plane.apiserver.crd.cel_types import type_of

MAX_TYPES = 10  # of one policy; the rest is not checked

Object = dict[str, Any]
GVR = tuple[str, str, str]
Schema = Mapping[str, Any]

_REFERENCE = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Checked:
    """One type that a policy is about."""

    group: str
    version: str
    kind: str
    type: cel.Type

    def __str__(self) -> str:
        version = f"{self.group}/{self.version}" if self.group else self.version
        return f"{version}, Kind={self.kind}"


def resources_of(policy: Object) -> list[GVR]:
    """What the rules name, without wildcards and subresources; in a stable order."""
    constraints = (policy.get("spec") or {}).get("matchConstraints") or {}
    found = {
        (group, version, resource)
        for rule in constraints.get("resourceRules") or ()
        for group in rule.get("apiGroups") or ()
        for version in rule.get("apiVersions") or ()
        for resource in rule.get("resources") or ()
        if "*" not in (group, version) and not set(resource) & set("*/")
    }
    return sorted(found)


def check(policy: Object, types: Sequence[Checked], params: cel.Type | None = None) -> list[Object]:
    """The expressionWarnings of the policy's status."""
    spec = policy.get("spec") or {}
    environments = [(each, _environment(spec, each, params)) for each in types[:MAX_TYPES]]
    return [
        {"fieldRef": path, "warning": warning}
        for path, text in _expressions(spec)
        if (warning := "".join(_problems(text, environments)))
    ]


def object_type(schema: Schema, components: Mapping[str, Schema]) -> cel.Type:
    """The type of an OpenAPI v3 schema whose references are among `components`."""

    def resolve(given: Schema) -> Schema:
        return _resolved(given, components)

    return type_of(schema, resolve=resolve) or cel.DYN


def kind_schema(components: Mapping[str, Schema], group: str, version: str, kind: str) -> Schema | None:
    wanted = {"group": group, "version": version, "kind": kind}
    found = (
        each for each in components.values() if wanted in each.get("x-kubernetes-group-version-kind", ())
    )
    return next(found, None)


def _resolved(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    references = [schema, *(schema.get("allOf") or ())]
    for each in references:
        target = components.get(str(each.get("$ref", "")).removeprefix(_REFERENCE))
        if target is not None:
            return _leaf(target)
    return _leaf(schema)


def _leaf(schema: Schema) -> Schema:
    """What is a number or a string is an int-or-string."""
    return (
        {"x-kubernetes-int-or-string": True}
        if "oneOf" in schema or schema.get("format") == "int-or-string"
        else schema
    )


def _environment(spec: Object, checked: Checked, params: cel.Type | None) -> Mapping[str, cel.Type]:
    names = known_names(params=bool(spec.get("paramKind")))
    names |= {"object": checked.type, "oldObject": checked.type}
    if params is not None and "params" in names:
        names["params"] = params
    return compile_variables(spec.get("variables") or (), names)[1]


def _expressions(spec: Object) -> Iterator[tuple[str, str]]:
    for index, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            if validation.get(field):
                yield f"spec.validations[{index}].{field}", validation[field]


def _problems(text: str, environments: Sequence[tuple[Checked, Mapping[str, cel.Type]]]) -> Iterator[str]:
    for checked, names in environments:
        if problem := _problem(text, names):
            yield f"{checked}: {problem}\n"


def _problem(text: str, names: Mapping[str, cel.Type]) -> str:
    try:
        cel.compile_expression(text, names, FUNCTIONS)
    except cel.CompileError as error:
        return str(error)
    return ""

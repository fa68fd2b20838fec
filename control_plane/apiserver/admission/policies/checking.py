"""Expressions that do not compile are refused when they are written, and not met in a denial later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.api import errors
from control_plane.api.errors import FieldError
from control_plane.apiserver import cel
from control_plane.apiserver.admission.interface import AdmissionRequest
from control_plane.apiserver.admission.policies.conditions import compile_condition
from control_plane.apiserver.admission.policies.expressions import (
    Expression,
    compile_one,
    compile_variables,
)
from control_plane.apiserver.admission.policies.names import known_names

Object = dict[str, Any]


def check(request: AdmissionRequest) -> None:
    """Raises StatusError Invalid for an object of this group whose expressions do not compile. What was there
    before an update may stay."""
    obj, old = request.object or {}, request.old_object or {}
    if request.resource.endswith("webhookconfigurations"):
        found = list(_webhooks(obj))
    elif request.resource.endswith("policies"):
        found = list(_policy(obj))
    else:
        return
    known = (
        {error.value for error in (_webhooks(old) if "webhooks" in old else _policy(old))} if old else set()
    )
    problems = [error for error in found if error.value not in known]
    if problems:
        raise errors.invalid(request.group, request.kind, request.name, problems)


def _webhooks(obj: Object) -> Iterator[FieldError]:
    for number, webhook in enumerate(obj.get("webhooks") or ()):
        for index, condition in enumerate(webhook.get("matchConditions") or ()):
            path = f"webhooks[{number}].matchConditions[{index}].expression"
            yield from _problem(path, compile_condition(condition.get("expression", "")))


def _policy(obj: Object) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    names = known_names(params=bool(spec.get("paramKind")))
    for index, condition in enumerate(spec.get("matchConditions") or ()):
        path = f"spec.matchConditions[{index}].expression"
        yield from _problem(path, compile_one(condition.get("expression", ""), names, (cel.BOOL,)))
    variables, names = compile_variables(spec.get("variables") or (), names)
    for index, each in enumerate(variables):
        yield from _problem(f"spec.variables[{index}].expression", each.expression)
    yield from _validations(spec, names)
    yield from _mutations(spec, names)


def _validations(spec: Object, names: Mapping[str, cel.Type]) -> Iterator[FieldError]:
    without = {name: type_ for name, type_ in names.items() if name != "authorizer"}
    for index, validation in enumerate(spec.get("validations") or ()):
        path = f"spec.validations[{index}]"
        expression = compile_one(validation.get("expression", ""), names, (cel.BOOL,))
        yield from _problem(f"{path}.expression", expression)
        if validation.get("messageExpression"):
            message = compile_one(validation["messageExpression"], without, (cel.STRING,))
            yield from _problem(f"{path}.messageExpression", message)
    for index, annotation in enumerate(spec.get("auditAnnotations") or ()):
        value = compile_one(annotation.get("valueExpression", ""), without, (cel.STRING, cel.NULL))
        yield from _problem(f"spec.auditAnnotations[{index}].valueExpression", value)


def _mutations(spec: Object, names: Mapping[str, cel.Type]) -> Iterator[FieldError]:
    from control_plane.apiserver.admission.policies.patches import compile_mutation

    for index, mutation in enumerate(spec.get("mutations") or ()):
        field = "jsonPatch" if mutation.get("patchType") == "JSONPatch" else "applyConfiguration"
        path = f"spec.mutations[{index}].{field}.expression"
        yield from _problem(path, compile_mutation(mutation, names).expression)


def _problem(path: str, expression: Expression) -> Iterator[FieldError]:
    if expression.program is None:
        yield errors.invalid_value(path, expression.text, expression.error)

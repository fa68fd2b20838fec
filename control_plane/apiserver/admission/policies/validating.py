"""ValidatingAdmissionPolicy: validations that must all be true, with what a binding makes of one that is not.

All policies are evaluated, so that every warning and audit annotation is given; the first denial is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from control_plane.api.errors import StatusError
from control_plane.apiserver import cel
from control_plane.apiserver.admission import resource_rules
from control_plane.apiserver.admission.interface import AdmissionRequest, Operation
from control_plane.apiserver.admission.plugin import Dependencies, Plugin, forbidden
from control_plane.apiserver.admission.policies import checking, environment, params
from control_plane.apiserver.admission.policies.conditions import ConditionFailed, all_hold, namespace_for
from control_plane.apiserver.admission.policies.configuration import Binding, Policies, Policy
from control_plane.apiserver.admission.policies.expressions import (
    PER_POLICY_LIMIT,
    Expression,
    Failed,
    OutOfBudget,
    compile_one,
    with_variables,
)
from control_plane.apiserver.admission.policies.matching import Matcher
from control_plane.apiserver.admission.versions import Versions, View

MAX_MESSAGE_BYTES = 5 * 1024
MAX_AUDIT_VALUE_BYTES = 10 * 1024
MAX_AUDITED_FAILURES = 50
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Validation:
    expression: Expression
    message: str
    message_expression: Expression | None
    reason: str


@dataclass(frozen=True, slots=True)
class Body:
    validations: Sequence[Validation]
    annotations: Sequence[tuple[str, Expression]]


def compile_body(spec: Object, names: Mapping[str, cel.Type]) -> Body:
    without_authorizer = {name: type_ for name, type_ in names.items() if name != "authorizer"}
    validations = [
        Validation(
            compile_one(each.get("expression", ""), names, (cel.BOOL,)),
            (each.get("message") or "").strip(),
            compile_one(each["messageExpression"], without_authorizer, (cel.STRING,))
            if each.get("messageExpression")
            else None,
            each.get("reason") or "Invalid",
        )
        for each in spec.get("validations") or ()
    ]
    annotations = [
        (
            each.get("key", ""),
            compile_one(each.get("valueExpression", ""), without_authorizer, (cel.STRING, cel.NULL)),
        )
        for each in spec.get("auditAnnotations") or ()
    ]
    return Body(validations, annotations)


@dataclass(frozen=True, slots=True)
class Decision:
    """A validation that did not pass."""

    index: int
    message: str
    reason: str


@dataclass(slots=True)
class Findings:
    """Of one policy, with one parameter object."""

    decisions: list[Decision] = field(default_factory=list)
    annotations: list[tuple[str, str]] = field(default_factory=list)
    annotation_errors: list[str] = field(default_factory=list)


def evaluate(policy: Policy[Body], values: dict[str, Any]) -> Findings:
    """Pure, but for what the authorizer is asked."""
    try:
        if not all_hold(policy.conditions, values):
            return Findings()
    except ConditionFailed as error:
        return Findings([] if policy.ignore_failure else [Decision(0, str(error), "")])
    findings = Findings()
    budget = cel.Budget(PER_POLICY_LIMIT)
    values = with_variables(values, policy.variables, budget)
    for index, validation in enumerate(policy.body.validations):
        try:
            decision = _validate(index, validation, values, budget)
        except OutOfBudget as error:
            return Findings([] if policy.ignore_failure else [Decision(0, str(error), "")])
        except Failed as error:
            decision = None if policy.ignore_failure else Decision(index, str(error), "")
        if decision is not None:
            findings.decisions.append(decision)
    _annotate(policy, values, findings)
    return findings


def _validate(
    index: int, validation: Validation, values: dict[str, Any], budget: cel.Budget
) -> Decision | None:
    """Raises Failed."""
    if validation.expression.evaluate(values, budget) is True:
        return None
    message = _message(validation.message_expression, values, budget) or validation.message
    shown = message or f"failed expression: {validation.expression.text.strip()}"
    return Decision(index, shown, validation.reason)


def _message(expression: Expression | None, values: dict[str, Any], budget: cel.Budget) -> str:
    """What a messageExpression says, "" when that is nothing to show."""
    if expression is None:
        return ""
    try:
        message = expression.evaluate(values, budget)
    except Failed:
        return ""
    if not isinstance(message, str):
        return ""
    message = message.strip()
    return "" if "\n" in message or len(message.encode()) > MAX_MESSAGE_BYTES else message


def _annotate(policy: Policy[Body], values: dict[str, Any], findings: Findings) -> None:
    budget = cel.Budget(PER_POLICY_LIMIT)
    for key, expression in policy.body.annotations:
        try:
            value = expression.evaluate(values, budget)
        except Failed as error:
            if not policy.ignore_failure:
                findings.annotation_errors.append(str(error))
            continue
        if isinstance(value, str):
            if value.strip():
                findings.annotations.append((key, value.strip()))
        elif value is not None:
            findings.annotation_errors.append(
                f"valueExpression '{expression.text}' resulted in unsupported return type. "
                "Return type must be either string or null."
            )


@dataclass(slots=True)
class _Outcome:
    """Of all policies for one request."""

    denials: list[tuple[str, str]] = field(default_factory=list)  # message, reason
    failures: list[Object] = field(default_factory=list)


class ValidatingAdmissionPolicy(Plugin):
    name = "ValidatingAdmissionPolicy"

    def __init__(self, dependencies: Dependencies) -> None:
        self._reader = dependencies.reader
        self._authorizer = dependencies.authorizer
        self._versions = Versions(dependencies.registry)
        self._matcher = Matcher(dependencies.reader, self._versions)
        self._policies: Policies[Body] = Policies(
            dependencies.reader,
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            compile_body,
        )

    async def validate(self, request: AdmissionRequest) -> None:
        if resource_rules.is_exempt(request):
            if request.operation in (Operation.CREATE, Operation.UPDATE) and not request.subresource:
                checking.check(request)
            return
        outcome = _Outcome()
        for policy in self._policies.current():
            await self._apply(policy, request, outcome)
        if outcome.failures:
            shown = orjson.dumps(outcome.failures[:MAX_AUDITED_FAILURES]).decode()
            request.annotations["validation.policy.admission.k8s.io/validation_failure"] = shown
        if outcome.denials:
            raise denial(request, *outcome.denials[0])

    async def _apply(self, policy: Policy[Body], request: AdmissionRequest, outcome: _Outcome) -> None:
        try:
            view = await self._matcher.view(policy.match, request)
        except StatusError as error:
            _misconfigured(policy, None, str(error), outcome)
            return
        if view is None:
            return
        annotations: dict[str, list[str]] = {}
        for binding in policy.bindings:
            try:
                if not await self._matcher.applies(binding.match, request):
                    continue
                found = await params.collect(
                    policy.param_kind, binding.param_ref, request, self._reader, self._versions.registry
                )
            except (StatusError, params.BadParams) as error:
                _misconfigured(policy, binding, str(error), outcome)
                continue
            for each in found:
                findings = await self._evaluate(policy, request, view, each)
                _note(policy, binding, findings, request, outcome, annotations)
        for key, given in annotations.items():
            request.annotations[f"{policy.name}/{key}"] = ", ".join(given)

    async def _evaluate(
        self, policy: Policy[Body], request: AdmissionRequest, view: View, param: Object | None
    ) -> Findings:
        namespace = await namespace_for(request, self._reader)
        values = await environment.values(request, self._versions, view, namespace, self._authorizer, param)
        return evaluate(policy, values)


def _misconfigured(policy: Policy[Any], binding: Binding | None, why: str, outcome: _Outcome) -> None:
    if not policy.ignore_failure:
        message = f"failed to configure {'policy' if binding is None else 'binding'}: {why}"
        outcome.denials.append((_denied(policy, binding, message), ""))


def _note(
    policy: Policy[Body],
    binding: Binding,
    findings: Findings,
    request: AdmissionRequest,
    outcome: _Outcome,
    annotations: dict[str, list[str]],
) -> None:
    """What the binding's validationActions make of the findings."""
    for decision in findings.decisions:
        for action in binding.actions:
            if action == "Deny":
                outcome.denials.append((_denied(policy, binding, decision.message), decision.reason))
            elif action == "Audit":
                outcome.failures.append(
                    {
                        "message": decision.message,
                        "policy": policy.name,
                        "binding": binding.name,
                        "expressionIndex": decision.index,
                        "validationActions": list(binding.actions),
                    }
                )
            elif action == "Warn":
                warning = (
                    f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding "
                    f"'{binding.name}': {decision.message}"
                )
                if warning not in request.warnings:
                    request.warnings.append(warning)
    for error in findings.annotation_errors:
        outcome.denials.append((_denied(policy, binding, error), ""))
    for key, value in findings.annotations:
        kept = value.encode()[:MAX_AUDIT_VALUE_BYTES].decode("utf-8", "ignore")
        if kept not in annotations.setdefault(key, []):
            annotations[key].append(kept)


def _denied(policy: Policy[Any], binding: Binding | None, message: str) -> str:
    bound = f" with binding '{binding.name}'" if binding is not None else ""
    return f"ValidatingAdmissionPolicy '{policy.name}'{bound} denied request: {message}"


def denial(request: AdmissionRequest, message: str, reason: str) -> StatusError:
    error = forbidden(request, message)
    error.reason = reason or "Invalid"
    error.code = _CODES.get(error.reason, 422)
    error.details = {**(error.details or {}), "causes": [{"message": message}]}
    return error

"""One expression of a policy: compiled once, evaluated within the budget that all of a policy share.

An expression that does not compile is kept with its error: a policy of another server's version may hold one, and
its failurePolicy then says what that means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from control_plane.apiserver import cel
from control_plane.apiserver.admission.policies.authorizer import FUNCTIONS
from control_plane.apiserver.admission.policies.names import Variables
from control_plane.apiserver.cel.functions import Overload

PER_POLICY_LIMIT = 10_000_000  # as in Kubernetes
MATCH_CONDITIONS_LIMIT = 2_500_000
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class Failed(Exception):
    """The expression has no value; the message is Kubernetes'."""


class OutOfBudget(Failed):
    def __init__(self) -> None:
        super().__init__(OUT_OF_BUDGET)


@dataclass(frozen=True, slots=True)
class Expression:
    text: str
    program: cel.Program | None
    error: str = ""

    def evaluate(self, values: Mapping[str, Any], budget: cel.Budget) -> Any:
        """Raises Failed."""
        if self.program is None:
            raise Failed(f"compilation error: {self.error}")
        limit = min(budget.left, cel.PER_CALL_LIMIT)
        own = cel.Budget(limit)
        try:
            return self.program.evaluate(values, own)
        except cel.BudgetExceeded as error:
            if limit == budget.left:
                raise OutOfBudget from error
            raise Failed(f"expression '{self.text}' resulted in error: {error}") from error
        except cel.EvaluationError as error:
            raise Failed(f"expression '{self.text}' resulted in error: {error}") from error
        finally:
            budget.left -= limit - max(own.left, 0)


def compile_one(
    text: str, variables: Mapping[str, cel.Type], wanted: Sequence[cel.Type], more: Sequence[Overload] = ()
) -> Expression:
    """`wanted`: the types of which the result may be one."""
    try:
        program = cel.compile_expression(text, variables, (*FUNCTIONS, *more))
    except cel.CompileError as error:
        return Expression(text, None, f"compilation failed: {error}")
    if program.result_type != cel.DYN and not any(program.result_type == each for each in wanted):
        return Expression(text, None, _mismatch(program.result_type, wanted))
    return Expression(text, program)


def _mismatch(found: cel.Type, wanted: Sequence[cel.Type]) -> str:
    if len(wanted) == 1:
        return f"must evaluate to {wanted[0]}"
    return f"must evaluate to one of {[str(each) for each in wanted]}, not {found}".replace("'", "")


@dataclass(frozen=True, slots=True)
class Named:
    """A policy's variable."""

    name: str
    expression: Expression


def compile_variables(
    given: Sequence[Mapping[str, str]], environment: Mapping[str, cel.Type]
) -> tuple[list[Named], dict[str, cel.Type]]:
    """The policy's variables, and the environment with `variables` in it. Each may use those before it."""
    fields: dict[str, cel.Type] = {}
    found: list[Named] = []
    for each in given:
        name = each.get("name", "")
        known = dict(fields)
        holder = {**environment, "variables": _holder(known)}
        expression = compile_any(each.get("expression", ""), holder)
        found.append(Named(name, expression))
        fields[name] = expression.program.result_type if expression.program is not None else cel.DYN
    return found, {**environment, "variables": _holder(fields)}


def _holder(fields: Mapping[str, cel.Type]) -> cel.Type:
    return cel.object_of("kubernetes.variables", lambda: fields)


def compile_any(text: str, variables: Mapping[str, cel.Type]) -> Expression:
    """The result may be of any type."""
    try:
        return Expression(text, cel.compile_expression(text, variables, FUNCTIONS))
    except cel.CompileError as error:
        return Expression(text, None, f"compilation failed: {error}")


def with_variables(values: dict[str, Any], named: Sequence[Named], budget: cel.Budget) -> dict[str, Any]:
    """The values with `variables` among them."""
    made = dict(values)

    def compute(each: Named) -> Any:
        try:
            return each.expression.evaluate(made, budget)
        except Failed as error:
            raise cel.EvaluationError(
                f'composited variable "{each.name}" fails to evaluate: {error}'
            ) from error

    made["variables"] = Variables({each.name: partial(compute, each) for each in named})
    return made

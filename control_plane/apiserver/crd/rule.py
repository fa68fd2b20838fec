"""One CEL rule of a schema: compiled, and evaluated on a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from control_plane.api import errors
from control_plane.api.errors import FieldError
from control_plane.apiserver import cel
from control_plane.apiserver.cel.operators import NO_OVERLOAD
from control_plane.apiserver.cel.types import optional_of
from control_plane.apiserver.cel.values import NONE, Optional
from control_plane.apiserver.cel.walk import names
from control_plane.apiserver.crd import cel_types, field_paths
from control_plane.apiserver.crd.correlation import NEW
from control_plane.apiserver.crd.rules import out_of_budget

Schema = Mapping[str, Any]

MAX_MESSAGE_CHARS = 5 * 1024


@dataclass(slots=True)
class Finding:
    error: FieldError
    stops: bool = False  # no further rule is looked at


class Case:
    """A value that rules judge, with what it was. What expressions see of it is made once."""

    def __init__(self, value: Any, old: Any, schema: Schema, path: str) -> None:
        self.value = value
        self.old = old
        self.schema = schema
        self.path = path

    @property
    def kind(self) -> str:
        return str(self.schema.get("type") or "")

    @cached_property
    def seen(self) -> Any:
        return cel_types.value_of(self.value, self.schema)

    @cached_property
    def seen_old(self) -> Any:
        return None if self.old is NEW else cel_types.value_of(self.old, self.schema)


def compiled(schema: Schema, declared: Sequence[Mapping[str, Any]], is_root: bool) -> list[Rule]:
    return [Rule(each, schema, is_root) for each in declared]


class Rule:
    """`problem` and `message_problem` say why it, or its messageExpression, does not compile."""

    def __init__(self, declared: Mapping[str, Any], schema: Schema, is_root: bool) -> None:
        self.text: str = declared.get("rule", "")
        self._message: str = declared.get("message", "").strip()
        self._reason: str = declared.get("reason") or ""
        self._optional = bool(declared.get("optionalOldSelf"))
        self._field_path = field_paths.normalized(declared.get("fieldPath", ""))
        self.problem = self.message_problem = ""
        self.program: cel.Program | None = None
        self.message_program: cel.Program | None = None
        self_type = cel_types.type_of(schema, is_root) or cel.DYN
        old_type = optional_of(self_type) if self._optional else self_type
        self._variables = {"self": self_type, "oldSelf": old_type}
        self._compile(declared.get("messageExpression", ""))

    def _compile(self, message_expression: str) -> None:
        try:
            self.program = cel.compile_expression(self.text, self._variables)
            if self.program.result_type not in (cel.BOOL, cel.DYN):
                self.problem = "cel expression must evaluate to a bool"
        except cel.CompileError as error:
            self.problem = f"compilation failed: {error}"
        if not message_expression.strip():
            return
        try:
            self.message_program = cel.compile_expression(message_expression, self._variables)
            if self.message_program.result_type not in (cel.STRING, cel.DYN):
                self.message_problem = "messageExpression must evaluate to a string"
        except cel.CompileError as error:
            self.message_problem = f"messageExpression compilation failed: {error}"

    @cached_property
    def uses_old_self(self) -> bool:
        return self.program is not None and "oldSelf" in names(self.program.tree)

    def judge(self, case: Case, budget: cel.Budget) -> Finding | None:
        """None where the rule holds."""
        where = case.path or "<nil>"
        if self.problem or self.program is None:
            return Finding(errors.invalid_value(where, case.kind, f"rule compile error: {self.problem}"))
        if self.uses_old_self and case.old is NEW and not self._optional:
            return None
        call = cel.Budget(min(cel.PER_CALL_LIMIT, budget.left))
        before = call.left
        try:
            holds = self.program.evaluate(self._values(case), call)
        except cel.BudgetExceeded as error:
            return Finding(self._too_dear(case, str(error), before), stops=True)
        except cel.EvaluationError as error:
            return Finding(errors.invalid_value(where, case.kind, self._explain(str(error))))
        finally:
            budget.left -= before - max(call.left, 0)
        if holds is True:
            return None
        return Finding(self._error(case, budget))

    def _values(self, case: Case) -> dict[str, Any]:
        old = case.seen_old
        if self._optional:
            old = NONE if case.old is NEW else Optional(old)
        return {"self": case.seen, "oldSelf": old}

    def _too_dear(self, case: Case, why: str, limit: int) -> FieldError:
        if limit < cel.PER_CALL_LIMIT:
            return out_of_budget(case.path, case.kind)
        stopped = "no further validation rules will be run due to call cost exceeds limit for rule"
        told = f"'{why}': {stopped}: {self._shown()}"
        return errors.invalid_value(case.path or "<nil>", case.kind, told)

    def _explain(self, why: str) -> str:
        if why.startswith(NO_OVERLOAD):
            return (
                f"'{why}': call arguments did not match a supported operator, function or macro signature "
                f"for rule: {self._shown()}"
            )
        return f"{why} evaluating rule: {self._shown()}"

    def _shown(self) -> str:
        return self._message or self.text.strip()

    def _error(self, case: Case, budget: cel.Budget) -> FieldError:
        detail = self._told(case, budget) or self._message or f"failed rule: {self.text.strip()}"
        path = field_paths.joined(case.path, self._field_path) or "<nil>"
        value = errors.NO_VALUE if case.kind in ("object", "array") else case.value
        match self._reason:
            case "FieldValueForbidden":
                return errors.forbidden_field(path, detail)
            case "FieldValueRequired":
                return errors.required(path, detail)
            case "FieldValueDuplicate":
                return errors.duplicate(path, value)
        return errors.invalid_value(path, value, detail)

    def _told(self, case: Case, budget: cel.Budget) -> str:
        """What messageExpression says, if it says something that can be shown."""
        if self.message_program is None or self.message_problem:
            return ""
        try:
            told = self.message_program.evaluate(self._values(case), budget)
        except cel.EvaluationError:
            return ""
        usable = isinstance(told, str) and "\n" not in told and len(told) <= MAX_MESSAGE_CHARS
        return told.strip() if usable else ""

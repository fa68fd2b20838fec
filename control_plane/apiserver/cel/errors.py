"""What can go wrong with an expression.

CELError
├── CompileError       it does not parse, or does not type-check
└── EvaluationError    it has no value for these inputs
    └── BudgetExceeded     it costs too much
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CELError(Exception):
    """Root of this package's errors."""


@dataclass(frozen=True, slots=True)
class Issue:
    at: int  # offset into the text
    message: str


class CompileError(CELError):
    """The text of the exception shows every issue with its place."""

    def __init__(self, text: str, issues: Sequence[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("\n".join(_show(text, issue) for issue in issues))


def _show(text: str, issue: Issue) -> str:
    at = min(issue.at, len(text))
    line_start = text.rfind("\n", 0, at) + 1
    line = text[line_start:].partition("\n")[0]
    number, column = text.count("\n", 0, at) + 1, at - line_start
    return f"ERROR: <input>:{number}:{column + 1}: {issue.message}\n | {line}\n | {'.' * column}^"


class EvaluationError(CELError):
    pass


class BudgetExceeded(EvaluationError):
    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")

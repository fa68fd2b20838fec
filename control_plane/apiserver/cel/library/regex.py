"""Kubernetes' regex: find and findAll."""

from __future__ import annotations

from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library
from control_plane.apiserver.cel.library.standard import matching_cost
from control_plane.apiserver.crd import patterns

LIBRARY = Library()
declare = LIBRARY.declare


def _cost(text: str, pattern: str, limit: int = -1) -> int:
    return matching_cost(text, pattern)


@declare("method find(string, string) -> string", cost=_cost)
def find(text: str, pattern: str) -> str:
    try:
        found = patterns.compiled(pattern).search(text)
    except ValueError as error:
        raise EvaluationError(f"Illegal regex: {error}") from error
    return str(found[0]) if found is not None else ""


@declare(
    "method findAll(string, string) -> list(string)",
    "method findAll(string, string, int) -> list(string)",
    cost=_cost,
)
def find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    try:
        found = [each[0] for each in patterns.compiled(pattern).finditer(text)]
    except ValueError as error:
        raise EvaluationError(f"Illegal regex: {error}") from error
    return found if limit < 0 else found[:limit]

"""Sizes, and the basics of strings."""

from __future__ import annotations

from typing import Any

from control_plane.apiserver.cel import operators
from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library
from control_plane.apiserver.cel.values import TypeValue
from control_plane.apiserver.crd import patterns

LIBRARY = Library()
declare = LIBRARY.declare


def _one(*arguments: Any) -> int:
    return 1


def matching_cost(text: str, pattern: str) -> int:
    return 1 + (len(text) // 10 + 1) * (len(pattern) // 4 + 1)


@declare(
    *(
        f"{kind} size({type_}) -> int"
        for kind in ("function", "method")
        for type_ in ("string", "bytes", "list(<A>)", "map(<A>, <B>)")
    ),
    cost=_one,
)
def size(value: Any) -> int:
    return len(value)


@declare("method contains(string, string) -> bool")
def contains(text: str, part: str) -> bool:
    return part in text


@declare("method startsWith(string, string) -> bool")
def starts_with(text: str, prefix: str) -> bool:
    return text.startswith(prefix)


@declare("method endsWith(string, string) -> bool")
def ends_with(text: str, suffix: str) -> bool:
    return text.endswith(suffix)


@declare(
    "method matches(string, string) -> bool", "function matches(string, string) -> bool", cost=matching_cost
)
def matches(text: str, pattern: str) -> bool:
    try:
        return patterns.compiled(pattern).search(text) is not None
    except ValueError as error:
        raise EvaluationError(f"error parsing regexp: {error}") from error


@declare("function type(<A>) -> type", cost=_one)
def type_(value: Any) -> TypeValue:
    return TypeValue(operators.type_of(value))


@declare("function dyn(<A>) -> dyn", cost=_one)
def dyn(value: Any) -> Any:
    return value

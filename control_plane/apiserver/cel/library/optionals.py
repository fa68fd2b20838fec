"""Values that may be absent."""

from __future__ import annotations

from typing import Any

from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library
from control_plane.apiserver.cel.values import NONE, Optional

LIBRARY = Library()
declare = LIBRARY.declare


@declare("function optional.of(<A>) -> optional(<A>)")
def of(value: Any) -> Optional:
    return Optional(value)


@declare("function optional.none() -> optional(<A>)")
def none() -> Optional:
    return NONE


@declare("function optional.ofNonZeroValue(<A>) -> optional(<A>)")
def of_non_zero(value: Any) -> Optional:
    return Optional(value) if value else NONE


@declare("method hasValue(optional(<A>)) -> bool")
def has_value(optional: Optional) -> bool:
    return optional.present


@declare("method value(optional(<A>)) -> <A>")
def value(optional: Optional) -> Any:
    if not optional.present:
        raise EvaluationError("optional.none() dereference")
    return optional.value


@declare("method first(list(<A>)) -> optional(<A>)", cost=lambda items: 1)
def first(items: list[Any]) -> Optional:
    return Optional(items[0]) if items else NONE


@declare("method last(list(<A>)) -> optional(<A>)", cost=lambda items: 1)
def last(items: list[Any]) -> Optional:
    return Optional(items[-1]) if items else NONE


@declare("method or(optional(<A>), optional(<A>)) -> optional(<A>)")
def or_(optional: Optional, other: Optional) -> Optional:
    return optional if optional.present else other


@declare("method orValue(optional(<A>), <A>) -> <A>")
def or_value(optional: Optional, other: Any) -> Any:
    return optional.value if optional.present else other


@declare(
    "function optional.unwrap(list(optional(<A>))) -> list(<A>)",
    "method unwrapOpt(list(optional(<A>))) -> list(<A>)",
)
def unwrap(items: list[Any]) -> list[Any]:
    return [each.value for each in items if each.present]

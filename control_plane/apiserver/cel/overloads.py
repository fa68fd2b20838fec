"""Operators: which types they take, and their code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.apiserver.cel import operators
from control_plane.apiserver.cel.errors import BudgetExceeded, EvaluationError
from control_plane.apiserver.cel.frame import Code, Frame
from control_plane.apiserver.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    assignable,
    join,
    optional_of,
)
from control_plane.apiserver.cel.values import Optional

_NUMBERS = (INT, UINT, DOUBLE)
_ORDERED = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, DURATION, TIMESTAMP)

Types = Sequence[Type]


@dataclass(frozen=True, slots=True)
class Operator:
    result: Callable[[Types], Type | None]  # None where it does not take these types
    code: Callable[[Sequence[Code]], Code]


def _booleans(types: Types) -> Type | None:
    return BOOL if all(each in (BOOL, DYN) for each in types) else None


def _same(types: Types) -> Type | None:
    one, other = types
    return BOOL if assignable(one, other) or assignable(other, one) else None


def _comparable(types: Types) -> Type | None:
    one, other = types
    if DYN in types:
        return BOOL if all(each == DYN or each in _ORDERED for each in types) else None
    if one in _NUMBERS and other in _NUMBERS:
        return BOOL
    return BOOL if one == other and one in _ORDERED else None


def _sum(types: Types) -> Type | None:
    one, other = types
    if one.name == other.name == "list":
        return join(one, other)
    if DYN in types:
        known = other if one == DYN else one
        return known if known in (INT, UINT, DOUBLE, STRING, BYTES) or known.name == "list" else DYN
    if {one, other} == {TIMESTAMP, DURATION}:
        return TIMESTAMP
    return one if one == other and one in (INT, UINT, DOUBLE, STRING, BYTES, DURATION) else None


def _difference(types: Types) -> Type | None:
    one, other = types
    if DYN in types:
        known = other if one == DYN else one
        return known if known in _NUMBERS else DYN
    if one == TIMESTAMP:
        return {TIMESTAMP: DURATION, DURATION: TIMESTAMP}.get(other)
    return one if one == other and one in (*_NUMBERS, DURATION) else None


def _arithmetic(types: Types) -> Type | None:
    one, other = types
    if DYN in types:
        known = other if one == DYN else one
        return known if known in (*_NUMBERS, DYN) else None
    return one if one == other and one in _NUMBERS else None


def _integers(types: Types) -> Type | None:
    found = _arithmetic(types)
    return None if found == DOUBLE else found


def _negative(types: Types) -> Type | None:
    return types[0] if types[0] in (INT, DOUBLE, DURATION, DYN) else None


def _member_of(types: Types) -> Type | None:
    item, holder = types
    if holder == DYN:
        return BOOL
    if holder.name == "list":
        return BOOL if assignable(holder.element, item) else None
    if holder.name == "map":
        return BOOL if assignable(holder.parameters[0], item) else None
    return None


def _indexed(types: Types) -> Type | None:
    holder, key = types
    if holder == DYN:
        return DYN
    if holder.name == "list":
        return holder.element if key in (INT, UINT, DOUBLE, DYN) else None
    if holder.name == "map":
        return holder.element if assignable(holder.parameters[0], key) else None
    return None


def _optionally_indexed(types: Types) -> Type | None:
    holder = types[0]
    inner = holder.parameters[0] if holder.name == "optional" and holder.parameters else holder
    found = _indexed((inner, types[1]))
    if found is None:
        return None
    return optional_of(found)


def _indexed_through(types: Types) -> Type | None:
    """Indexing an optional gives an optional."""
    return _optionally_indexed(types) if types[0].name == "optional" else _indexed(types)


def _chosen(types: Types) -> Type | None:
    condition, then, otherwise = types
    return join(then, otherwise) if condition in (BOOL, DYN) else None


def _and(codes: Sequence[Code]) -> Code:
    return _lazy(codes, decides=False)


def _or(codes: Sequence[Code]) -> Code:
    return _lazy(codes, decides=True)


def _lazy(codes: Sequence[Code], decides: bool) -> Code:
    left, right = codes

    def code(frame: Frame) -> Any:
        try:
            if operators.boolean(left(frame)) is decides:
                return decides
        except BudgetExceeded:
            raise
        except EvaluationError:
            if operators.boolean(right(frame)) is decides:
                return decides
            raise
        return operators.boolean(right(frame))

    return code


def _conditional(codes: Sequence[Code]) -> Code:
    condition, then, otherwise = codes
    return lambda frame: then(frame) if operators.boolean(condition(frame)) else otherwise(frame)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Sequence[Code]], Code]:
    def make(codes: Sequence[Code]) -> Code:
        left, right = codes

        def code(frame: Frame) -> Any:
            one, other = left(frame), right(frame)
            frame.budget.left -= 1
            if type(one) is str and len(one) > 10:
                frame.budget.charge_for(len(one))
            return function(one, other)

        return code

    return make


def _charging(function: Callable[[Any, Any, Any], Any]) -> Callable[[Sequence[Code]], Code]:
    def make(codes: Sequence[Code]) -> Code:
        left, right = codes

        def code(frame: Frame) -> Any:
            frame.budget.charge(1)
            return function(left(frame), right(frame), frame.budget)

        return code

    return make


def _unary(function: Callable[[Any], Any]) -> Callable[[Sequence[Code]], Code]:
    def make(codes: Sequence[Code]) -> Code:
        operand = codes[0]
        return lambda frame: function(operand(frame))

    return make


def _index(holder: Any, key: Any) -> Any:
    if isinstance(holder, Optional):
        return operators.optional_index(holder, key)
    return operators.index(holder, key)


OPERATORS: Mapping[str, Operator] = {
    "_&&_": Operator(_booleans, _and),
    "_||_": Operator(_booleans, _or),
    "!_": Operator(_booleans, _unary(lambda value: not operators.boolean(value))),
    "_?_:_": Operator(_chosen, _conditional),
    "_==_": Operator(_same, _binary(operators.equal)),
    "_!=_": Operator(_same, _binary(lambda one, other: not operators.equal(one, other))),
    "_<_": Operator(_comparable, _binary(operators.less)),
    "_>_": Operator(_comparable, _binary(lambda one, other: operators.less(other, one))),
    "_<=_": Operator(
        _comparable,
        _binary(lambda one, other: operators.less(one, other) or operators.equal(one, other)),
    ),
    "_>=_": Operator(
        _comparable,
        _binary(lambda one, other: operators.less(other, one) or operators.equal(one, other)),
    ),
    "_+_": Operator(_sum, _charging(operators.add)),
    "_-_": Operator(_difference, _binary(operators.subtract)),
    "_*_": Operator(_arithmetic, _binary(operators.multiply)),
    "_/_": Operator(_arithmetic, _binary(operators.divide)),
    "_%_": Operator(_integers, _binary(operators.modulo)),
    "-_": Operator(_negative, _unary(operators.negate)),
    "@in": Operator(_member_of, _charging(operators.contains)),
    "_[_]": Operator(_indexed_through, _binary(_index)),
    "_[?_]": Operator(_optionally_indexed, _binary(operators.optional_index)),
}

"""What operators do with values whose types are known only when they run. Each raises EvaluationError."""

from __future__ import annotations

import math
from typing import Any

from control_plane.apiserver.cel.budget import Budget
from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Type,
    list_of,
    map_of,
    optional_of,
)
from control_plane.apiserver.cel.values import (
    MAX_DURATION_NS,
    NANOS,
    Duration,
    KeyedList,
    Optional,
    SetList,
    Timestamp,
    TypeValue,
    Uint,
)

NO_OVERLOAD = "no such overload"
INT_MIN, INT_MAX, UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_TIMES = range(-62135596800 * NANOS, 253402300800 * NANOS)  # the years 1 to 9999

_TYPES: dict[type, Type] = {
    bool: BOOL,
    int: INT,
    Uint: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    type(None): NULL,
    Duration: DURATION,
    Timestamp: TIMESTAMP,
    TypeValue: TYPE,
    list: list_of(DYN),
    SetList: list_of(DYN),
    KeyedList: list_of(DYN),
    dict: map_of(DYN, DYN),
    Optional: optional_of(DYN),
}


def type_of(value: Any) -> Type:
    known = _TYPES.get(type(value))
    if known is not None:
        return known
    named = getattr(value, "cel_type", None)
    return named if isinstance(named, Type) else DYN


def register(class_: type, type_: Type) -> None:
    """Make instances of a class values of an opaque type."""
    _TYPES[class_] = type_


def no_overload() -> EvaluationError:
    return EvaluationError(NO_OVERLOAD)


def boolean(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise no_overload()


_NUMBERS = (int, Uint, float)


def equal(one: Any, other: Any) -> bool:
    """Numbers are equal across types, everything else only within one; lists that are sets have no order."""
    kind = type(one)
    if kind is type(other) and kind in (str, bool, int):
        return bool(one == other)
    if kind in _NUMBERS and type(other) in _NUMBERS:
        return bool(one == other)
    if isinstance(one, dict):
        if not isinstance(other, dict) or len(one) != len(other):
            return False
        return all(key in other and equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and _lists_equal(one, other)
    if isinstance(one, Optional):
        return isinstance(other, Optional) and one.present is other.present and equal(one.value, other.value)
    return bool(kind is type(other) and one == other)


def _lists_equal(one: list[Any], other: list[Any]) -> bool:
    if isinstance(one, SetList):
        return all(any(equal(item, each) for each in other) for item in one)
    if isinstance(one, KeyedList):
        theirs = {one.key(item): item for item in other}
        return all(one.key(item) in theirs and equal(item, theirs[one.key(item)]) for item in one)
    return all(equal(item, each) for item, each in zip(one, other, strict=True))


def less(one: Any, other: Any) -> bool:
    kind = type(one)
    if kind in _NUMBERS and type(other) in _NUMBERS:
        return bool(one < other)
    if kind is type(other) and kind in (str, bytes, bool, Duration, Timestamp):
        if kind is str:
            return bool(one.encode("utf-8", "surrogatepass") < other.encode("utf-8", "surrogatepass"))
        return bool(one < other)
    raise no_overload()


def contains(item: Any, holder: Any, budget: Budget) -> bool:
    """`item in holder`."""
    if isinstance(holder, dict):
        return not isinstance(item, list | dict) and item in holder
    if isinstance(holder, list):
        budget.charge(len(holder))
        return any(equal(item, each) for each in holder)
    raise no_overload()


def index(holder: Any, key: Any) -> Any:
    if isinstance(holder, list):
        if isinstance(key, bool) or not isinstance(key, int | float):
            raise no_overload()
        at = int(key)
        if at != key or not 0 <= at < len(holder):
            raise EvaluationError(f"index out of bounds: {key}")
        return holder[at]
    if isinstance(holder, dict):
        try:
            return holder[key]
        except (KeyError, TypeError):
            raise EvaluationError(f"no such key: {key}") from None
    raise no_overload()


def optional_index(holder: Any, key: Any) -> Optional:
    if isinstance(holder, Optional):
        return optional_index(holder.value, key) if holder.present else holder
    try:
        return Optional(index(holder, key))
    except EvaluationError as error:
        if str(error) == NO_OVERLOAD:
            raise
        return Optional(None, False)


def select(holder: Any, name: str) -> Any:
    if isinstance(holder, dict):
        try:
            return holder[name]
        except KeyError:
            raise EvaluationError(f"no such key: {name}") from None
    if isinstance(holder, Optional):
        return select_optional(holder, name)
    raise no_overload()


def select_optional(holder: Any, name: str) -> Optional:
    if isinstance(holder, Optional):
        return select_optional(holder.value, name) if holder.present else holder
    if not isinstance(holder, dict):
        raise no_overload()
    return Optional(holder[name]) if name in holder else Optional(None, False)


def add(one: Any, other: Any, budget: Budget) -> Any:
    kind = type(one)
    if isinstance(one, list) and isinstance(other, list):
        budget.charge(len(one) + len(other))
        return _joined(one, other)
    if kind is Timestamp and type(other) is Duration:
        return _timestamp(one.nanos + other.nanos)
    if kind is Duration and type(other) is Timestamp:
        return _timestamp(one.nanos + other.nanos)
    if kind is not type(other):
        raise no_overload()
    match one:
        case bool():
            raise no_overload()
        case int():
            return integer(one + other, kind)
        case float():
            return one + other
        case str() | bytes():
            budget.charge_for(len(one) + len(other))
            return one + other
        case Duration():
            return _duration(one.nanos + other.nanos)
    raise no_overload()


def _joined(one: list[Any], other: list[Any]) -> list[Any]:
    if isinstance(one, SetList):
        return SetList([*one, *(item for item in other if not any(equal(item, each) for each in one))])
    if isinstance(one, KeyedList):
        merged = {one.key(item): item for item in one}
        merged.update({one.key(item): item for item in other})
        return KeyedList(list(merged.values()), one.keys)
    return [*one, *other]


def subtract(one: Any, other: Any) -> Any:
    kind = type(one)
    if kind is Timestamp:
        if type(other) is Timestamp:
            return _duration(one.nanos - other.nanos)
        if type(other) is Duration:
            return _timestamp(one.nanos - other.nanos)
    if kind is not type(other) or kind is bool:
        raise no_overload()
    match one:
        case int():
            return integer(one - other, kind)
        case float():
            return one - other
        case Duration():
            return _duration(one.nanos - other.nanos)
    raise no_overload()


def multiply(one: Any, other: Any) -> Any:
    kind = _same_number(one, other)
    return one * other if kind is float else integer(one * other, kind)


def divide(one: Any, other: Any) -> Any:
    kind = _same_number(one, other)
    if kind is float:
        if other == 0:
            return (
                math.nan
                if one == 0 or math.isnan(one)
                else math.copysign(math.inf, one) * math.copysign(1, other)
            )
        return one / other
    if other == 0:
        raise EvaluationError("division by zero")
    quotient = abs(one) // abs(other)
    return integer(quotient if (one < 0) == (other < 0) else -quotient, kind)


def modulo(one: Any, other: Any) -> Any:
    kind = _same_number(one, other)
    if kind is float:
        raise no_overload()
    if other == 0:
        raise EvaluationError("modulus by zero")
    rest = abs(one) % abs(other)
    return integer(-rest if one < 0 else rest, kind)


def negate(value: Any) -> Any:
    if type(value) is int:
        return integer(-value, int)
    if type(value) is float:
        return -value
    if type(value) is Duration:
        return _duration(-value.nanos)
    raise no_overload()


def _same_number(one: Any, other: Any) -> type:
    kind = type(one)
    if kind is not type(other) or kind not in _NUMBERS:
        raise no_overload()
    return kind


def integer(value: int, kind: type) -> int:
    if kind is Uint:
        if not 0 <= value <= UINT_MAX:
            raise EvaluationError("unsigned integer overflow")
        return Uint(value)
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError("integer overflow")
    return value


def _duration(nanos: int) -> Duration:
    if abs(nanos) > MAX_DURATION_NS:
        raise EvaluationError("integer overflow")
    return Duration(nanos)


def _timestamp(nanos: int) -> Timestamp:
    if nanos not in _TIMES:
        raise EvaluationError("timestamp overflow")
    return Timestamp(nanos)

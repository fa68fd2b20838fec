"""Between types: int(), uint(), double(), string(), bytes(), bool(), duration(), timestamp()."""

from __future__ import annotations

import math
from typing import Any

from control_plane.apiserver.cel import operators
from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library
from control_plane.apiserver.cel.values import NANOS, Duration, Timestamp, Uint

LIBRARY = Library()
declare = LIBRARY.declare

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}


@declare("function int(int) -> int", "function int(uint) -> int", "function int(double) -> int")
def to_int(value: float) -> int:
    if isinstance(value, float):
        if not math.isfinite(value) or abs(value) >= 1 << 63:
            raise EvaluationError("integer overflow")
        value = math.trunc(value)
    return operators.integer(int(value), int)


@declare("function int(string) -> int")
def parse_int(text: str) -> int:
    return operators.integer(_digits(text, "int"), int)


@declare("function int(timestamp) -> int")
def seconds(at: Timestamp) -> int:
    return at.nanos // NANOS


@declare("function uint(uint) -> uint", "function uint(int) -> uint", "function uint(double) -> uint")
def to_uint(value: float) -> int:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise EvaluationError("unsigned integer overflow")
        value = math.trunc(value)
    return operators.integer(int(value), Uint)


@declare("function uint(string) -> uint")
def parse_uint(text: str) -> int:
    return operators.integer(_digits(text, "uint"), Uint)


@declare(
    "function double(double) -> double", "function double(int) -> double", "function double(uint) -> double"
)
def to_double(value: float) -> float:
    return float(value)


@declare("function double(string) -> double")
def parse_double(text: str) -> float:
    try:
        if "_" in text or text != text.strip():
            raise ValueError(text)
        return float(text)
    except ValueError:
        raise EvaluationError(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from None


@declare(
    *(
        f"function string({type_}) -> string"
        for type_ in ("string", "int", "uint", "double", "bool", "bytes", "duration", "timestamp")
    )
)
def to_string(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return number(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None
        case Duration() | Timestamp():
            return value.text()
    return str(value)


def number(value: float) -> str:
    """As Go's %g prints it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    mantissa, found, exponent = text.partition("e")
    if found:
        return f"{mantissa.removesuffix('.0')}e{int(exponent):+03d}"
    if abs(value) >= 1e21:
        return f"{value:e}"
    return text.removesuffix(".0")


@declare("function bytes(string) -> bytes", "function bytes(bytes) -> bytes")
def to_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


@declare("function bool(bool) -> bool")
def same_bool(value: bool) -> bool:
    return value


@declare("function bool(string) -> bool")
def parse_bool(text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise EvaluationError(f'type conversion error from string to bool: "{text}"')


@declare("function duration(string) -> duration", "function duration(duration) -> duration")
def to_duration(value: Any) -> Duration:
    return value if isinstance(value, Duration) else Duration.parse(value)


@declare("function duration(int) -> duration")
def nanoseconds(value: int) -> Duration:
    return Duration(value)


@declare("function timestamp(string) -> timestamp", "function timestamp(timestamp) -> timestamp")
def to_timestamp(value: Any) -> Timestamp:
    return value if isinstance(value, Timestamp) else Timestamp.parse(value)


@declare("function timestamp(int) -> timestamp")
def from_epoch(value: int) -> Timestamp:
    at = Timestamp(value * NANOS)
    at.moment()
    return at


def _digits(text: str, kind: str) -> int:
    signed = text.removeprefix("-").removeprefix("+") if kind == "int" else text
    if not signed.isascii() or not signed.isdigit():
        raise EvaluationError(f"type conversion error from 'string' to '{kind}'")
    return int(text)

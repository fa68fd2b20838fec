"""Kubernetes' quantities."""

from __future__ import annotations

from control_plane.api import quantity as quantities
from control_plane.api.quantity import NANO, Quantity
from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library, opaque

LIBRARY = Library()
declare = LIBRARY.declare

INT64 = range(-(1 << 63), 1 << 63)

opaque("kubernetes.Quantity", Quantity)


@declare("function isQuantity(string) -> bool")
def is_quantity(text: str) -> bool:
    try:
        quantities.parse(text)
    except quantities.QuantityError:
        return False
    return True


@declare("function quantity(string) -> kubernetes.Quantity")
def quantity(text: str) -> Quantity:
    try:
        return quantities.parse(text)
    except quantities.QuantityError as error:
        raise EvaluationError(str(error)) from None


@declare("method isInteger(kubernetes.Quantity) -> bool")
def is_integer(value: Quantity) -> bool:
    return value.nanos % NANO == 0 and value.nanos // NANO in INT64


@declare("method asInteger(kubernetes.Quantity) -> int")
def as_integer(value: Quantity) -> int:
    if value.nanos % NANO or value.nanos // NANO not in INT64:
        raise EvaluationError("cannot convert value to integer")
    return value.nanos // NANO


@declare("method asApproximateFloat(kubernetes.Quantity) -> double")
def as_float(value: Quantity) -> float:
    return value.as_float()


@declare("method sign(kubernetes.Quantity) -> int")
def sign(value: Quantity) -> int:
    return (value.nanos > 0) - (value.nanos < 0)


@declare("method add(kubernetes.Quantity, kubernetes.Quantity) -> kubernetes.Quantity")
def add(one: Quantity, other: Quantity) -> Quantity:
    return one + other


@declare("method add(kubernetes.Quantity, int) -> kubernetes.Quantity")
def add_integer(one: Quantity, other: int) -> Quantity:
    return one + quantities.from_units(other)


@declare("method sub(kubernetes.Quantity, kubernetes.Quantity) -> kubernetes.Quantity")
def subtract(one: Quantity, other: Quantity) -> Quantity:
    return one - other


@declare("method sub(kubernetes.Quantity, int) -> kubernetes.Quantity")
def subtract_integer(one: Quantity, other: int) -> Quantity:
    return one - quantities.from_units(other)


@declare("method isLessThan(kubernetes.Quantity, kubernetes.Quantity) -> bool")
def is_less(one: Quantity, other: Quantity) -> bool:
    return one.nanos < other.nanos


@declare("method isGreaterThan(kubernetes.Quantity, kubernetes.Quantity) -> bool")
def is_greater(one: Quantity, other: Quantity) -> bool:
    return one.nanos > other.nanos


@declare("method compareTo(kubernetes.Quantity, kubernetes.Quantity) -> int")
def compare(one: Quantity, other: Quantity) -> int:
    return (one.nanos > other.nanos) - (one.nanos < other.nanos)

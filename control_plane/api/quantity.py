"""Resource quantities: `500m`, `1.5Gi`, `1e3`, with Kubernetes' exact arithmetic and canonical spelling.

A value is a whole number of nanos, the finest step the API keeps; a finer one is rounded up. Magnitudes
are capped at 2^63-1 units as upstream does. The spelling remembers its family (decimal, binary, exponent)
so that `1Gi` stays `1Gi` and a sum takes the family of its left side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal, localcontext
from enum import Enum
from functools import lru_cache, total_ordering
from typing import Any

NANO = 10**9
_MAX_NANOS = (2**63 - 1) * NANO
_MAX_DIGITS = 200  # longer spellings are refused before arithmetic
_CACHE_ENTRIES = 4096

_SYNTAX = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(.*)", re.ASCII | re.DOTALL)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]{1,5})", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_BINARY_SUFFIX = {power: suffix for suffix, power in _BINARY.items()} | {0: ""}

FORMAT_MESSAGE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


_SUFFIX_MESSAGE = "unable to parse quantity's suffix"
_SUFFIX_CHARS = re.compile(r"[eEinumkKMGTP]*[-+]?[0-9]*", re.ASCII)


class QuantityError(ValueError):
    """Not a quantity. The message is the one Kubernetes gives."""


class Format(Enum):
    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    nanos: int
    format: Format = Format.DECIMAL_SI

    def value(self) -> int:
        """In whole units, rounded away from zero."""
        return _divide_away(self.nanos, NANO)

    def milli_value(self) -> int:
        return _divide_away(self.nanos, NANO // 1000)

    def as_float(self) -> float:
        return self.nanos / NANO

    @property
    def is_zero(self) -> bool:
        return self.nanos == 0

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(_cap(self.nanos + other.nanos), other.format if self.is_zero else self.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(_cap(self.nanos - other.nanos), other.format if self.is_zero else self.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nanos, self.format)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __lt__(self, other: Quantity) -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __str__(self) -> str:
        """The canonical spelling: no fraction, the largest suffix that allows it."""
        if self.nanos == 0:
            return "0"
        if self.format is Format.BINARY_SI and abs(self.nanos) >= 1024 * NANO:
            return _binary_text(self.value())
        return _decimal_text(self.nanos, self.format is Format.DECIMAL_EXPONENT)


ZERO = Quantity(0)


@lru_cache(maxsize=_CACHE_ENTRIES)
def parse(text: str | int | float) -> Quantity:
    """JSON may hold a quantity as a string or as a number."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise QuantityError(FORMAT_MESSAGE)
    spelled = text if isinstance(text, str) else repr(text)
    if len(spelled) > _MAX_DIGITS:
        raise QuantityError(FORMAT_MESSAGE)
    match = _SYNTAX.fullmatch(spelled)
    assert match is not None, "the pattern takes every string"
    sign, whole, fraction, suffix = match.groups()
    if not whole and not fraction:
        raise QuantityError(FORMAT_MESSAGE)
    multiplier, form = _suffix(suffix)
    with localcontext() as context:
        context.prec = 2 * _MAX_DIGITS
        number = Decimal(f"{whole or '0'}.{fraction or '0'}") * multiplier * NANO
        nanos = _cap(int(number.to_integral_value(ROUND_UP)))
    return Quantity(-nanos if sign == "-" else nanos, form)


def parse_or_zero(text: Any) -> Quantity:
    """For objects that validation has passed: what is unset or odd counts nothing."""
    try:
        return ZERO if text is None else parse(text)
    except QuantityError:
        return ZERO


def canonical(text: str | int | float) -> str:
    return str(parse(text))


def from_units(units: int, form: Format = Format.DECIMAL_SI) -> Quantity:
    return Quantity(_cap(units * NANO), form)


def from_milli(milli: int) -> Quantity:
    return Quantity(_cap(milli * (NANO // 1000)))


def _suffix(suffix: str) -> tuple[Decimal, Format]:
    if suffix in _DECIMAL:
        return Decimal(10) ** _DECIMAL[suffix], Format.DECIMAL_SI
    if suffix in _BINARY:
        return Decimal(1024) ** _BINARY[suffix], Format.BINARY_SI
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None:
        raise QuantityError(_SUFFIX_MESSAGE if _SUFFIX_CHARS.fullmatch(suffix) else FORMAT_MESSAGE)
    power = max(min(int(exponent[1]), _MAX_DIGITS), -_MAX_DIGITS)
    return Decimal(10) ** power, Format.DECIMAL_EXPONENT


def _cap(nanos: int) -> int:
    return max(min(nanos, _MAX_NANOS), -_MAX_NANOS)


def _divide_away(number: int, divisor: int) -> int:
    """Integer division that rounds away from zero, as capacity must."""
    return -(-number // divisor) if number >= 0 else number // divisor


def _binary_text(units: int) -> str:
    power = 0
    while units % 1024 == 0 and power < max(_BINARY_SUFFIX):
        units //= 1024
        power += 1
    return f"{units}{_BINARY_SUFFIX[power]}"


def _decimal_text(nanos: int, exponent: bool) -> str:
    power = -9
    while nanos % 1000 == 0 and power < max(_DECIMAL_SUFFIX):
        nanos //= 1000
        power += 3
    if exponent:
        return f"{nanos}e{power}" if power else str(nanos)
    return f"{nanos}{_DECIMAL_SUFFIX[power]}"

"""What values are. JSON's own are Python's (bool, int, float, str, None, list, dict); the others are here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.types import Type

NANOS = 1_000_000_000
MAX_DURATION_NS = (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|μs|ns)", re.ASCII)
_UNITS = {
    "h": 3600 * NANOS,
    "m": 60 * NANOS,
    "s": NANOS,
    "ms": 1_000_000,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ns": 1,
}


class Uint(int):
    """An unsigned integer: a type of its own, so that 1u is told from 1."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    nanos: int

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Go's notation: `1h30m`, `-1.5s`. Raises EvaluationError."""
        rest = text.removeprefix("-").removeprefix("+")
        total = 0.0
        whole = 0
        if rest == "0":
            return cls(0)
        if not rest:
            raise EvaluationError(f'time: invalid duration "{text}"')
        while rest:
            match = _DURATION.match(rest)
            if match is None:
                raise EvaluationError(f'time: invalid duration "{text}"')
            unit = _UNITS[match[2]]
            integer, _, fraction = match[1].partition(".")
            whole += int(integer or 0) * unit
            total += float(f"0.{fraction or 0}") * unit
            rest = rest[match.end() :]
        nanos = whole + round(total)
        if nanos > MAX_DURATION_NS:
            raise EvaluationError(f'time: invalid duration "{text}"')
        return cls(-nanos if text.startswith("-") else nanos)

    def text(self) -> str:
        """Seconds, as CEL's string() gives them."""
        sign, nanos = ("-", -self.nanos) if self.nanos < 0 else ("", self.nanos)
        whole, rest = divmod(nanos, NANOS)
        fraction = f".{rest:09d}".rstrip("0").rstrip(".") if rest else ""
        return f"{sign}{whole}{fraction}s"


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    nanos: int  # since 1970

    @classmethod
    def parse(cls, text: str) -> Timestamp:
        """RFC 3339. Raises EvaluationError."""
        match = _RFC3339.fullmatch(text)
        try:
            if match is None:
                raise ValueError(text)
            zone = "+00:00" if match[8] in "Zz" else match[8]
            at = datetime.fromisoformat(f"{text[:10]}T{text[11:19]}{zone}")
        except ValueError:
            raise EvaluationError(f'parsing time "{text}" as RFC 3339: cannot parse "{text}"') from None
        return cls.of(at, int((match[7] or "0").ljust(9, "0")))

    @classmethod
    def of(cls, at: datetime, nanos: int = 0) -> Timestamp:
        since = at - _EPOCH
        return cls((since.days * 86400 + since.seconds) * NANOS + nanos)

    def moment(self) -> datetime:
        """Raises EvaluationError."""
        try:
            return _EPOCH + timedelta(seconds=self.nanos // NANOS)
        except OverflowError:
            raise EvaluationError("timestamp overflow") from None

    def text(self) -> str:
        rest = self.nanos % NANOS
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        return self.moment().strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


@dataclass(frozen=True, slots=True)
class Optional:
    """`present` tells optional.of(null) from optional.none()."""

    value: Any = None
    present: bool = True


NONE = Optional(None, False)


class Lazy:
    """A variable's value that is computed when an expression first uses it."""

    __slots__ = ("_compute", "_done", "_value")

    def __init__(self, compute: Callable[[], Any]) -> None:
        self._compute = compute
        self._done = False
        self._value: Any = None

    def get(self) -> Any:
        if not self._done:
            self._value = self._compute()
            self._done = True
        return self._value


@dataclass(frozen=True, slots=True)
class TypeValue:
    """A type as a value: `type(x) == int`."""

    type: Type


class SetList(list[Any]):
    """A list that is a set: its order does not count."""

    __slots__ = ()


class KeyedList(list[Any]):
    """A list that is a map by some of its elements' fields."""

    __slots__ = ("keys",)

    def __init__(self, items: list[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def key(self, item: Any) -> tuple[Any, ...]:
        return tuple(item.get(name) for name in self.keys) if isinstance(item, dict) else (id(item),)

"""A cause: what is said about which object, the facts behind it, what it comes from, what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MAX_SHOWN = 5  # of causes of the same kind under one object; the others are counted


@dataclass(frozen=True, slots=True)
class Cause:
    about: str  # pod/web-1
    says: str  # reads on after it: "is not ready"
    facts: tuple[str, ...] = ()
    because: tuple[Cause, ...] = ()
    do: tuple[str, ...] = ()
    healthy: bool = False

    def next_steps(self) -> list[str]:
        """From the roots of the trouble; each once."""
        return list(dict.fromkeys(self._steps()))

    def _steps(self) -> Iterator[str]:
        for each in self.because:
            yield from each._steps()
        yield from self.do

    def as_json(self) -> dict[str, Any]:
        return {
            "about": self.about,
            "says": self.says,
            "healthy": self.healthy,
            "facts": list(self.facts),
            "because": [each.as_json() for each in self.because],
        }


def grouped(causes: Sequence[Cause]) -> tuple[Cause, ...]:
    """Objects that fare alike are told once, with how many more there are; the others are bounded."""
    first: dict[tuple[object, ...], Cause] = {}
    more: dict[tuple[object, ...], int] = {}
    for cause in causes:
        key: tuple[object, ...] = (cause.says, cause.facts, tuple(each.says for each in cause.because))
        if key in first:
            more[key] = more.get(key, 0) + 1
        first.setdefault(key, cause)
    shown = []
    for key, cause in first.items():
        told = (f"and {more[key]} more like it",) if key in more else ()
        shown.append(
            Cause(cause.about, cause.says, cause.facts + told, cause.because, cause.do, cause.healthy)
        )
    return tuple(shown[:MAX_SHOWN])

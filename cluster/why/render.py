"""The answer as text for people and as JSON for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cluster.why.cause import Cause


def text(cause: Cause, complaints: Sequence[str] = ()) -> str:
    lines = [*_lines(cause, 0), *(f"(could not be seen: {each})" for each in complaints)]
    steps = cause.next_steps()
    if steps:
        lines += ["", "next:", *(f"  {step}" for step in steps)]
    return "\n".join(lines)


def document(cause: Cause, complaints: Sequence[str] = ()) -> dict[str, Any]:
    found = {**cause.as_json(), "next": cause.next_steps()}
    return {**found, "unseen": list(complaints)} if complaints else found


def _lines(cause: Cause, depth: int) -> Iterator[str]:
    indent = "   " * depth
    lead = "└─ " if depth else ""
    yield f"{'   ' * (depth - 1) if depth else ''}{lead}{cause.about} {cause.says}"
    for fact in cause.facts:
        yield f"{indent}   {fact}" if depth else f"   {fact}"
    for each in cause.because:
        yield from _lines(each, depth + 1)

"""`fieldPath` of a rule: `.spec.name` or `.labels['a/b']`, relative to where the rule stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_STEP = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")


def steps(path: str) -> list[str] | None:
    """The names of a path; None for what is none."""
    found, at = [], 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return None
        found.append(match[1] or re.sub(r"\\(.)", r"\1", match[2]))
        at = match.end()
    return found


def is_valid(path: str, schema: Schema) -> bool:
    """Whether it leads to a field of the schema."""
    found = steps(path.strip())
    if not found:
        return False
    current: Any = schema
    for name in found:
        if not isinstance(current, Mapping):
            return False
        properties = current.get("properties")
        if properties:
            current = properties.get(name)
        else:
            current = current.get("additionalProperties")
    return isinstance(current, Mapping)


def normalized(path: str) -> str:
    """As error messages show it, without the first dot."""
    found = steps(path.strip()) or []
    shown = ""
    for name in found:
        shown += f".{name}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name) else f"[{name}]"
    return shown.removeprefix(".")


def joined(base: str, below: str) -> str:
    if not below or not base:
        return base or below
    return f"{base}{below}" if below.startswith("[") else f"{base}.{below}"

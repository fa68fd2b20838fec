r"""JSONPath as printer columns, selectable fields and scale paths use it.

    .spec.replicas   .metadata.annotations['a/b'] or .metadata.annotations.a\.b   .spec.items[0].name
    .spec.items[*].name   .spec.items[1:3]   ..name   .status.conditions[?(@.type=="Ready")].status

A path is compiled once. What is missing is not found, which is no error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from control_plane.api.errors import ApiError

MAX_PATH_CHARS = 4096
CACHED_PATHS = 512


class JSONPathError(ApiError):
    """It is no JSONPath, or uses what is not supported."""


Step = Callable[[Any], Iterator[Any]]

_NAME = re.compile(r"(?:[^.\[\]()'\"\s\\*]|\\.)+")
_QUOTED = re.compile(r"\[(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\]")
_INDEX = re.compile(r"\[\s*(-?\d+)\s*\]")
_SLICE = re.compile(r"\[\s*(-?\d*)\s*:\s*(-?\d*)\s*(?::\s*(\d+)\s*)?\]")
_EVERY = re.compile(r"\[\s*\*\s*\]|\.\*")
_FILTER = re.compile(r"\[\?\(\s*@([^=!<>\s]*)\s*(?:(==|!=|<=|>=|<|>)\s*(.*?))?\s*\)\]")


@lru_cache(maxsize=CACHED_PATHS)
def compile_path(path: str) -> tuple[Step, ...]:
    """Raises JSONPathError."""
    if len(path) > MAX_PATH_CHARS:
        raise JSONPathError(f"is longer than {MAX_PATH_CHARS} characters")
    steps: list[Step] = []
    at = 1 if path.startswith("$") else 0
    while at < len(path):
        step, at = _step(path, at)
        steps.append(step)
    return tuple(steps)


def find(path: str, obj: Any) -> list[Any]:
    """What stands at the path, in order. Raises JSONPathError."""
    found: Iterable[Any] = [obj]
    for step in compile_path(path):
        found = [inner for value in found for inner in step(value)]
    return list(found)


def simple_path(path: str) -> tuple[str, ...] | None:
    """The field names of a path that consists of nothing else: `.spec.host`."""
    if not path.startswith("."):
        return None
    names, at = [], 0
    while at < len(path):
        named = _NAME.match(path, at + 1) if path[at] == "." else None
        if named is None:
            return None
        names.append(re.sub(r"\\(.)", r"\1", named[0]))
        at = named.end()
    return tuple(names)


def _step(path: str, at: int) -> tuple[Step, int]:
    for pattern, make in _BRACKETS:
        if found := pattern.match(path, at):
            return make(found), found.end()
    if path.startswith("..", at):
        named = _NAME.match(path, at + 2)
        if named is None:
            raise JSONPathError(f"unexpected end of recursive descent in {path!r}")
        return _everywhere(_unescape(named[0])), named.end()
    if path[at] == "." or at == 0:
        named = _NAME.match(path, at + (path[at] == "."))
        if named is not None:
            return _field(_unescape(named[0])), named.end()
    raise JSONPathError(f"unrecognized character in action: {path[at:]!r}")


def _unescape(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _every() -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value
        elif isinstance(value, dict):
            yield from value.values()

    return step


def _at(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _between(start: str, end: str, stride: str | None) -> Step:
    chosen = slice(int(start) if start else None, int(end) if end else None, int(stride) if stride else None)

    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[chosen]

    return step


def _everywhere(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            if name in value:
                yield value[name]
            for inner in value.values():
                yield from step(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from step(inner)

    return step


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    ">": lambda one, other: one > other,
    "<=": lambda one, other: one <= other,
    ">=": lambda one, other: one >= other,
}


def _filter(path: str, operator: str | None, literal: str | None) -> Step:
    steps = compile_path(path)
    wanted = _literal(literal) if operator else None

    def step(value: Any) -> Iterator[Any]:
        for item in value if isinstance(value, list) else ():
            found: list[Any] = [item]
            for inner in steps:
                found = [each for one in found for each in inner(one)]
            if found and (operator is None or _holds(operator, found[0], wanted)):
                yield item

    return step


def _holds(operator: str, value: Any, wanted: Any) -> bool:
    if operator in ("==", "!="):
        return _COMPARE[operator](value, wanted)
    try:
        return _COMPARE[operator](value, wanted)
    except TypeError:
        return False


def _literal(text: str | None) -> Any:
    text = (text or "").strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise JSONPathError(f"unterminated filter: {text!r}") from None


_BRACKETS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Step]], ...] = (
    (_EVERY, lambda found: _every()),
    (_QUOTED, lambda found: _field(_unescape(found[1] if found[1] is not None else found[2]))),
    (_INDEX, lambda found: _at(int(found[1]))),
    (_SLICE, lambda found: _between(found[1], found[2], found[3])),
    (_FILTER, lambda found: _filter(found[1], found[2], found[3])),
)

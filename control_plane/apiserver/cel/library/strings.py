"""The strings extension: charAt, indexOf, join, replace, split, substring, trim, format …"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from control_plane.apiserver.cel import operators
from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.functions import Library, item_cost
from control_plane.apiserver.cel.library.conversions import number
from control_plane.apiserver.cel.values import Duration, Timestamp, TypeValue, Uint

LIBRARY = Library()
declare = LIBRARY.declare

_DIRECTIVE = re.compile(r"%(?:\.(\d+))?([a-zA-Z%])")
_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
    "\u202f\u205f\u3000"
)


@declare("method charAt(string, int) -> string")
def char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


@declare("method indexOf(string, string) -> int", "method indexOf(string, string, int) -> int")
def index_of(text: str, part: str, start: int = 0) -> int:
    if not 0 <= start <= len(text):
        if not part:
            return start
        raise EvaluationError(f"index out of range: {start}")
    return text.find(part, start)


@declare("method lastIndexOf(string, string) -> int")
def last_index_of(text: str, part: str) -> int:
    return text.rfind(part)


@declare("method lastIndexOf(string, string, int) -> int")
def last_index_before(text: str, part: str, last: int) -> int:
    if not 0 <= last <= len(text):
        raise EvaluationError(f"index out of range: {last}")
    return text.rfind(part, 0, last + len(part))


@declare("method lowerAscii(string) -> string")
def lower_ascii(text: str) -> str:
    return "".join(each.lower() if "A" <= each <= "Z" else each for each in text)


@declare("method upperAscii(string) -> string")
def upper_ascii(text: str) -> str:
    return "".join(each.upper() if "a" <= each <= "z" else each for each in text)


@declare("method replace(string, string, string) -> string")
def replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


@declare("method replace(string, string, string, int) -> string")
def replace_some(text: str, old: str, new: str, count: int) -> str:
    return text.replace(old, new, count)


@declare("method split(string, string) -> list(string)")
def split(text: str, separator: str) -> list[str]:
    return list(text.split(separator)) if separator else list(text)


@declare("method split(string, string, int) -> list(string)")
def split_some(text: str, separator: str, count: int) -> list[str]:
    if count == 0:
        return []
    if count < 0:
        return text.split(separator) if separator else list(text)
    if separator:
        return text.split(separator, count - 1)
    return [*text[: count - 1], *([text[count - 1 :]] if text[count - 1 :] else [])]


@declare("method substring(string, int) -> string")
def substring(text: str, start: int) -> str:
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    return text[start:]


@declare("method substring(string, int, int) -> string")
def substring_between(text: str, start: int, end: int) -> str:
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    for each in (start, end):
        if not 0 <= each <= len(text):
            raise EvaluationError(f"index out of range: {each}")
    return text[start:end]


@declare("method trim(string) -> string")
def trim(text: str) -> str:
    return text.strip(_SPACE)


@declare("method reverse(string) -> string")
def reverse(text: str) -> str:
    return text[::-1]


@declare("function strings.quote(string) -> string")
def quote(text: str) -> str:
    escapes: dict[str, str] = {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
    }
    return '"' + "".join(escapes.get(each, "\\" + each if each in '\\"' else each) for each in text) + '"'


def _join_cost(items: list[Any], separator: str = "") -> int:
    return item_cost(items)


@declare(
    "method join(list(string)) -> string", "method join(list(string), string) -> string", cost=_join_cost
)
def join(items: list[Any], separator: str = "") -> str:
    if not all(isinstance(each, str) for each in items):
        raise operators.no_overload()
    return separator.join(str(each) for each in items)


@declare(
    "method format(string, list(dyn)) -> string", cost=lambda text, items: 1 + len(text) // 10 + len(items)
)
def format_(text: str, items: list[Any]) -> str:
    rest = iter(items)
    position, out = 0, []
    for found in _DIRECTIVE.finditer(text):
        out.append(text[position : found.start()])
        position = found.end()
        out.append("%" if found[2] == "%" else _directive(found[2], found[1], rest))
    if "%" in _DIRECTIVE.sub("", text):
        raise EvaluationError("could not parse formatting clause: unexpected end of string")
    return "".join([*out, text[position:]])


def _directive(letter: str, precision: str | None, rest: Iterator[Any]) -> str:
    try:
        value = next(rest)
    except StopIteration:
        raise EvaluationError("index out of range: too few arguments for the format") from None
    places = int(precision) if precision else 6
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match letter:
        case "s":
            return shown(value)
        case "d" if is_number:
            return number(value) if isinstance(value, float) else str(int(value))
        case "f" if is_number:
            return f"{float(value):.{places}f}"
        case "e" if is_number:
            return f"{float(value):.{places}e}"
        case "b" if isinstance(value, int):
            return f"{int(value):b}"
        case "o" if is_number and isinstance(value, int):
            return f"{value:o}"
        case "x" | "X":
            return _hexadecimal(value, letter)
    if letter not in "sdfebxXo":
        raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{letter}"')
    raise EvaluationError(
        f"error during formatting: {letter} clause can not be used with {operators.type_of(value)}"
    )


def _hexadecimal(value: Any, letter: str) -> str:
    if isinstance(value, str | bytes):
        digits: str = (value.encode() if isinstance(value, str) else value).hex()
        return digits.upper() if letter == "X" else digits
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:X}" if letter == "X" else f"{value:x}"
    raise EvaluationError(
        "error during formatting: only integers, byte buffers, and strings can be formatted as hex"
    )


def shown(value: Any) -> str:
    """A value as %s shows it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Uint():
            return str(int(value))
        case float():
            return number(value)
        case bytes():
            return value.decode("utf-8", "replace")
        case Duration() | Timestamp():
            return str(value.text())
        case TypeValue():
            return str(value.type)
        case list():
            return "[" + ", ".join(map(shown, value)) + "]"
        case dict():
            return (
                "{" + ", ".join(sorted(f"{shown(key)}: {shown(held)}" for key, held in value.items())) + "}"
            )
    return str(value)

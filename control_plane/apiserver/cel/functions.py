"""How functions are declared, and which overload is meant.

    @declare("method startsWith(string, string) -> bool")
    def starts_with(text, prefix): return text.startswith(prefix)

    @declare("function size(list(<A>)) -> int", "method size(list(<A>)) -> int")
    def size(items): return len(items)

A method's target is its first argument. `<A>` stands for any type, the same each time. Of what is known when the
expression is compiled the overload is chosen then, of what is dynamic when it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.apiserver.cel import operators, types
from control_plane.apiserver.cel.types import DYN, Type

_SCALARS = {
    "dyn": DYN,
    "bool": types.BOOL,
    "int": types.INT,
    "uint": types.UINT,
    "double": types.DOUBLE,
    "string": types.STRING,
    "bytes": types.BYTES,
    "null": types.NULL,
    "duration": types.DURATION,
    "timestamp": types.TIMESTAMP,
    "type": types.TYPE,
}
_SIGNATURE = re.compile(r"(function|method) ([\w.]+)\((.*)\) -> (.+)")

Cost = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Overload:
    name: str
    is_member: bool
    parameters: tuple[Type, ...]
    result: Type
    function: Callable[..., Any]
    cost: Cost

    def takes(self, arguments: Sequence[Any]) -> bool:
        """Whether these values are of the right types."""
        if len(arguments) != len(self.parameters):
            return False
        return all(_is(value, type_) for value, type_ in zip(arguments, self.parameters, strict=True))


def _is(value: Any, type_: Type) -> bool:
    if type_ == DYN or types.is_variable(type_):
        return True
    return operators.type_of(value).name == type_.name


class Library:
    """Functions by name."""

    def __init__(self, *others: Library) -> None:
        self._overloads: dict[str, list[Overload]] = {}
        for other in others:
            for name, overloads in other._overloads.items():
                self._overloads.setdefault(name, []).extend(overloads)

    def add(self, overloads: Iterable[Overload]) -> None:
        for each in overloads:
            self._overloads.setdefault(each.name, []).append(each)

    def named(self, name: str, is_member: bool) -> list[Overload]:
        return [each for each in self._overloads.get(name, ()) if each.is_member is is_member]

    def knows(self, name: str) -> bool:
        return name in self._overloads

    def declare(
        self, *signatures: str, cost: Cost | None = None
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A decorator. `cost` takes the arguments; without one it is 1 and a tenth of all text."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.add(overload(each, function, cost) for each in signatures)
            return function

        return register


def overload(signature: str, function: Callable[..., Any], cost: Cost | None = None) -> Overload:
    """From a signature as it is written; see the module."""
    found = _SIGNATURE.fullmatch(signature)
    assert found is not None, signature
    parameters = tuple(map(_type, _split(found[3])))
    is_member = found[1] == "method"
    return Overload(found[2], is_member, parameters, _type(found[4]), function, cost or text_cost)


def text_cost(*arguments: Any) -> int:
    size = sum(len(each) for each in arguments if isinstance(each, str | bytes))
    return 1 + size // 10


def item_cost(*arguments: Any) -> int:
    return 1 + sum(len(each) for each in arguments if isinstance(each, list | dict))


def _type(text: str) -> Type:
    text = text.strip()
    if text.startswith("<"):
        return types.variable(text[1:-1])
    name, opened, rest = text.partition("(")
    if opened:
        return Type(name, tuple(map(_type, _split(rest[:-1]))))
    return _SCALARS.get(text) or _opaque[text]


def _split(text: str) -> list[str]:
    """At the commas that are in no parentheses."""
    found, depth, piece = [], 0, ""
    for each in text:
        depth += (each == "(") - (each == ")")
        if each == "," and depth == 0:
            found.append(piece)
            piece = ""
        else:
            piece += each
    return [*found, piece] if piece.strip() else found


_opaque: dict[str, Type] = {}


def opaque(name: str, class_: type) -> Type:
    """Instances of the class are values of a type of their own, with this name in signatures."""
    type_ = types.opaque_type(name)
    _opaque[name] = type_
    operators.register(class_, type_)
    return type_


def type_names() -> Mapping[str, Type]:
    """The names by which expressions call types."""
    named = {each: _SCALARS[each] for each in ("bool", "int", "uint", "double", "string", "bytes", "type")}
    return {
        **named,
        "null_type": types.NULL,
        "list": types.list_of(DYN),
        "map": types.map_of(DYN, DYN),
        "google.protobuf.Duration": types.DURATION,
        "google.protobuf.Timestamp": types.TIMESTAMP,
        "optional_type": types.optional_of(DYN),
        **_opaque,
    }

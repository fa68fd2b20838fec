"""The tree of an expression. `at` is the offset of the token that names the node: of a selection its dot, of a
call its parenthesis, of an operator the operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Node:
    at: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    value: Any


@dataclass(frozen=True, slots=True)
class Ident(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    operand: Node
    field: str
    test: bool = False  # has(operand.field)
    optional: bool = False  # operand.?field


@dataclass(frozen=True, slots=True)
class Call(Node):
    """Of a function, an operator (`_+_`, `_[_]`), or a method when there is a target."""

    function: str
    arguments: Sequence[Node]
    target: Node | None = None


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    items: Sequence[Node]
    optional: frozenset[int] = frozenset()  # the indices of items that were written ?item


@dataclass(frozen=True, slots=True)
class MapOf(Node):
    entries: Sequence[tuple[Node, Node, bool]]  # key, value, whether it was written ?key
    is_message: bool = False  # made of a message, whose fields are of types of their own


@dataclass(frozen=True, slots=True)
class Struct(Node):
    name: str
    fields: Sequence[tuple[str, Node, bool]]


@dataclass(frozen=True, slots=True)
class Comprehension(Node):
    """A macro over a range: all, exists, exists_one, map, filter, sortBy, and those of two variables. For lists the
    first of two variables is the index; for maps it is the key."""

    kind: str
    range: Node
    variables: tuple[str, ...]
    step: Node
    filter: Node | None = None


@dataclass(frozen=True, slots=True)
class Bind(Node):
    """cel.bind, optMap and optFlatMap: a variable, its value, and the expression that uses it."""

    kind: str
    name: str
    value: Node
    body: Node

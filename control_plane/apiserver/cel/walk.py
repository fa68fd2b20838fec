"""What a tree consists of."""

from __future__ import annotations

from collections.abc import Iterator

from control_plane.apiserver.cel.ast import (
    Bind,
    Call,
    Comprehension,
    Ident,
    ListOf,
    MapOf,
    Node,
    Select,
    Struct,
)


def children(node: Node) -> Iterator[Node]:
    match node:
        case Select():
            yield node.operand
        case Call():
            if node.target is not None:
                yield node.target
            yield from node.arguments
        case ListOf():
            yield from node.items
        case MapOf():
            for key, value, _ in node.entries:
                yield from (key, value)
        case Struct():
            yield from (value for _, value, _ in node.fields)
        case Comprehension():
            yield node.range
            if node.filter is not None:
                yield node.filter
            yield node.step
        case Bind():
            yield from (node.value, node.body)


def names(node: Node) -> set[str]:
    """Every identifier that occurs."""
    found = {node.name} if isinstance(node, Ident) else set()
    return found.union(*(names(child) for child in children(node)))

"""What can be said of literals before anything runs, as Kubernetes says it.

The items of a list are of one type, and so are the keys and the values of a map: what is mixed is told. The
arguments of `format` may be mixed, and what is dynamic fits everywhere. A duration, a timestamp or a pattern that
is written out has to be one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from control_plane.apiserver.cel.ast import Literal, Node
from control_plane.apiserver.cel.errors import EvaluationError
from control_plane.apiserver.cel.types import DYN, Type, assignable, join
from control_plane.apiserver.cel.values import Duration, Timestamp
from control_plane.apiserver.crd import patterns

TAKES_MIXED = "format"
_WRITTEN_OUT: Mapping[str, Callable[[str], Any]] = {
    "duration": Duration.parse,
    "timestamp": Timestamp.parse,
    "matches": patterns.compiled,
}

Told = Callable[[int, str], Any]


def common(nodes: Sequence[Node], types: Sequence[Type], mixed: bool, tell: Told) -> Type:
    """The type that all of them have; what has another is told, unless they may be mixed."""
    if not types:
        return DYN
    found = types[0]
    for node, each in zip(nodes[1:], types[1:], strict=True):
        if not (mixed or assignable(found, each) or assignable(each, found)):
            tell(node.at, f"expected type '{found}' but found '{each}'")
            return found
        found = join(found, each)
    return found


def check_argument(name: str, arguments: Sequence[Node], tell: Told) -> None:
    """Tell of a literal that the function does not take."""
    parse = _WRITTEN_OUT.get(name)
    last = arguments[-1] if arguments else None
    if parse is None or not isinstance(last, Literal) or not isinstance(last.value, str):
        return
    try:
        parse(last.value)
    except (EvaluationError, ValueError):
        tell(last.at, f"invalid {name} argument")

"""Field paths: which parts of an object there are, and the sets of them that managers own.

A path is a tuple of elements as they stand in FieldsV1: `f:<field>`, `k:{"name":"c"}` for an element of a
keyed list, `v:"x"` for a value of a set. A set of paths holds leaves (scalars, atomic lists and maps) and,
since they can be owned with nothing in them, elements of lists and entries of maps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from control_plane.api.schema import Node, Type
from control_plane.apiserver.patch.errors import MalformedPatch

Object = dict[str, Any]
Path = tuple[str, ...]
Paths = frozenset[Path]

ATOMIC = "atomic"
NOTHING: Paths = frozenset()

# Keys of lists that have a default: two ports are the same whether or not their protocol is spelled out.
KEY_DEFAULTS = {"protocol": "TCP"}

_PRESENT = object()  # the "value" of a list element or map entry as such


def is_atomic(node: Node | None, value: Any) -> bool:
    """Whether the value has one owner as a whole. What the schema does not know: maps are open, lists are
    atomic."""
    if isinstance(value, dict):
        return node is not None and node.map_type == ATOMIC
    return not (isinstance(value, list) and node is not None and node.list_type in ("map", "set"))


def flatten(value: Any, node: Node | None, path: Path = ()) -> dict[Path, Any]:
    """Every path of the value, with what stands there."""
    found: dict[Path, Any] = {}
    _flatten(value, node, path, found)
    return found


def _flatten(value: Any, node: Node | None, path: Path, found: dict[Path, Any]) -> None:
    if is_atomic(node, value):
        if path:
            found[path] = value
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            below = (*path, "f:" + key)
            if inner == {} or (node is not None and node.type is Type.MAP):
                found[below] = _PRESENT
            _flatten(inner, child(node, key), below, found)
        return
    assert node is not None
    for element in value:
        below = (*path, element_key(element, node))
        found[below] = _PRESENT
        if isinstance(element, dict):
            _flatten(element, node.element, below, found)


def child(node: Node | None, name: str) -> Node | None:
    return node.child(name) if node is not None else None


def element_key(element: Any, node: Node) -> str:
    """How an element of a keyed list or a set is named in a path. Raises MalformedPatch."""
    if node.list_type == "set":
        return "v:" + orjson.dumps(element).decode()
    if not isinstance(element, dict):
        raise MalformedPatch("associative list with keys may not have non-map elements")
    keys = {}
    for name in node.list_map_keys:
        value = element.get(name, KEY_DEFAULTS.get(name))
        if value is not None:
            keys[name] = value
    if not keys:
        missing = node.list_map_keys[0]
        raise MalformedPatch(f'associative list with keys has an element that omits key field "{missing}"')
    return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()


def with_containers(paths: Iterable[Path]) -> set[Path]:
    """The paths and every field above them."""
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}


def to_fields_v1(paths: Iterable[Path]) -> Object:
    root: Object = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _without_lone_dots(root)


def _without_lone_dots(node: Object) -> Object:
    """A leaf is `{}`; `.` stands only beside children."""
    if node.keys() == {"."}:
        return {}
    return {key: inner if key == "." else _without_lone_dots(inner) for key, inner in node.items()}


def from_fields_v1(fields: Any) -> Paths:
    return frozenset(_read(fields, ())) if isinstance(fields, dict) else NOTHING


def _read(node: Object, path: Path) -> Iterator[Path]:
    if path and (not node or "." in node):
        yield path
    for key, inner in node.items():
        if key != "." and isinstance(inner, dict):
            yield from _read(inner, (*path, key))


def show(path: Path) -> str:
    """`.spec.containers[name="c"].image`, as conflicts name it."""
    return "".join(map(_show_element, path))


def _show_element(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        keys = json.loads(rest)
        return "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]"
    return f"[={rest}]"

"""Merging an applied configuration into the live object, and taking out what nobody applies any more.

Nothing is changed in place.
"""

from __future__ import annotations

from typing import Any

from control_plane.api.schema import Node
from control_plane.apiserver.patch.apply.fields import Path, child, element_key, is_atomic

Object = dict[str, Any]


def merge(live: Any, applied: Any, node: Node | None) -> Any:
    """The live value with everything that is applied."""
    if isinstance(live, dict) and isinstance(applied, dict) and not is_atomic(node, applied):
        merged = dict(live)
        for key, value in applied.items():
            merged[key] = merge(live[key], value, child(node, key)) if key in live else value
        return merged
    if isinstance(live, list) and isinstance(applied, list) and node and not is_atomic(node, applied):
        return _merge_list(live, applied, node)
    return applied


def _merge_list(live: list[Any], applied: list[Any], node: Node) -> list[Any]:
    """Applied elements in their order; elements of the live list alone keep their place among them."""
    old = {element_key(element, node): element for element in live}
    new = {element_key(element, node): element for element in applied}
    pending = list(new)
    result: list[Any] = []

    def emit(key: str) -> None:
        element = new[key]
        both = key in old and isinstance(element, dict)
        result.append(merge(old[key], element, node.element) if both else element)

    for key, element in old.items():
        if key not in new:
            result.append(element)
            continue
        while key in pending:
            emit(pending.pop(0))
    for key in pending:
        emit(key)
    return result


def remove(value: Any, paths: set[Path], node: Node | None, at: Path = ()) -> Any:
    """The value without what stands at these paths."""
    if isinstance(value, dict) and not is_atomic(node, value):
        return {
            key: remove(inner, paths, child(node, key), (*at, "f:" + key))
            for key, inner in value.items()
            if (*at, "f:" + key) not in paths
        }
    if isinstance(value, list) and node is not None and not is_atomic(node, value):
        named = ((element, (*at, element_key(element, node))) for element in value)
        return [remove(element, paths, node.element, path) for element, path in named if path not in paths]
    return value

"""Dropping what a structural schema does not know.

`x-kubernetes-preserve-unknown-fields` keeps unknown fields where it stands; what is specified below is pruned
again. The metadata, apiVersion and kind of the object itself and of embedded resources are not the schema's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

META_FIELDS = frozenset({"metadata", "apiVersion", "kind"})
PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"


def prune(obj: dict[str, Any], schema: Schema) -> list[str]:
    """Prune an object in place; the paths of what was dropped, sorted."""
    dropped: list[str] = []
    _prune(obj, {**schema, EMBEDDED: True}, "", dropped)
    return sorted(dropped)


def prune_value(value: Any, schema: Schema) -> list[str]:
    """Prune a value that is no whole object (a default)."""
    dropped: list[str] = []
    _prune(value, schema, "", dropped)
    return sorted(dropped)


def _prune(value: Any, schema: Schema | None, path: str, dropped: list[str]) -> None:
    if isinstance(value, dict):
        if schema is None:
            dropped.extend(_child(path, key) for key in value)
            value.clear()
        else:
            _prune_object(value, schema, path, dropped)
    elif isinstance(value, list):
        items: Schema | None = schema.get("items") if schema is not None else None
        if schema is not None and schema.get(PRESERVE):
            if items is None:
                return
            items = {**items, PRESERVE: True}  # unknown fields are kept in each item, too
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                _prune(item, items, f"{path}[{index}]", dropped)


def _prune_object(value: dict[str, Any], schema: Schema, path: str, dropped: list[str]) -> None:
    keeps, embedded = schema.get(PRESERVE), schema.get(EMBEDDED)
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    unknown: list[str] = []
    for key, item in value.items():
        if embedded and key in META_FIELDS:
            continue
        child = properties.get(key)
        if child is not None:
            if isinstance(item, dict | list):
                _prune(item, child, _child(path, key), dropped)
        elif additional:
            if isinstance(item, dict | list):
                below = additional if isinstance(additional, Mapping) else None
                _prune(item, below, _child(path, key), dropped)
        elif not keeps:
            unknown.append(key)
    for key in unknown:
        del value[key]
        if path or key not in META_FIELDS:
            dropped.append(_child(path, key))


def _child(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key

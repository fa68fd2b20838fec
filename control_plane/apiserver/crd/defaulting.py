"""Filling in what a structural schema has defaults for, and dropping nulls that mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

Schema = Mapping[str, Any]


def default(value: Any, schema: Schema) -> None:
    """Apply defaults in place, from the outside to the inside: a default is defaulted itself."""
    if isinstance(value, dict):
        _object(value, schema)
    elif isinstance(value, list):
        items = schema.get("items")
        if items is None:
            return
        for index, item in enumerate(value):
            if item is None and _replaces_null(items):
                value[index] = item = deepcopy(items["default"])
            default(item, items)


def _object(value: dict[str, Any], schema: Schema) -> None:
    properties = schema.get("properties") or {}
    for key, child in properties.items():
        if "default" in child and (key not in value or (value[key] is None and not child.get("nullable"))):
            value[key] = deepcopy(child["default"])
    additional = schema.get("additionalProperties")
    for key, item in value.items():
        child = properties.get(key)
        if child is not None:
            default(item, child)
        elif isinstance(additional, Mapping):
            if item is None and _replaces_null(additional):
                value[key] = item = deepcopy(additional["default"])
            default(item, additional)


def _replaces_null(schema: Schema) -> bool:
    return "default" in schema and not schema.get("nullable")


def drop_nulls(value: Any, schema: Schema) -> None:
    """Drop, in place, nulls of specified fields that are neither nullable nor defaulted: null reads as unset."""
    if isinstance(value, list):
        items = schema.get("items")
        if items is not None:
            for item in value:
                drop_nulls(item, items)
    if not isinstance(value, dict):
        return
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    for key, item in list(value.items()):
        child = properties.get(key)
        if child is None:
            child = additional if isinstance(additional, Mapping) else None
        if child is None:
            continue
        if item is None:
            if not child.get("nullable"):
                del value[key]
        else:
            drop_nulls(item, child)

"""Which part of the old object a part of the new one corresponds to.

Fields correspond by name, elements of a keyed list (`x-kubernetes-list-type: map`) by their keys. Elements of
other lists do not correspond: what they were is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

NEW: Any = object()
"""The value of what was not there, or is not known to have been."""


def value_of(old: Any, key: str) -> Any:
    return old.get(key, NEW) if isinstance(old, dict) else NEW


def element_of(item: Any, index: int, schema: Schema, old: Any) -> Any:
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
        return NEW
    if not isinstance(item, dict):
        return NEW
    wanted = element_key(item, schema)
    return next((each for each in old if isinstance(each, dict) and element_key(each, schema) == wanted), NEW)


def element_key(item: Mapping[str, Any], schema: Schema) -> tuple[Any, ...]:
    """The keys of an element of a keyed list; one that is unset reads as its default."""
    properties = (schema.get("items") or {}).get("properties") or {}
    names = schema.get("x-kubernetes-list-map-keys") or ()
    return tuple(_key(item.get(name, (properties.get(name) or {}).get("default"))) for name in names)


def _key(value: Any) -> Any:
    return (type(value) is bool, value) if isinstance(value, bool | int | float | str | None) else str(value)


def equal(one: Any, other: Any) -> bool:
    """As JSON: true is not 1, and 1.0 is 1."""
    if isinstance(one, dict):
        if not isinstance(other, dict) or one.keys() != other.keys():
            return False
        return all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        if not isinstance(other, list) or len(one) != len(other):
            return False
        return all(equal(value, theirs) for value, theirs in zip(one, other, strict=True))
    return bool(one == other and isinstance(one, bool) is isinstance(other, bool))

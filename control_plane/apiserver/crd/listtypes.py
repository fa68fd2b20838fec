"""Lists that are sets, or maps by keys: no element twice, and the keys are there.

A list of these types is merged by its elements, so that one with doubles cannot be merged at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.api import errors
from control_plane.api.errors import FieldError
from control_plane.apiserver.crd.correlation import NEW, element_of, equal, value_of

Schema = Mapping[str, Any]
Errors = Iterator[FieldError]


def validate(value: Any, schema: Schema, path: str = "", old: Any = NEW) -> Errors:
    if not isinstance(value, dict | list) or (old is not NEW and equal(value, old)):
        return
    if isinstance(value, list):
        items = schema.get("items")
        if not isinstance(items, Mapping):
            return
        yield from _list(value, schema, path)
        for index, item in enumerate(value):
            yield from validate(item, items, f"{path}[{index}]", element_of(item, index, schema, old))
        return
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    for key, item in value.items():
        child = properties.get(key, additional if isinstance(additional, Mapping) else None)
        if child is not None:
            where = f"{path}.{key}" if path else key
            yield from validate(item, child, where, value_of(old, key))


def _list(items: list[Any], schema: Schema, path: str) -> Errors:
    kind = schema.get("x-kubernetes-list-type")
    if kind == "set":
        yield from _doubles(items, items, path)
    elif kind == "map":
        names = schema.get("x-kubernetes-list-map-keys") or ()
        keys = []
        for index, item in enumerate(items):
            if isinstance(item, dict):
                yield from _missing_keys(item, schema, f"{path}[{index}]")
                keys.append({name: item[name] for name in names if name in item})
        yield from _doubles(keys, keys, path)


def _missing_keys(item: dict[str, Any], schema: Schema, path: str) -> Errors:
    """One key at least must be set for an element to have an identity."""
    names = schema.get("x-kubernetes-list-map-keys") or ()
    properties = (schema.get("items") or {}).get("properties") or {}
    if names and not any(name in item or "default" in (properties.get(name) or {}) for name in names):
        yield errors.required(f"{path}.{names[0]}", f"must have the key {names[0]}")


def _doubles(items: list[Any], shown: list[Any], path: str) -> Errors:
    seen: list[Any] = []
    told: list[Any] = []
    known: set[Any] = set()
    for index, item in enumerate(items):
        if isinstance(item, str | int):
            twice = (type(item), item) in known
            known.add((type(item), item))
        else:
            twice = any(equal(item, each) for each in seen)
            seen.append(item)
        if twice and not any(equal(item, each) for each in told):
            told.append(item)
            yield errors.duplicate(f"{path}[{index}]", shown[index])

"""A structural schema for CEL: the types of its fields, and values as expressions see them.

Formats make strings timestamps, durations and bytes; lists that are sets or maps compare and add as such. What is
nullable or an int-or-string has no fixed type. Fields whose names no identifier can stand for cannot be seen.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from control_plane.apiserver.cel import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    CELError,
    Duration,
    Timestamp,
    Type,
    list_of,
    map_of,
    object_of,
)
from control_plane.apiserver.cel.escaping import escape
from control_plane.apiserver.cel.values import KeyedList, SetList
from control_plane.apiserver.crd.prune import EMBEDDED
from control_plane.apiserver.crd.validate import INT_OR_STRING

Schema = Mapping[str, Any]
Resolve = Callable[[Schema], Schema]

_META = object_of("object", {"name": STRING, "generateName": STRING})
_SCALARS = {"integer": INT, "number": DOUBLE, "boolean": BOOL}
_FORMATS = {
    "date": TIMESTAMP,
    "date-time": TIMESTAMP,
    "datetime": TIMESTAMP,
    "duration": DURATION,
    "byte": BYTES,
}


def type_of(schema: Schema, is_root: bool = False, resolve: Resolve | None = None) -> Type | None:
    """None for what expressions cannot see. `resolve` follows the references of a schema that has any."""
    if resolve is not None:
        schema = resolve(schema)
    if schema.get(INT_OR_STRING):
        return DYN
    found = _type_of(schema, is_root, resolve)
    return DYN if found is not None and schema.get("nullable") else found


def _type_of(schema: Schema, is_root: bool, resolve: Resolve | None) -> Type | None:
    match schema.get("type"):
        case "array":
            items = schema.get("items")
            element = type_of(items, resolve=resolve) if isinstance(items, Mapping) else None
            return list_of(element) if element is not None else None
        case "object":
            additional = schema.get("additionalProperties")
            if isinstance(additional, Mapping) and not schema.get("properties"):
                value = type_of(additional, resolve=resolve)
                return map_of(STRING, value) if value is not None else None
            has_meta = is_root or bool(schema.get(EMBEDDED))
            return object_of("object", lambda: _fields(schema, has_meta, resolve))
        case "string":
            return _FORMATS.get(schema.get("format", ""), STRING)
    return _SCALARS.get(str(schema.get("type")))


def _fields(schema: Schema, has_meta: bool, resolve: Resolve | None) -> dict[str, Type]:
    fields: dict[str, Type] = {}
    for name, child in (schema.get("properties") or {}).items():
        escaped, type_ = escape(name), type_of(child, resolve=resolve)
        if escaped is not None and type_ is not None:
            fields[escaped] = type_
    if has_meta:
        fields |= {"apiVersion": STRING, "kind": STRING, "metadata": _META}
    return fields


def value_of(value: Any, schema: Schema) -> Any:
    """The value as expressions see it. What does not have the type of its schema stays what it is."""
    if value is None or schema.get(INT_OR_STRING):
        return value
    match schema.get("type"):
        case "object" if isinstance(value, dict):
            return _object(value, schema)
        case "array" if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
            return _list(value, schema)
        case "string" if isinstance(value, str) and "format" in schema:
            return _formatted(value, schema["format"])
        case "number" if isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        case "integer" if isinstance(value, float):
            return int(value)
    return value


def _object(value: dict[str, Any], schema: Schema) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    default = additional if isinstance(additional, Mapping) else {}
    return {key: value_of(item, properties.get(key, default)) for key, item in value.items()}


def _list(value: list[Any], schema: Schema) -> list[Any]:
    items = [value_of(item, schema["items"]) for item in value]
    match schema.get("x-kubernetes-list-type"):
        case "set":
            return SetList(items)
        case "map":
            return KeyedList(items, tuple(schema.get("x-kubernetes-list-map-keys") or ()))
    return items


def _formatted(text: str, name: str) -> Any:
    try:
        match _FORMATS.get(name):
            case type_ if type_ == TIMESTAMP:
                return Timestamp.parse(f"{text}T00:00:00Z" if name == "date" else text)
            case type_ if type_ == DURATION:
                return Duration.parse(text)
            case type_ if type_ == BYTES:
                return base64.b64decode(text, validate=True)
    except (CELError, binascii.Error):
        return text
    return text

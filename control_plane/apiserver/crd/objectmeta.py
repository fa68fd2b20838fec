"""ObjectMeta of custom resources and of objects embedded in them: typed as in built-in kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from control_plane.api import errors, names
from control_plane.api.decode import DecodeError, decode
from control_plane.api.errors import FieldError
from control_plane.api.schema import OBJECT_META, Node, Type, schemas
from control_plane.api.validation import metadata
from control_plane.apiserver.crd.prune import EMBEDDED

Object = dict[str, Any]
Schema = Mapping[str, Any]


@lru_cache(maxsize=1)
def _holder() -> Node:
    """A struct that holds nothing but ObjectMeta, so that findings name its fields."""
    return Node({"t": Type.STRUCT, "f": {"metadata": {"t": Type.STRUCT, "r": OBJECT_META}}}, schemas())


def coerce(obj: Object, schema: Schema) -> list[str]:
    """Type the metadata of the object and of those embedded in it, in place; the unknown fields dropped (as
    paths). Raises DecodeError."""
    dropped: list[str] = []
    _coerce_one(obj, "", dropped)
    for embedded, path in list(embedded_in(obj, schema)):
        _coerce_one(embedded, path, dropped)
    return dropped


def _coerce_one(obj: Object, path: str, dropped: list[str]) -> None:
    if obj.get("metadata") is None:
        obj.pop("metadata", None)
        return
    decoded = decode(_holder(), {"metadata": obj["metadata"]})
    obj["metadata"] = decoded.object["metadata"]
    for told in decoded.unknown:
        field = told.removeprefix('unknown field "').removesuffix('"')
        dropped.append(f"{path}.{field}" if path else field)


def embedded_in(value: Any, schema: Schema, path: str = "") -> Iterator[tuple[Object, str]]:
    """Every embedded object below `value`, with its path."""
    if isinstance(value, list):
        items = schema.get("items")
        for index, item in enumerate(value if isinstance(items, Mapping) else ()):
            yield from _found(item, items or {}, f"{path}[{index}]")
    if not isinstance(value, dict):
        return
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    for key, item in value.items():
        child = properties.get(key, additional if isinstance(additional, Mapping) else None)
        if child is not None and isinstance(item, dict | list):
            yield from _found(item, child, f"{path}.{key}" if path else key)


def _found(value: Any, schema: Schema, path: str) -> Iterator[tuple[Object, str]]:
    if schema.get(EMBEDDED) and isinstance(value, dict):
        yield value, path
    yield from embedded_in(value, schema, path)


def validate_embedded(obj: Object, schema: Schema) -> Iterator[FieldError]:
    for embedded, path in embedded_in(obj, schema):
        yield from _type_meta(embedded, path)
        yield from _object_meta(embedded, path)


def _type_meta(embedded: Object, path: str) -> Iterator[FieldError]:
    api_version, kind = embedded.get("apiVersion"), embedded.get("kind")
    if not isinstance(api_version, str) or not api_version:
        yield errors.required(f"{path}.apiVersion", "must not be empty")
    elif api_version.count("/") > 1:
        why = f"unexpected GroupVersion string: {api_version}"
        yield errors.invalid_value(f"{path}.apiVersion", api_version, why)
    if not isinstance(kind, str) or not kind:
        yield errors.required(f"{path}.kind", "must not be empty")
    else:
        for problem in names.dns1035_label(kind.lower()):
            yield errors.invalid_value(f"{path}.kind", kind, problem)


def _object_meta(embedded: Object, path: str) -> Iterator[FieldError]:
    held = embedded.get("metadata")
    if not isinstance(held, dict):
        return
    where = f"{path}.metadata"
    for key in ("generateName", "name"):
        for problem in names.path_segment(held.get(key) or ""):
            yield errors.invalid_value(f"{where}.{key}", held[key], problem)
    yield from metadata.labels(f"{where}.labels", held.get("labels"))
    yield from metadata.annotations(f"{where}.annotations", held.get("annotations"))


__all__ = ["DecodeError", "coerce", "embedded_in", "validate_embedded"]

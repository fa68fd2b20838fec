"""What makes a schema structural: the shape of objects is said once, outside of allOf, anyOf, oneOf and not.

Pruning and defaulting need to know for each place of an object which schema is its own. The findings are worded as
kube-apiserver's, and sorted as there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control_plane.api import errors
from control_plane.api.errors import FieldError
from control_plane.apiserver.crd import patterns
from control_plane.apiserver.crd.prune import EMBEDDED, PRESERVE
from control_plane.apiserver.crd.validate import INT_OR_STRING

Schema = Mapping[str, Any]
Errors = Iterator[FieldError]

_ROOT, _ITEM, _FIELD = "root", "item", "field"
_UNTYPED = {
    _ROOT: "must not be empty at the root",
    _ITEM: "must not be empty for specified array items",
    _FIELD: "must not be empty for specified object fields",
}
_INT_OR_STRING_ANY_OF = [{"type": "integer"}, {"type": "string"}]
_EMPTY = "must be empty to be structural"
_FALSE = "must be false to be structural"
_UNDEFINED = "must be undefined to be structural"
_FORBIDDEN_WHEN_NESTED = (
    ("type", _EMPTY),
    ("additionalProperties", _UNDEFINED),
    ("default", _UNDEFINED),
    ("title", _EMPTY),
    ("description", _EMPTY),
    ("nullable", _FALSE),
    (PRESERVE, _FALSE),
    (EMBEDDED, _FALSE),
    (INT_OR_STRING, _FALSE),
    ("x-kubernetes-list-map-keys", _EMPTY),
    ("x-kubernetes-list-type", _UNDEFINED),
    ("x-kubernetes-map-type", _UNDEFINED),
    ("x-kubernetes-validations", _EMPTY),
)


def validate(schema: Schema, path: str) -> list[FieldError]:
    """Why the root schema at `path` is not structural."""
    found = [*_invariants(schema, _ROOT, path), *_complete(schema, schema, path, path)]
    return sorted(found, key=str)


def _invariants(schema: Schema, level: str, path: str) -> Errors:
    if schema.get("type") == "array" and schema.get("items") is None:
        yield errors.required(f"{path}.items", "must be specified")
    if isinstance(schema.get("items"), Mapping):
        yield from _invariants(schema["items"], _ITEM, f"{path}.items")
    for name, child in (schema.get("properties") or {}).items():
        yield from _invariants(child, _FIELD, f"{path}.properties[{name}]")
    additional = schema.get("additionalProperties")
    if additional is not None and level == _ROOT:
        yield errors.forbidden_field(f"{path}.additionalProperties", "must not be used at the root")
    if isinstance(additional, Mapping):
        yield from _invariants(additional, _FIELD, f"{path}.additionalProperties")
    yield from _extensions(schema, path)
    first_all_of = (schema.get("allOf") or [{}])[0]
    yield from _value_validation(
        schema,
        path,
        skip_any_of=_is_int_or_string(schema.get("anyOf")),
        skip_first_all_of=_is_int_or_string(first_all_of.get("anyOf")),
    )
    yield from _type(schema, level, path)
    yield from _meta_fields(schema, level, path)


def _is_int_or_string(any_of: Any) -> bool:
    return bool(any_of == _INT_OR_STRING_ANY_OF)


def _extensions(schema: Schema, path: str) -> Errors:
    if schema.get(INT_OR_STRING):
        for key in (PRESERVE, EMBEDDED):
            if schema.get(key):
                why = "must be false if x-kubernetes-int-or-string is true"
                yield errors.invalid_value(f"{path}.{key}", True, why)


def _type(schema: Schema, level: str, path: str) -> Errors:
    kind, where = schema.get("type") or "", f"{path}.type"
    if schema.get(EMBEDDED) and kind != "object":
        why = "must be object if x-kubernetes-embedded-resource is true"
        yield errors.invalid_value(where, kind, why) if kind else errors.required(where, why)
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        yield errors.required(where, _UNTYPED[level])
    if schema.get(EMBEDDED) and schema.get("additionalProperties") is not None:
        why = "must not be used if x-kubernetes-embedded-resource is set"
        yield errors.forbidden_field(f"{path}.additionalProperties", why)
    if level == _ROOT and kind and kind != "object":
        yield errors.invalid_value(where, kind, "must be object at the root")


def _meta_fields(schema: Schema, level: str, path: str) -> Errors:
    properties = schema.get("properties") or {}
    is_object = level == _ROOT or bool(schema.get(EMBEDDED))
    for name in ("kind", "apiVersion"):
        if is_object and name in properties and properties[name].get("type") != "string":
            where = f"{path}.properties[{name}].type"
            yield errors.invalid_value(where, properties[name].get("type") or "", "must be string")
    metadata = properties.get("metadata")
    if metadata is not None:
        where = f"{path}.properties[metadata]"
        if is_object and metadata.get("type") != "object":
            yield errors.invalid_value(f"{where}.type", metadata.get("type") or "", "must be object")
        if level == _ROOT and not _restricts_names_only(metadata):
            why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield errors.forbidden_field(where, why)
    if schema.get(EMBEDDED) and not schema.get(PRESERVE) and not properties:
        why = (
            "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields"
        )
        yield errors.required(f"{path}.properties", why)


def _restricts_names_only(metadata: Schema) -> bool:
    said = {key: value for key, value in metadata.items() if key not in ("type", "default") and value}
    properties = said.pop("properties", {})
    return not said and set(properties) <= {"name", "generateName"}


def _value_validation(
    schema: Schema, path: str, skip_any_of: bool = False, skip_first_all_of: bool = False
) -> Errors:
    for keyword in ("anyOf", "allOf", "oneOf"):
        if keyword == "anyOf" and skip_any_of:
            continue
        for index, nested in enumerate(schema.get(keyword) or ()):
            skip = keyword == "allOf" and index == 0 and skip_first_all_of
            yield from _nested(nested, f"{path}.{keyword}[{index}]", skip)
    if schema.get("not") is not None:
        yield from _nested(schema["not"], f"{path}.not")
    pattern = schema.get("pattern")
    if pattern and (problem := patterns.problem(pattern)) is not None:
        why = f"must be a valid regular expression, but isn't: error parsing regexp: {problem}"
        yield errors.invalid_value(f"{path}.pattern", pattern, why)


def _nested(nested: Schema, path: str, skip_any_of: bool = False) -> Errors:
    """A schema inside a junctor: it may restrict values, and say nothing of their shape."""
    yield from _value_validation(nested, path, skip_any_of)
    if isinstance(nested.get("items"), Mapping):
        yield from _nested(nested["items"], f"{path}.items")
    for name, child in (nested.get("properties") or {}).items():
        yield from _nested(child, f"{path}.properties[{name}]")
    for key, why in _FORBIDDEN_WHEN_NESTED:
        said = nested.get(key)
        if said if key not in ("default", "additionalProperties") else said is not None:
            yield errors.forbidden_field(f"{path}.{key}", why)
    if "metadata" in (nested.get("properties") or {}):
        yield errors.forbidden_field(
            f"{path}.properties[metadata]", "must not be specified in a nested context"
        )


def _complete(nested: Schema, schema: Schema, path: str, nested_path: str) -> Errors:
    """What junctors speak of is specified outside of them."""
    for keyword in ("allOf", "anyOf", "oneOf"):
        for index, each in enumerate(nested.get(keyword) or ()):
            yield from _complete_nested(each, schema, path, f"{nested_path}.{keyword}[{index}]")
    if nested.get("not") is not None:
        yield from _complete_nested(nested["not"], schema, path, f"{nested_path}.not")


def _complete_nested(nested: Schema, schema: Schema, path: str, nested_path: str) -> Errors:
    yield from _complete(nested, schema, path, nested_path)
    if isinstance(nested.get("items"), Mapping):
        below = f"{nested_path}.items"
        if isinstance(schema.get("items"), Mapping):
            yield from _complete_nested(nested["items"], schema["items"], f"{path}.items", below)
        else:
            yield errors.required(f"{path}.items", f"because it is defined in {below}")
    properties = schema.get("properties") or {}
    for name, child in (nested.get("properties") or {}).items():
        where, below = f"{path}.properties[{name}]", f"{nested_path}.properties[{name}]"
        if name in properties:
            yield from _complete_nested(child, properties[name], where, below)
        else:
            yield errors.required(where, f"because it is defined in {below}")

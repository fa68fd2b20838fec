"""What the schemas of a definition may say, besides being structural: keywords, list types, defaults, CEL rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from control_plane.api import errors
from control_plane.api.errors import FieldError
from control_plane.apiserver.crd import field_paths, listtypes, structural
from control_plane.apiserver.crd import validate as values
from control_plane.apiserver.crd.prune import EMBEDDED, META_FIELDS, PRESERVE, prune_value
from control_plane.apiserver.crd.rules import RULES

Schema = Mapping[str, Any]
Errors = Iterator[FieldError]

TYPES = ("array", "boolean", "integer", "number", "object", "string")
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
LIST_TYPE, LIST_KEYS, MAP_TYPE = (
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_AT_ROOT = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example "
    "XPreserveUnknownFields XValidations"
)
_WITH_STATUS = "at the root of the schema if the status subresource is enabled"
_AT_ROOT_KEYS = {
    *(name[0].lower() + name[1:] for name in _AT_ROOT.split()),
    PRESERVE,
    RULES,
}


@dataclass(frozen=True, slots=True)
class Where:
    """What a schema's place forbids."""

    path: str
    is_root: bool = False
    in_meta: bool = False
    no_defaults: str = ""  # why there may be none
    uncorrelated: str = ""  # the first ancestor whose old and new parts cannot be told apart


def validate(schema: Schema, path: str, status_enabled: bool) -> list[FieldError]:
    found = list(_root(schema, path, status_enabled))
    shape = structural.validate(schema, path)
    if not shape:
        shape = list(_defaults(schema, path, is_root=True))
    found += shape
    found += _schema(schema, Where(path, is_root=True))
    if not found:
        from control_plane.apiserver.crd.cel_checks import check

        found += check(schema, path)
    return found


def _root(schema: Schema, path: str, status_enabled: bool) -> Errors:
    if status_enabled:
        if schema.get("type") and schema["type"] != "object":
            why = f'only "object" is allowed as the type {_WITH_STATUS}'
            yield errors.invalid_value(f"{path}.type", schema["type"], why)
        elif set(schema) - _AT_ROOT_KEYS:
            why = f"only [{_AT_ROOT}] fields are allowed {_WITH_STATUS}"
            yield errors.invalid_value(path, dict(schema), why)
    if schema.get("nullable"):
        yield errors.forbidden_field(f"{path}.nullable", "nullable cannot be true at the root")


def _schema(schema: Schema, where: Where) -> Errors:
    yield from _keywords(schema, where)
    yield from _list_and_map(schema, where.path)
    yield from _rule_fields(schema, where.path)
    additional = schema.get("additionalProperties")
    if additional is not None:
        if schema.get("properties") and additional is not True:
            why = "additionalProperties and properties are mutual exclusive"
            yield errors.forbidden_field(f"{where.path}.additionalProperties", why)
        if isinstance(additional, Mapping):
            inside = "inside additionalProperties applying to object metadata" if where.in_meta else ""
            below = replace(where, path=f"{where.path}.additionalProperties", is_root=False)
            yield from _schema(additional, replace(below, no_defaults=where.no_defaults or inside))
    for name, child in (schema.get("properties") or {}).items():
        yield from _schema(child, _of_property(schema, name, where))
    for keyword in ("allOf", "oneOf", "anyOf"):
        for index, child in enumerate(schema.get(keyword) or ()):
            below = replace(where, path=f"{where.path}.{keyword}[{index}]", is_root=False)
            yield from _schema(child, below)
    if schema.get("not") is not None:
        yield from _schema(schema["not"], replace(where, path=f"{where.path}.not", is_root=False))
    if isinstance(schema.get("items"), Mapping):
        yield from _schema(schema["items"], replace(where, path=f"{where.path}.items", is_root=False))


def _of_property(schema: Schema, name: str, where: Where) -> Where:
    below = replace(where, path=f"{where.path}.properties[{name}]", is_root=False)
    if name in META_FIELDS and (where.is_root or schema.get(EMBEDDED)):
        why = f"in top-level {name}" if where.is_root else where.no_defaults
        return replace(below, in_meta=True, no_defaults=why)
    return below


def _keywords(schema: Schema, where: Where) -> Errors:
    path, kind = where.path, schema.get("type")
    if kind and kind not in TYPES:
        yield errors.not_supported(f"{path}.type", kind, TYPES)
    if schema.get("default") is not None and where.no_defaults:
        yield errors.forbidden_field(f"{path}.default", f"must not be set {where.no_defaults}")
    for key in _UNSUPPORTED:
        if schema.get(key) not in (None, "", {}):
            yield errors.forbidden_field(f"{path}.{key}", f"{key} is not supported")
    if kind == "null":
        why = "type cannot be set to null, use nullable as an alternative"
        yield errors.forbidden_field(f"{path}.type", why)
    if isinstance(schema.get("items"), list):
        yield errors.forbidden_field(f"{path}.items", "items must be a schema object and not an array")
    if where.in_meta and schema.get(EMBEDDED):
        yield errors.forbidden_field(f"{path}.{EMBEDDED}", "must not be used inside of resource meta")
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield errors.forbidden_field(f"{path}.uniqueItems", why)
    if schema.get(PRESERVE) is False:
        yield errors.invalid_value(f"{path}.{PRESERVE}", False, "must be true or undefined")


def _list_and_map(schema: Schema, path: str) -> Errors:
    for key, kind, known in (
        (MAP_TYPE, "object", ("atomic", "granular")),
        (LIST_TYPE, "array", ("atomic", "set", "map")),
    ):
        said = schema.get(key)
        if said is None:
            continue
        if schema.get("type") != kind:
            why = f"must be {kind} if {key} is specified"
            given = schema.get("type")
            yield (
                errors.invalid_value(f"{path}.type", given, why)
                if given
                else errors.required(f"{path}.type", why)
            )
        if said not in known:
            yield errors.not_supported(f"{path}.{key}", said, known)
    items = schema.get("items") if isinstance(schema.get("items"), Mapping) else None
    if schema.get(LIST_TYPE) == "set" and items is not None:
        yield from _set_items(items, path)
    yield from _map_keys(schema, items, path)
    if schema.get(LIST_TYPE) in ("set", "map") and items is not None and items.get("nullable"):
        why = f"cannot be nullable when x-kubernetes-list-type is {schema[LIST_TYPE]}"
        yield errors.forbidden_field(f"{path}.items.nullable", why)


def _set_items(items: Schema, path: str) -> Errors:
    why = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.get("type") == "array" and items.get(LIST_TYPE) not in (None, "atomic"):
        yield errors.invalid_value(f"{path}.items.{LIST_TYPE}", items[LIST_TYPE], why)
    if items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
        yield errors.invalid_value(f"{path}.items.{MAP_TYPE}", items.get(MAP_TYPE), why)


def _map_keys(schema: Schema, items: Schema | None, path: str) -> Errors:
    kind, keys = schema.get(LIST_TYPE), schema.get(LIST_KEYS) or []
    if keys and kind != "map":
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        where = f"{path}.{LIST_TYPE}"
        yield errors.required(where, why) if kind is None else errors.invalid_value(where, kind, why)
    if kind != "map":
        return
    if not keys:
        yield errors.required(f"{path}.{LIST_KEYS}", "must not be empty if x-kubernetes-list-type is map")
    if items is None:
        yield errors.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if items.get("type") != "object":
        why = "must be object if parent array's x-kubernetes-list-type is map"
        yield errors.invalid_value(f"{path}.items.type", items.get("type") or "", why)
        return
    properties, required = items.get("properties") or {}, items.get("required") or ()
    if len(set(keys)) < len(keys):
        yield errors.invalid_value(f"{path}.{LIST_KEYS}", keys, "must not contain duplicate entries")
    for key in dict.fromkeys(keys):
        yield from _map_key(key, properties.get(key), key in required, keys, path)


def _map_key(key: str, declared: Schema | None, required: bool, keys: list[str], path: str) -> Errors:
    where = f"{path}.items.properties[{key}]"
    if declared is None:
        yield errors.invalid_value(
            f"{path}.{LIST_KEYS}", keys, "entries must all be names of item properties"
        )
        return
    if declared.get("type") in ("array", "object"):
        why = "must be a scalar type if parent array's x-kubernetes-list-type is map"
        yield errors.invalid_value(f"{where}.type", "object", why)
    if not required and declared.get("default") is None:
        why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
        yield errors.required(f"{where}.default", why)
    if declared.get("nullable"):
        why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
        yield errors.forbidden_field(f"{where}.nullable", why)


def _rule_fields(schema: Schema, path: str) -> Errors:
    for index, rule in enumerate(schema.get(RULES) or ()):
        where = f"{path}.{RULES}[{index}]"
        text, message = (rule.get("rule") or "").strip(), (rule.get("message") or "").strip()
        if not text:
            yield errors.required(f"{where}.rule", "rule is not specified")
        elif rule.get("message") and not message:
            yield errors.invalid_value(f"{where}.message", rule["message"], "must be non-empty if specified")
        elif _has_newlines(message):
            yield errors.invalid_value(f"{where}.message", rule["message"], "must not contain line breaks")
        elif _has_newlines(text) and not message:
            yield errors.required(
                f"{where}.message", "message must be specified if rule contains line breaks"
            )
        if rule.get("messageExpression") and not rule["messageExpression"].strip():
            why = "messageExpression must be non-empty if specified"
            yield errors.required(f"{where}.messageExpression", why)
        if rule.get("reason") and rule["reason"] not in REASONS:
            yield errors.not_supported(f"{where}.reason", rule["reason"], REASONS)
        if (field := rule.get("fieldPath")) and not field_paths.is_valid(field, schema):
            yield errors.invalid_value(f"{where}.fieldPath", field, "must be a valid path")


def _has_newlines(text: str) -> bool:
    return "\n" in text or "\r" in text


def _defaults(schema: Schema, path: str, is_root: bool = False) -> Errors:
    """Defaults are valid, and nothing in them would be pruned."""
    default = schema.get("default")
    if default is not None:
        pruned = deepcopy(default)
        if prune_value(pruned, schema) and not is_root:
            yield errors.invalid_value(f"{path}.default", default, "must not have unknown fields")
        else:
            yield from values.validate(default, schema, f"{path}.default")
            yield from listtypes.validate(default, schema, f"{path}.default")
    for name, child in (schema.get("properties") or {}).items():
        if not (is_root and name in META_FIELDS):
            yield from _defaults(child, f"{path}.properties[{name}]")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield from _defaults(schema[key], f"{path}.{key}")

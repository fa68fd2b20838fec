"""Compiles OpenAPI definitions and Go flags into the compact table that `schema` walks.

A definition becomes `{"f": {property: spec}, "m": map type}`; a spec is a dict of one-letter keys, left out
when empty, so that the file is small and loads in a few milliseconds:

    t  type (see `schema.Type`)      r  definition of a struct          i  spec of items or map values
    w  bits of an integer            o  omitempty                       p  Go pointer: presence counts
    mk patch merge key   ms patch strategy   lt list type   lk list map keys   mt map type
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from control_plane.api import resources
from control_plane.api.schema import Type
from control_plane.api.sources import Definition, message_name

Spec = dict[str, Any]
Flags = dict[str, str]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Type.QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Type.INT_OR_STRING,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": Type.ANY,
    f"{_META}Time": Type.TIME,
    f"{_META}MicroTime": Type.MICRO_TIME,
    f"{_META}Duration": Type.STRING,
    f"{_META}FieldsV1": Type.ANY,
    f"{_META}Patch": Type.ANY,
    f"{_EXTENSIONS}JSON": Type.ANY,
    f"{_EXTENSIONS}JSONSchemaPropsOrArray": Type.ANY,
    f"{_EXTENSIONS}JSONSchemaPropsOrBool": Type.ANY,
    f"{_EXTENSIONS}JSONSchemaPropsOrStringArray": Type.ANY,
}
_SCALARS = {"string": Type.STRING, "integer": Type.INTEGER, "number": Type.NUMBER, "boolean": Type.BOOLEAN}
_PATCH_KEYS = {
    "x-kubernetes-patch-merge-key": "mk",
    "x-kubernetes-patch-strategy": "ms",
    "x-kubernetes-list-type": "lt",
    "x-kubernetes-list-map-keys": "lk",
    "x-kubernetes-map-type": "mt",
}
_EXTRA_ROOTS = tuple(
    _META + kind for kind in ("DeleteOptions", "Status", "LabelSelector", "ObjectMeta", "WatchEvent")
)


def compile_table(definitions: dict[str, Definition], messages: dict[str, list[list[Any]]]) -> dict[str, Any]:
    table: dict[str, Any] = {"kinds": {}, "definitions": {}}
    for name, schema in definitions.items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            if (gvk["group"], gvk["version"]) in {**resources.TABLE, **resources.OFF_BY_DEFAULT}:
                table["kinds"][f"{gvk['group']}/{gvk['version']}/{gvk['kind']}"] = name
    pending = [*sorted(set(table["kinds"].values())), *_EXTRA_ROOTS]
    while pending:
        name = pending.pop()
        if name in table["definitions"] or name in _SPECIAL:
            continue
        table["definitions"][name] = _definition(definitions[name], go_flags(message_name(name), messages))
        pending += _references(definitions[name])
    return table


def go_flags(message: str, messages: dict[str, list[list[Any]]]) -> Flags:
    """Property -> flags, with inlined structs opened."""
    flags: Flags = {}
    for _, name, type_, _, flag in messages.get(message, ()):
        if "i" in flag:
            flags |= go_flags(type_, messages)
        else:
            flags[name] = flag
    return flags


def _definition(schema: Definition, flags: Flags) -> dict[str, Any]:
    fields = {}
    for name, prop in schema.get("properties", {}).items():
        spec = _spec(prop)
        flag = flags.get(name, "o")  # apiVersion and kind are omitempty
        fields[name] = spec | {key: 1 for key in "op" if key in flag}
    compiled: dict[str, Any] = {"f": fields}
    if map_type := schema.get("x-kubernetes-map-type"):
        compiled["m"] = map_type
    return compiled


def _spec(prop: Definition) -> Spec:
    spec = _type(prop)
    spec |= {short: prop[long] for long, short in _PATCH_KEYS.items() if long in prop}
    return spec


def _type(prop: Definition) -> Spec:
    reference = prop.get("$ref")
    if reference in _SPECIAL:
        return {"t": int(_SPECIAL[reference])}
    if reference:
        return {"t": int(Type.STRUCT), "r": reference}
    match prop.get("type"):
        case "array":
            return {"t": int(Type.ARRAY), "i": _spec(prop["items"])}
        case "object" if "additionalProperties" in prop:
            return {"t": int(Type.MAP), "i": _spec(prop["additionalProperties"])}
        case "string" if prop.get("format") == "byte":
            return {"t": int(Type.BYTES)}
        case "integer":
            return {"t": int(Type.INTEGER), "w": 32 if prop.get("format") == "int32" else 64}
        case str() as scalar if scalar in _SCALARS:
            return {"t": int(_SCALARS[scalar])}
    return {"t": int(Type.ANY)}


def _references(schema: Any) -> Iterable[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference
        for value in schema.values():
            yield from _references(value)
